# SPDX-License-Identifier: GPL-2.0-only
"""Findings of programs: each once, with a small program, as a file."""
