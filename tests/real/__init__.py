# SPDX-License-Identifier: GPL-2.0-only
"""Real kernels under QEMU; skipped where kernels, QEMU or the cross compiler are missing (`make real` gets them)."""
