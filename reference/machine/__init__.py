# SPDX-License-Identifier: GPL-2.0-only
"""The hardware and the host: memory, descriptors, stage-2 walk, TLBs, caches, host address space.

Nothing here depends on the code under test. The hardware behaves as the Arm Architecture
Reference Manual (DDI 0487) specifies; the host process follows Linux's memory management.
"""
