# SPDX-License-Identifier: GPL-2.0-only
"""Benchmarks: the speed of judging, its time by area, the growth of memory."""
