# SPDX-License-Identifier: GPL-2.0-only
"""Findings of programs: each is kept once, with a small program, as a file."""
