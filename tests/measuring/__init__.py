# SPDX-License-Identifier: GPL-2.0-only
"""Measurements that run for hours, and the mutants and planted mistakes that they share with tests."""
