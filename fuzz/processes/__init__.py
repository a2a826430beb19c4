# SPDX-License-Identifier: GPL-2.0-only
"""Child processes, signals, and errors in starting processes."""
