# SPDX-License-Identifier: GPL-2.0-only
"""Each program of corpus/ is a test of its own name."""
