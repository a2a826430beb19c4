# SPDX-License-Identifier: GPL-2.0-only
"""The check of the machine's stage-2 walk against QEMU's: tables, questions, QEMU itself, differences."""
