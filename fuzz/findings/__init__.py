# SPDX-License-Identifier: GPL-2.0-only
"""What programs showed: each finding once, with a small program, as a file."""
