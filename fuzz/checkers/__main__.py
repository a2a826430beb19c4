# SPDX-License-Identifier: GPL-2.0-only
"""``python -m fuzz.checkers`` prints the table of rules that docs/findings.md has."""

from .registry import markdown

print(markdown(), end="")
