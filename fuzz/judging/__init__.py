# SPDX-License-Identifier: GPL-2.0-only
"""Both sides of a program side by side: verdicts, known bugs, costs."""
