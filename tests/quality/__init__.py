# SPDX-License-Identifier: GPL-2.0-only
"""Tests of quality: hard bugs are found, and there are no false alarms."""
