# SPDX-License-Identifier: GPL-2.0-only
"""Sizes that follow from the translation granule (Arm ARM D8.2)."""

from typing import Final

MAX_LEVELS: Final = 4


class Granule:
    """Page, table and level sizes of one translation granule.

    :param page_shift: log2 of the page size: 12 (4K), 14 (16K) or 16 (64K)
    :raises ValueError: for any other shift
    """

    def __init__(self, page_shift: int) -> None:
        if page_shift not in (12, 14, 16):
            raise ValueError(f"no granule has pages of 2^{page_shift} bytes; there are 2^12, 2^14 and 2^16")
        self.page_shift = page_shift
        self.page_size = 1 << page_shift
        self.entries = 1 << (page_shift - 3)
        # One more than the levels: index -1 is "above level 0", as the
        # kernel's arithmetic on concatenated roots asks for it.
        self.shifts = [(page_shift - 3) * (MAX_LEVELS - level) + 3 for level in range(MAX_LEVELS)]
        self.shifts.append((page_shift - 3) * (MAX_LEVELS + 1) + 3)

    def level_shift(self, level: int) -> int:
        """log2 of the bytes that one entry of *level* (-1..3) maps."""
        return self.shifts[level]

    def level_size(self, level: int) -> int:
        """Bytes that one entry of *level* (-1..3) maps."""
        return 1 << self.shifts[level]
