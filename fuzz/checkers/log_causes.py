# SPDX-License-Identifier: GPL-2.0-only
"""The cause of a write that no log has: which step of the dirty log left the page without its bit.

A write goes unreported if a collection, or the beginning of the log, left the leaf writable; if a collection passed
over a mark; or if nothing marked the page. The events of the log tell which of these it was.
"""

from reference.machine.descriptor import AF_BIT, WRITE_BIT

from ..sides.guest import RESET_RINGS
from .live_tables import LiveTables
from .places import at_place


class Cause:
    """The cause of a lost write.

    :param text: the end of a sentence about the page
    :param where: its place in a compiled tree; "" if it is not known
    """

    def __init__(self, text: str, where: str = "") -> None:
        self.text = text
        self.where = where


class Left:
    """A leaf that stayed writable.

    :param entry: the leaf then
    :param cause: the step that left it so
    """

    def __init__(self, entry: int, cause: Cause) -> None:
        self.entry = entry & ~AF_BIT
        self.cause = cause


class Beginning:
    """The beginning of a slot's log in which all pages count as dirty.

    :param number: of the operation, from 1; 0: the creation of the VM
    :param where: the place at which the slot was installed

    *taken*: the bits that were taken since, each a first page and a mask
    """

    def __init__(self, number: int, where: str) -> None:
        self.number = number
        self.where = where
        self.taken: list[tuple[int, int]] = []


class LogCauses:
    """Follows the bits of one VM's dirty logs.

    :param tables: the live tables of the VM
    :param shift: log2 of the page size
    """

    def __init__(self, tables: LiveTables, shift: int) -> None:
        self.tables = tables
        self.shift = shift
        # The number of the operation, from 1; 0: the VMs are being created; -1: not even that.
        self.number = -1
        # In this operation: the bits that were taken (first page, mask, place), and the place at which each slot was
        # installed with a log.
        self.takes: list[tuple[int, int, str]] = []
        self.installed: dict[int, str] = {}
        # By page: the operation that marked it dirty since its bit was last taken; or, if the bit was taken since, the
        # operation and the place of that.
        self.marked: dict[int, int] = {}
        self.taken: dict[int, tuple[int, str]] = {}
        # By page: the leaf that stayed writable when its log lost the bit; and the cause of the first unlogged write.
        self.left: dict[int, Left] = {}
        self.lost: dict[int, Cause] = {}
        # By slot.
        self.beginnings: dict[int, Beginning] = {}
        # Slots whose pages have had other addresses.
        self.moved: set[int] = set()

    def begin_operation(self) -> None:
        """Begin the next operation."""
        self.number += 1
        self.takes.clear()
        self.installed.clear()

    def mark(self, gfn: int) -> None:
        """Note that a page was marked dirty."""
        self.marked[gfn] = self.number
        self.taken.pop(gfn, None)

    def take(self, slot: int, gfn: int, mask: int, where: str) -> None:
        """Note that bits of a slot were taken: of the pages from *gfn* on, those in *mask*."""
        self.takes.append((gfn, mask, where))
        beginning = self.beginnings.get(slot)
        if beginning is not None:
            beginning.taken.append((gfn, mask))
        while mask and self.marked:
            page = gfn + (mask & -mask).bit_length() - 1
            mask &= mask - 1
            if self.marked.pop(page, None) is not None:
                self.taken[page] = self.number, where

    def take_of(self, gfn: int) -> tuple[int, str] | None:
        """Return the operation and the place at which a page's bit was last taken; None: they are not known."""
        here = self.take_here(gfn)
        return self.taken.get(gfn) if here is None else (self.number, here)

    def take_here(self, gfn: int) -> str | None:
        """Return the place at which a page's bit was last taken in this operation; None: it was not."""
        for first, mask, where in reversed(self.takes):
            if gfn >= first and mask >> gfn - first & 1:
                return where
        return None

    def begin_log(self, slot: int, gfn: int, pages: int, all_dirty: bool) -> None:
        """Note that an operation has begun to log the pages of a slot.

        :param all_dirty: the pages count as dirty at first, and need not be write-protected
        """
        where = self.installed.get(slot, "")
        self.end_log(slot, gfn, pages)
        if all_dirty:
            self.beginnings[slot] = Beginning(self.number, where)
            return
        cause = Cause(f"{self.beginning(self.number, where)}, and left its leaf writable", where)
        for page, entry in self.writable(gfn, pages):
            self.left[page] = Left(entry, cause)

    def beginning(self, number: int, where: str) -> str:
        """Return the beginning of a log as text."""
        return f"the log began {f'in operation {number}' if number else 'with the VM'}{at_place(where)}"

    def end_log(self, slot: int, gfn: int, pages: int) -> None:
        """Forget the log of a slot."""
        self.beginnings.pop(slot, None)
        for page in [page for page in (*self.marked, *self.taken, *self.left) if gfn <= page < gfn + pages]:
            self.marked.pop(page, None)
            self.taken.pop(page, None)
            self.left.pop(page, None)
            self.lost.pop(page, None)

    def writable(self, gfn: int, pages: int) -> list[tuple[int, int]]:
        """Return the pages of a range that writable leaves map, each with its leaf."""
        found: list[tuple[int, int]] = []
        for level, ipa, entry in self.tables.leaves_in(gfn << self.shift, gfn + pages << self.shift):
            if entry & WRITE_BIT:
                first = ipa >> self.shift
                last = first + (1 << self.tables.shifts[level] - self.shift)
                found += [(page, entry) for page in range(max(first, gfn), min(last, gfn + pages))]
        return found

    def hand_over(self, function: str, gfn: int, pages: int, taken: list[int]) -> None:
        """Note that user space has received pages, whose bits are therefore gone: their next write needs a fault.

        :param function: the call that had to write-protect them
        :param taken: 64 pages a word, from *gfn* on
        """
        for page, entry in self.writable(gfn, pages):
            number = page - gfn
            if number >> 6 < len(taken) and taken[number >> 6] >> (number & 63) & 1:
                self.left[page] = Left(entry, self.cause_of_left(function, page))

    def cause_of_left(self, function: str, gfn: int) -> Cause:
        """Return the cause of a leaf that is still writable after a collection; parameters as `hand_over`."""
        take = self.take_of(gfn)
        if take is not None:
            number, where = take
            return Cause(f"its bit was taken in operation {number}{at_place(where)}, and its leaf left writable", where)
        if function == RESET_RINGS:
            # The place at which the reset asked for other pages, if it did.
            others = self.takes[-1][2] if self.takes else ""
            text = f"{function}() returned in operation {self.number} without asking for its write-protection"
            return Cause(text, others)
        return Cause(f"{function}() left its leaf writable in operation {self.number}")

    def unprotected(self, slot: int, gfn: int) -> Cause:
        """Return why a leaf of this page should have lost write permission in this operation, if it should have."""
        if (taken := self.take_here(gfn)) is not None:
            return Cause(f"; its bit was taken{at_place(taken)}, and the leaf was left as it is", taken)
        if slot in self.installed:
            where = self.installed[slot]
            return Cause(f"; the log has begun{at_place(where)}, and the leaf was left as it is", where)
        return Cause("")

    def fault(self, gfn: int) -> None:
        """Note a fault on a page, which may make its leaf anew."""
        self.left.pop(gfn, None)

    def write(self, gfn: int, entry: int) -> None:
        """Note the first write to a page since its last collection; *entry*: the leaf that maps it, 0: none does."""
        self.lost.pop(gfn, None)
        left = self.left.get(gfn)
        if left is not None and left.entry == entry & ~AF_BIT:
            self.lost[gfn] = left.cause

    def cause_of(self, slot: int, gfn: int, mapped: bool) -> Cause:
        """Return the cause of the write to a page that the log does not have.

        :param mapped: it went through a writable leaf, not through a stale TLB entry
        """
        if not mapped:
            return Cause("")
        lost = self.lost.get(gfn)
        if lost is not None:
            return lost
        if slot in self.moved:
            return Cause("")
        marked = self.marked.get(gfn)
        if marked is not None:
            takes = [place for _, _, place in self.takes]
            text = f"it was marked dirty in operation {marked}, and nothing has taken that mark"
            return Cause(text, takes[-1] if takes else "")
        beginning = self.beginnings.get(slot)
        if beginning is None:
            return Cause("nothing has marked it dirty since its bit was last taken, or since the log began")
        if any(gfn >= first and mask >> gfn - first & 1 for first, mask in beginning.taken):
            return Cause("nothing has marked it dirty since its bit was last taken")
        text = self.beginning(beginning.number, beginning.where)
        return Cause(f"{text} with all pages dirty, and nothing has taken its bit since", beginning.where)
