# SPDX-License-Identifier: GPL-2.0-only
"""The memory that holds translation tables, an array of 64-bit words.

A pointer to a table entry is an index into the array. Values are signed
(two's complement): only `wrap` and `unwrap` change the sign.
"""

from typing import Final

from .granule import PA_BITS, Granule
from .sparse import SparseWords

# Address of the kernel's tables: above every frame that a guest or the host owns.
BASE: Final = 1 << 46
# Start of all memory if addresses have 52 bits: sets two bits above 48, which descriptors hold in two places.
HIGH: Final = 0xA << 48

_SIGN: Final = 1 << 63
_TWO64: Final = 1 << 64


def wrap(value: int) -> int:
    """Return the signed form of an unsigned 64-bit value."""
    value &= _TWO64 - 1
    return value - _TWO64 if value & _SIGN else value


def unwrap(value: int) -> int:
    """Return the unsigned form of a signed 64-bit value."""
    return value & (_TWO64 - 1)


# The pattern of a freed page, which makes a use after free visible.
POISON: Final = wrap(0xA5A5A5A5A5A5A5A5)
# Each word of memory that was not allocated as zero, until it is written. No table holds such an entry.
UNWRITTEN: Final = 0x5A5A5A5A5A5A5A5A


def memory_start(granule: Granule) -> int:
    """Return the physical address at which memory begins, in bytes."""
    return HIGH if granule.pa_bits > PA_BITS else 0


class Arena:
    """Pages of 64-bit words, allocated in order and never reused.

    :param granule: page size
    :param base: physical address of word 0, relative to the start of memory
    """

    def __init__(self, granule: Granule, base: int = BASE) -> None:
        self.base = memory_start(granule) + base
        self.entries = granule.entries
        self.page_shift = granule.page_shift
        self.words = SparseWords(POISON)
        self.pages = 0

    def grow(self, pages: int) -> int:
        """Add zeroed *pages* in a row; return the index of the first word."""
        first = len(self.words)
        self.words.grow(pages * self.entries)
        self.pages += pages
        return first

    def poison(self, page: int) -> None:
        """Fill a page, given by number, with a pattern that no table holds."""
        self.words.poison(page * self.entries, self.entries)

    def unsigned(self, pa: int, count: int) -> list[int]:
        """Return *count* words from physical address *pa* on, in their unsigned form."""
        return [unwrap(word) for word in self.words.part((pa - self.base) >> 3, count)]

    def holds(self, pa: int) -> bool:
        """Return whether physical address *pa* lies in an allocated page."""
        return 0 <= pa - self.base < len(self.words) << 3
