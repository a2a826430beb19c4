# SPDX-License-Identifier: GPL-2.0-only
"""The machine's stage-2 walk checked against QEMU's: tables, questions, QEMU itself, what differs."""
