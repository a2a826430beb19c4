# SPDX-License-Identifier: GPL-2.0-only
"""Strategies that choose schedules of par blocks."""
