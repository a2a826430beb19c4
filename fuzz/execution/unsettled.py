# SPDX-License-Identifier: GPL-2.0-only
"""Pages of the host whose state after a par block depends on the order of its steps, until they are settled."""

from typing import Final

from reference.machine.address_space import POISON

from ..checkers.guest_pages import Range, merged, overlap, without
from ..language.operations import (
    GuestAccess,
    GuestPrefault,
    HostDiscard,
    HostPoison,
    HostReap,
    HostUnmap,
    HostWrite,
    HostWriteback,
    Operation,
    Par,
    SlotCreate,
    SlotMove,
    plain,
)
from ..language.program import HUGE_SHIFT, MEMFD
from ..sides.side import Side
from .order import changes_slots, takes_logs, writes

# Possible outcomes of an access whose page, or whose slot, may be there or not.
EITHER: Final = ("ok", "efault", "sigbus")
ANY_SLOT: Final = (*EITHER, "io", "abort")


class UnsettledPages:
    """Pages of the host that depend on the order in which actors of par blocks made their steps.

    Ranges are sorted ranges of host addresses. They follow from the program, and are the same on both sides.

    :param side: provides the layouts

    *contents*: pages whose contents depend on the order; *presence*: pages that may or may not be present; *logs*:
    whether the contents of dirty logs depend on it; *taken*: pages that threads of the running block take away for
    good; *marked*: whether there are any such pages
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.page_size = side.granule.page_size
        self.contents: list[Range] = []
        self.presence: list[Range] = []
        self.logs = False
        self.taken: list[Range] = []
        self.marked = False
        # For the running block: the guest addresses of each slot before and within the block, keyed by the slot's name;
        # and the addresses of slots that are created, moved or deleted, as (VM, start, end).
        self.places: dict[str, list[int]] = {}
        self.changing: list[tuple[int, int, int]] = []

    # Blocks.

    def begin(self, op: Par) -> None:
        """Record the slots and pages that a block that begins may change."""
        self.places = {}
        self.changing = []
        for layout in self.side.layouts:
            self.places[layout.slot.name] = [layout.ipa]
        changes = changes_slots(op)
        for change in changes:
            if isinstance(change, (SlotCreate, SlotMove)) and change.ipa is not None:
                self.places[change.slot].append(change.ipa)
        for name in {change.slot for change in changes}:
            layout = self.side.by_name[name]
            self.changing += [(layout.slot.vm, ipa, ipa + layout.size) for ipa in self.places[name]]
        for each in map(plain, op.operations):
            if isinstance(each, (HostUnmap, HostPoison)):
                self.taken.append(self.reach(each))
        self.taken = merged(self.taken)
        self.marked = True

    def end(self, op: Par) -> None:
        """Record the pages that depend on the order of a block that has ended."""
        written = [(each.cpu, start, end) for each in op.operations for start, end in self.written(plain(each))]
        for actor, start, end in written:
            for other, first, last in written:
                if other != actor and start < last and first < end:
                    self.contents.append((max(start, first), min(end, last)))
        for access in op.operations:
            if isinstance(access, GuestAccess) and writes(access):
                if self.slots_change(access):
                    self.contents += self.written(access)
                self.logs = self.logs or self.may_fail(self.pages_of(access, True))
        gone: list[Range] = []
        for each in map(plain, op.operations):
            if isinstance(each, HostUnmap):
                # In any order, nothing is there when the block has ended.
                gone.append(self.reach(each))
            elif isinstance(each, HostPoison):
                self.presence.append(self.reach(each))
        self.presence, self.contents, self.taken = merged(self.presence), merged(self.contents), []
        for start, end in gone:
            self.mark_settled(start, end)
        self.logs = self.logs or takes_logs(op)
        self.marked = bool(self.presence or self.contents)

    def slots_change(self, access: GuestAccess) -> bool:
        """Tell whether a slot that is created, moved or deleted in the block may be at the address of an access."""
        return any(
            vm == self.side.vm_of(access.cpu).number and start <= ipa < end
            for ipa in self.addresses(access)
            for vm, start, end in self.changing
        )

    def addresses(self, access: GuestAccess) -> list[int]:
        """Return the guest addresses that an access of the block may use: the possible addresses of its slot."""
        return [ipa + access.offset for ipa in self.places[access.slot]]

    def written(self, op: Operation) -> list[Range]:
        """Return the pages whose contents an operation of the block may change."""
        if not writes(op):
            return []
        if isinstance(op, GuestAccess):
            return self.pages_at(op)
        assert isinstance(op, (HostWrite, HostWriteback, HostDiscard, HostReap))
        start, end = self.reach(op)
        # Reaping affects whole blocks, as far as an area extends.
        block = self.side.host.pmd_size if isinstance(op, HostReap) else 1
        return [(start & -block, (end + block - 1) & -block)]

    def pages_at(self, access: GuestAccess) -> list[Range]:
        """Return the pages of all slots that may be at the address of an access of the block."""
        number = self.side.vm_of(access.cpu).number
        found: list[Range] = []
        for ipa in self.addresses(access):
            for layout in self.side.guests[number].layouts:
                starts = [start for start in self.places[layout.slot.name] if start <= ipa < start + layout.size]
                found += [self.page(layout.hva + ipa - start) for start in starts]
        return merged(found)

    # Operations.

    def page(self, hva: int) -> Range:
        """Return the page around a host address."""
        start = hva & -self.page_size
        return start, start + self.page_size

    def page_of(self, access: GuestAccess) -> list[Range]:
        """Return the page of an access, where no slot changes."""
        return [self.page(self.side.by_name[access.slot].hva + access.offset)]

    def pages_of(self, access: GuestAccess, within: bool) -> list[Range]:
        """Return the pages that an access may touch.

        :param within: the access belongs to the running block, where another slot may take the place of its slot
        """
        return self.pages_at(access) if within and self.slots_change(access) else self.page_of(access)

    def pages_of_prefault(self, op: GuestPrefault) -> list[Range]:
        """Return the pages that user space has mapped in advance, where no slot changes."""
        start = self.side.by_name[op.slot].hva + op.offset
        return [(start, start + op.size)]

    def failed(self, pages: list[Range]) -> bool:
        """Tell whether memory has failed in one of the given pages."""
        runs = (self.side.host.run_at(start) for first, end in pages for start in range(first, end, self.page_size))
        return any(run is not None and run.flags & POISON != 0 for run in runs)

    def may_fail(self, pages: list[Range]) -> bool:
        """Tell whether some of the given pages may be gone."""
        return overlap(pages, self.taken) or overlap(pages, self.presence)

    def differs(self, access: GuestAccess) -> bool:
        """Tell whether the contents of the page of an access depend on the order of an earlier block."""
        return overlap(self.page_of(access), self.contents)

    def reach(self, op: HostUnmap | HostPoison | HostDiscard | HostReap | HostWrite | HostWriteback) -> Range:
        """Return the pages that an operation of the host affects.

        A failure of hugetlb memory affects a whole page, and only whole hugetlb pages are removed. The range may be
        empty (`Host.whole_pages`).
        """
        layout = self.side.by_name[op.slot]
        start = layout.hva + op.offset
        shift = HUGE_SHIFT.get(layout.slot.backing, 0)
        size = 1 << shift if shift else self.page_size
        if isinstance(op, HostPoison):
            return start & -size, (start & -size) + size
        if shift and isinstance(op, (HostUnmap, HostDiscard)):
            return (start + size - 1) & -size, (start + op.size) & -size
        return start, start + op.size

    def settle(self, op: Operation, done: bool) -> None:
        """Remove pages that an operation outside of blocks has replaced or written: they no longer depend on an order.

        :param done: whether it has taken effect
        """
        if isinstance(op, (HostDiscard, HostReap, HostUnmap)):
            start, end = self.reach(op)
            layout = self.side.by_name[op.slot]
            memfd = layout.slot.backing == MEMFD
            if done and (memfd or isinstance(op, HostUnmap) or self.side.host.vma_at(start) is not None):
                self.mark_settled(start, end)
        elif isinstance(op, HostWrite):
            start, end = self.reach(op)
            self.contents = cut(self.contents, start, end)
        elif isinstance(op, GuestAccess) and op.kind == "write" and done and (op.mmu or self.side.fwb):
            for start, end in self.page_of(op):
                self.contents = cut(self.contents, start, end)
        self.marked = bool(self.presence or self.contents)

    def mark_settled(self, start: int, end: int) -> None:
        """Mark a range as settled."""
        self.presence = cut(self.presence, start, end)
        self.contents = cut(self.contents, start, end)


def cut(ranges: list[Range], start: int, end: int) -> list[Range]:
    """Return sorted ranges without [start, end)."""
    return [part for first, last in ranges for part in without(first, last, [(start, end)])]
