# SPDX-License-Identifier: GPL-2.0-only
"""Programs for Hypothesis: strategies and a state machine, for your own tests and for the engine."""
