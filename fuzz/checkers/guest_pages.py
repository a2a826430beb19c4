# SPDX-License-Identifier: GPL-2.0-only
"""Guest pages that a violation concerns, kept as ranges so that a block is as cheap as a page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

Range = tuple[int, int]

# The number of a VM occupies the bits above any guest address.
_VM_SHIFT: Final = 52


def vm_address(vm: int, ipa: int) -> int:
    """Return a number for a guest address of a VM that is unique across VMs."""
    return (vm << _VM_SHIFT) + ipa


def vm_of(address: int) -> int:
    """Return the number of the VM in a `vm_address`."""
    return address >> _VM_SHIFT


def ipa_of(address: int) -> int:
    """Return the guest address in a `vm_address`, in bytes."""
    return address & ((1 << _VM_SHIFT) - 1)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return the same numbers as sorted ranges [start, end) that neither overlap nor touch."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            last_start, last_end = found[-1]
            found[-1] = (last_start, max(last_end, end))
        else:
            found.append((start, end))
    return found


def without(start: int, end: int, taken: Iterable[Range]) -> list[Range]:
    """Return the rest of [start, end) without the ranges in *taken*, in order."""
    left: list[Range] = []
    for first, last in merged(taken):
        if first > start:
            left.append((start, min(first, end)))
        start = max(start, last)
        if start >= end:
            return left
    left.append((start, end))
    return left


def overlap(one: list[Range], other: list[Range]) -> bool:
    """Return whether two lists of `merged` ranges have a number in common."""
    i = j = 0
    while i < len(one) and j < len(other):
        if one[i][1] <= other[j][0]:
            i += 1
        elif other[j][1] <= one[i][0]:
            j += 1
        else:
            return True
    return False


class GuestPages:
    """A set of pages.

    :param ranges: guest addresses, or VM addresses (`vm_address`), [start, end) in bytes
    :param page_size: the size of one page; all ranges consist of whole pages
    """

    def __init__(self, ranges: Iterable[Range] = (), page_size: int = 1) -> None:
        self.ranges = merged(ranges)
        self.page_size = page_size

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __len__(self) -> int:
        """Return the number of pages."""
        return sum([end - start for start, end in self.ranges]) // self.page_size

    def __iter__(self) -> Iterator[int]:
        """Yield the address of each page, in order."""
        for start, end in self.ranges:
            yield from range(start, end, self.page_size)

    def within(self, other: GuestPages) -> bool:
        """Return whether all pages of this set are in *other*."""
        theirs = other.ranges
        for start, end in self.ranges:
            at = bisect_right(theirs, (start, end)) - 1
            # The range in *other* with the same start may be the longer one.
            if at + 1 < len(theirs) and theirs[at + 1][0] == start:
                at += 1
            if at < 0 or not (theirs[at][0] <= start and end <= theirs[at][1]):
                return False
        return True

    def in_vm(self, vm: int) -> GuestPages:
        """Return these guest addresses as VM addresses."""
        return GuestPages([(vm_address(vm, start), vm_address(vm, end)) for start, end in self.ranges], self.page_size)

    def joined(self, other: GuestPages) -> GuestPages:
        """Return the union of both sets."""
        return GuestPages(self.ranges + other.ranges, self.page_size)


def guest_pages(addresses: Iterable[int], page_size: int = 1) -> GuestPages:
    """Return a set of single pages, given the address of each."""
    return GuestPages([(address, address + page_size) for address in addresses], page_size)
