# SPDX-License-Identifier: GPL-2.0-only
"""asm/tlbflush.h with a mistake in range flushes: in the number of remaining pages, or in the level hint."""

from reference.capabilities import ARM64_HAS_ARMv8_4_TTL
from reference.tlb import TlbVhe
from reference.tlbflush import TLBI_RANGE_MASK, TLBI_TTL_MASK

from ..registry.declaration import Bug
from ..v6_6_range import MmuV6_6Range, PgtableV6_6Range


class PgtableTlbRange(PgtableV6_6Range):
    """pgtable.c is the base's."""


class MmuTlbRange(MmuV6_6Range):
    """mmu.c is the base's."""


class TlbRangeMost(TlbVhe):
    def __TLBI_RANGE_NUM__(self, pages: int, scale: int) -> int:
        # Wrong: one instruction takes at most 32 pages in units of the last scale, and 32 & 31 is 0. The loop
        # continues to scale -9 and flushes too few pages.
        return (pages >> (5 * scale + 1 & 63) & TLBI_RANGE_MASK) - 1


class TlbRangeHint(TlbVhe):
    def __tlbi_level__(self, op: int, addr: int, level: int) -> None:
        arg = addr
        # Wrong: level 0 counts as a level, while range flushes, which know no level, still pass 0.
        if 0 <= level <= 3 and self.a.caps & ARM64_HAS_ARMv8_4_TTL:
            ttl = level | self.get_trans_granule() << 2
            arg = arg & ~TLBI_TTL_MASK | ttl << 44
        self.__tlbi__(op, arg)


BUG = (
    Bug(
        "bug-tlb-range-hint",
        PgtableTlbRange,
        MmuTlbRange,
        "v6.6-range",
        "tlb: stage2_attr_walker: flushed with the hint of another level L3",
        "as before upstream fix 0f0ff097bf77 (v6.9): a range flushed address by address uses level 0 as the hint",
        order=430,
        tlb=TlbRangeHint,
    ),
    Bug(
        "bug-tlb-range-most",
        PgtableTlbRange,
        MmuTlbRange,
        "v6.6-range",
        "tlb: stage2_attr_walker: leaf not flushed L3",
        "as before upstream fix e3ba51ab24fd (v6.9): a range of maximum size is flushed only in part",
        order=420,
        tlb=TlbRangeMost,
    ),
)
