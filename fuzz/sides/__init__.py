# SPDX-License-Identifier: GPL-2.0-only
"""One side of a comparison: a version of the kernel code, its machine, its host and its VMs."""
