# SPDX-License-Identifier: GPL-2.0-only
"""Benchmarks: the speed of judging, the areas that take the time, the growth of memory."""
