# SPDX-License-Identifier: GPL-2.0-only
"""Reduction of a program that shows a finding to the smallest one that still does, and its promotion to a test."""
