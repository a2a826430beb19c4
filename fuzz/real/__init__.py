# SPDX-License-Identifier: GPL-2.0-only
"""The real kernel as witness: runs programs on VMs of Linux itself, under QEMU."""
