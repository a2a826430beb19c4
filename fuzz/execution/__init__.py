# SPDX-License-Identifier: GPL-2.0-only
"""One program on one version of the kernel code: what each operation does to the machine."""
