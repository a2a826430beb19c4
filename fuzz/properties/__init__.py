# SPDX-License-Identifier: GPL-2.0-only
"""Programs for Hypothesis: strategies and a state machine, for tests of yours and for the engine."""
