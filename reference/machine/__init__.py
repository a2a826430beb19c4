# SPDX-License-Identifier: GPL-2.0-only
"""The hardware and the host: memory, descriptors, stage-2 walk, TLBs, caches, host address space.

Nothing here knows the code under test. The hardware does what the Arm Architecture
Reference Manual (DDI 0487) says; the host process follows Linux's memory management.
"""
