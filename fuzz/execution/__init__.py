# SPDX-License-Identifier: GPL-2.0-only
"""The run of one program on one version of the kernel code: the effect of each operation on the machine."""
