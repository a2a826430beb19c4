# SPDX-License-Identifier: GPL-2.0-only
"""Tests of our machine against QEMU; skipped if there is no QEMU."""
