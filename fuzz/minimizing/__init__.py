# SPDX-License-Identifier: GPL-2.0-only
"""The way from a program that shows a finding to the smallest one that still does, and on to a test."""
