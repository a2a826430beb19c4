# SPDX-License-Identifier: GPL-2.0-only
"""Both sides of a program, compared: verdicts, known bugs, costs."""
