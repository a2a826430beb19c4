# SPDX-License-Identifier: GPL-2.0-only
"""Which lines of the kernel code, and of the machine it runs on, programs reach; which program reaches a line."""
