# SPDX-License-Identifier: GPL-2.0-only
"""Statements before the operations: two VMs, and a slot with each kind of backing."""

SLOTS = """\
s2fuzz 1
vm vms=2 manual=on
slot a size=4M backing=thp log=on
slot d size=1M backing=device
slot h size=4M backing=hugetlb2m
slot o size=64M backing=anon vm=1
"""
