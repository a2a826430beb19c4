# SPDX-License-Identifier: GPL-2.0-only
"""Output for people and for other programs: reports, traces, JSON."""
