# SPDX-License-Identifier: GPL-2.0-only
"""The lines of a tree's code that ran, from counters, and the lines in which two trees differ."""
