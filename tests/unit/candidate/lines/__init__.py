# SPDX-License-Identifier: GPL-2.0-only
"""The lines of kernel code that ran, tested without kernel trees."""
