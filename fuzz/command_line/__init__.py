# SPDX-License-Identifier: GPL-2.0-only
"""The console script: its arguments, commands and exit codes."""
