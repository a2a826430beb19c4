# SPDX-License-Identifier: GPL-2.0-only
"""Exploration of all schedules of a par block, each judged."""
