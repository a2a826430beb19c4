# SPDX-License-Identifier: GPL-2.0-only
"""Our machine against QEMU; skipped where there is none."""
