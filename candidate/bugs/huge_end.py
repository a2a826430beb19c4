# SPDX-License-Identifier: GPL-2.0-only
"""A block may extend one page beyond its slot: the end of the slot is taken for its last page."""

from reference.kvm import kvm_memory_slot

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableHugeEnd(PgtableV5_14):
    """pgtable.c is the base's."""


class MmuHugeEnd(MmuV5_14):
    def fault_supports_stage2_huge_mapping(self, memslot: kvm_memory_slot, hva: int, map_size: int) -> bool:
        if map_size == self.PAGE_SIZE:
            return True

        size = memslot.npages * self.PAGE_SIZE

        gpa_start = memslot.base_gfn << self.PAGE_SHIFT

        uaddr_start = memslot.userspace_addr
        uaddr_end = uaddr_start + size

        if gpa_start & (map_size - 1) != uaddr_start & (map_size - 1):
            return False

        start = hva & -map_size
        # Wrong: uaddr_end is already the address after the last page.
        return start >= uaddr_start and start + map_size <= uaddr_end + self.PAGE_SIZE


BUG = Bug(
    "bug-huge-end",
    PgtableHugeEnd,
    MmuHugeEnd,
    base="v5.14",
    signature="translation: stage2_map_walker: leaf outside of any slot L2",
    origin="off by one: a block may extend one page beyond its slot",
    order=350,
)
