# SPDX-License-Identifier: GPL-2.0-only
"""Leaves that mapped a range before the current operation changed them."""

from reference.machine.descriptor import address_bits
from reference.machine.granule import Granule

from .guest_pages import Range, without


class Exposed:
    """Leaves that were mapped before: guest page -> descriptors.

    :param granule: granule of the guest's tables
    """

    def __init__(self, granule: Granule) -> None:
        self.granule = granule
        self.page_size = granule.page_size
        self.pages: dict[int, list[int]] = {}
        # (start, size, descriptor) of each block.
        self.blocks: list[tuple[int, int, int]] = []
        self.empty = True

    def add(self, base: int, size: int, entry: int) -> None:
        self.empty = False
        if size == self.page_size:
            self.pages.setdefault(base, []).append(entry)
        else:
            self.blocks.append((base, size, entry))

    def maps(self, page: int, pa: int, attributes: int, value: int) -> bool:
        """Return whether *page* was mapped to *pa* by a leaf with these attribute bits."""
        for entry in self.pages.get(page, ()):
            if address_bits(entry, self.granule) == pa and entry & attributes == value:
                return True
        for base, size, entry in self.blocks:
            if base <= page < base + size and (address_bits(entry, self.granule) & -size) + page - base == pa:
                if entry & attributes == value:
                    return True
        return False

    def unmapped(self, start: int, end: int, pa: int, attributes: int, value: int) -> list[Range]:
        """Return the parts of [start, end) that were not mapped to the frames from *pa* on, by the test of `maps`."""
        if self.empty:
            return [(start, end)]
        known: list[Range] = []
        for base, size, entry in self.blocks:
            if entry & attributes == value and (address_bits(entry, self.granule) & -size) - base == pa - start:
                known.append((max(start, base), min(end, base + size)))
        known += [
            (page, page + self.page_size)
            for page in self.pages
            if start <= page < end and self.maps(page, pa + page - start, attributes, value)
        ]
        return without(start, end, known)
