# SPDX-License-Identifier: GPL-2.0-only
"""Sizes and address fields that follow from the translation granule and the size of physical addresses.

Arm ARM D8.2, and D8.3 for the fields: FEAT_LPA is 52 bits with 64K pages, FEAT_LPA2 with 4K and 16K.
"""

from typing import Final

MAX_LEVELS: Final = 4
# Bits of a physical address without FEAT_LPA and FEAT_LPA2, and with them.
PA_BITS: Final = 48
WIDE_PA_BITS: Final = 52


class Granule:
    """Page, table and level sizes of one translation granule, and where its descriptors hold an address.

    *lpa2*: descriptors use the FEAT_LPA2 format (VTCR_EL2.DS), which holds bits 51:50 of the address in place of the
    shareability. *low_mask*: the address bits that descriptors hold at their own position; *high_mask*: the
    field with the other bits, *high_shift* bits below their position; 0: no such field. *block_level*: the first level
    with blocks

    :param page_shift: log2 of the page size: 12 (4K), 14 (16K) or 16 (64K)
    :param pa_bits: bits of a physical address, 48 or 52
    :raises ValueError: for any other shift, or number of bits
    """

    def __init__(self, page_shift: int, pa_bits: int = PA_BITS) -> None:
        if page_shift not in (12, 14, 16):
            raise ValueError(f"no granule has pages of 2^{page_shift} bytes; allowed: 2^12, 2^14, 2^16")
        if pa_bits not in (PA_BITS, WIDE_PA_BITS):
            raise ValueError(f"no descriptors for addresses of {pa_bits} bits; allowed: 48, 52")
        self.page_shift = page_shift
        self.page_size = 1 << page_shift
        self.entries = 1 << (page_shift - 3)
        # One more than the levels: index -1 is "above level 0", which the
        # kernel's arithmetic on concatenated roots needs.
        self.shifts = [(page_shift - 3) * (MAX_LEVELS - level) + 3 for level in range(MAX_LEVELS)]
        self.shifts.append((page_shift - 3) * (MAX_LEVELS + 1) + 3)
        self.pa_bits = pa_bits
        wide = pa_bits > PA_BITS
        self.lpa2 = wide and page_shift != 16
        self.low_mask = (1 << (50 if self.lpa2 else 48)) - self.page_size
        self.high_mask, self.high_shift = 0, 0
        if self.lpa2:
            self.high_mask, self.high_shift = 3 << 8, 42
        elif page_shift == 16:
            self.high_mask, self.high_shift = 0xF << 12, 36
        # The bits of a descriptor that hold its address.
        self.address_mask = self.low_mask | (self.high_mask if wide else 0)
        self.block_level = (1 if page_shift == 12 else 2) - (1 if wide else 0)

    def level_shift(self, level: int) -> int:
        """Return log2 of the bytes that one entry of *level* (-1..3) maps."""
        return self.shifts[level]

    def level_size(self, level: int) -> int:
        """Return the bytes that one entry of *level* (-1..3) maps."""
        return 1 << self.shifts[level]
