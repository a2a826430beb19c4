# SPDX-License-Identifier: GPL-2.0-only
"""The lines of the kernel code, and of the machine below it, that programs reach; the programs that reach a line."""
