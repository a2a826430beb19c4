# SPDX-License-Identifier: GPL-2.0-only
"""The comparison of the machine's stage-2 walk with QEMU's: tables, questions, QEMU itself, differences."""
