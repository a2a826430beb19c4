# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (arch/arm64/include/asm/tlbflush.h); ranges as in 6.12.
"""asm/tlbflush.h: TLBI operands, and TLBI by level and by range."""

from typing import Final

from .assembly import Assembly
from .capabilities import ARM64_HAS_TLB_RANGE, ARM64_WORKAROUND_REPEAT_TLBI, ARM64_HAS_ARMv8_4_TTL
from .compiled.annotations import mypyc_attr
from .machine.instructions import IPAS2E1, ISH, RIPAS2E1

# get_trans_granule()
TLBI_TTL_TG_4K: Final = 1
TLBI_TTL_TG_16K: Final = 2
TLBI_TTL_TG_64K: Final = 3
TLBI_TTL_MASK: Final = 0xF << 44
TLBI_RANGE_MASK: Final = 0x1F
# Difference between the numbers of a TLBI by range and the corresponding TLBI by address.
_BY_RANGE: Final = RIPAS2E1 - IPAS2E1
# ``__TLBI_RANGE_PAGES(31, 3)``: beyond it, the loop over scales reaches negative scales.
MAX_TLBI_RANGE_PAGES: Final = 32 << 16
# arm64 shifts 64-bit values by a register modulo 64; this also covers negative scales.
_SHIFT: Final = 63
_WORD: Final = (1 << 64) - 1
SZ_64K: Final = 1 << 16


@mypyc_attr(allow_interpreted_subclasses=True)
class TlbFlush:
    """The part of the header that tlb.c uses.

    :param assembly: executes its instructions
    """

    def __init__(self, assembly: Assembly) -> None:
        self.a = assembly
        self.PAGE_SHIFT = assembly.granule.page_shift
        self.PAGE_SIZE = assembly.granule.page_size

    def __tlbi__(self, op: int, arg: int = 0) -> None:
        """``__tlbi(op)`` and ``__tlbi(op, arg)``"""
        self.a.tlbi(op, arg)
        if self.a.caps & ARM64_WORKAROUND_REPEAT_TLBI:
            self.a.dsb(ISH)
            self.a.tlbi(op, arg)

    def __TLBI_VADDR__(self, addr: int, asid: int) -> int:
        """``__TLBI_VADDR()``"""
        ta = addr >> 12
        ta &= (1 << 44) - 1
        ta |= asid << 48
        return ta

    def get_trans_granule(self) -> int:
        if self.PAGE_SHIFT == 12:
            return TLBI_TTL_TG_4K
        return TLBI_TTL_TG_16K if self.PAGE_SHIFT == 14 else TLBI_TTL_TG_64K

    def __tlbi_level__(self, op: int, addr: int, level: int) -> None:
        """``__tlbi_level()``: level 0 is no hint.

        :param addr: the operand, not an address
        """
        arg = addr
        if level and self.a.caps & ARM64_HAS_ARMv8_4_TTL:
            ttl = level & 3
            ttl |= self.get_trans_granule() << 2
            arg &= ~TLBI_TTL_MASK
            arg |= ttl << 44
        self.__tlbi__(op, arg)

    def __TLBI_VADDR_RANGE__(self, baddr: int, asid: int, scale: int, num: int, ttl: int) -> int:
        """``__TLBI_VADDR_RANGE()``

        :param baddr: the address in the units of the operand
        """
        ta = baddr & ((1 << 37) - 1)
        ta |= (ttl if 1 <= ttl <= 3 else 0) << 37
        ta |= num << 39
        ta |= scale << 44
        ta |= self.get_trans_granule() << 46
        ta |= asid << 48
        return ta & _WORD

    def __TLBI_RANGE_PAGES__(self, num: int, scale: int) -> int:
        """``__TLBI_RANGE_PAGES()``"""
        return (num + 1) << (5 * scale + 1 & _SHIFT) & _WORD

    def __TLBI_RANGE_NUM__(self, pages: int, scale: int) -> int:
        """``__TLBI_RANGE_NUM()``: -1 if no pages fall to this scale."""
        most = min(pages, self.__TLBI_RANGE_PAGES__(31, scale))
        return (most >> (5 * scale + 1 & _SHIFT)) - 1

    def __flush_tlb_range_op__(
        self, op: int, start: int, pages: int, stride: int, asid: int, tlb_level: int, lpa2: bool
    ) -> None:
        """``__flush_tlb_range_op()`` of v6.12

        :param op: the TLBI by address, from which the TLBI by range is derived
        :param stride: bytes between the addresses of flushes by address
        """
        scale = 3
        shift = 16 if lpa2 else self.PAGE_SHIFT
        while pages > 0:
            if not self.a.caps & ARM64_HAS_TLB_RANGE or pages == 1 or (lpa2 and start & (SZ_64K - 1)):
                addr = self.__TLBI_VADDR__(start, asid)
                self.__tlbi_level__(op, addr, tlb_level)
                start += stride
                pages -= stride >> self.PAGE_SHIFT
                continue
            num = self.__TLBI_RANGE_NUM__(pages, scale)
            if num >= 0:
                addr = self.__TLBI_VADDR_RANGE__(start >> shift, asid, scale, num, tlb_level)
                self.__tlbi__(op + _BY_RANGE, addr)
                start += self.__TLBI_RANGE_PAGES__(num, scale) << self.PAGE_SHIFT
                pages -= self.__TLBI_RANGE_PAGES__(num, scale)
            scale -= 1

    def __flush_s2_tlb_range_op__(self, op: int, start: int, pages: int, stride: int, tlb_level: int) -> None:
        """``__flush_s2_tlb_range_op()``"""
        self.__flush_tlb_range_op__(op, start, pages, stride, 0, tlb_level, self.a.granule.lpa2)
