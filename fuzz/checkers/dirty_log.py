# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: every guest write to a logged slot is in the next log that user space collects.

`Translation` judges whether the tables would let a write go unreported. This
checker follows the writes themselves, including writes through stale TLB entries.
"""

from typing import Final

from reference.kvm import KVM_DIRTY_LOG_INITIALLY_SET, KVM_MEM_LOG_DIRTY_PAGES
from reference.machine.descriptor import WRITE_BIT
from reference.machine.walk import NONE, SPECULATE, WRITE, Walk

from ..language.operations import ClearLog, GetLog, OnSlot, Operation, SlotMove
from ..sides.guest import RESET_RINGS, Guest, SlotLayout
from ..sides.outcome import Outcome
from .checker import GuestChecker, Peers
from .log_causes import Cause, LogCauses
from .rule import Clause, Rule
from .severity import Severity
from .shadow import Shadow

# The consequence of a page that was written and is in no log.
LEFT_OUT: Final = "live migration would leave out pages that the guest has changed"
# Violations by dirty state that the hardware manages (`DirtyState`).
STATE_LOST: Final = "dirty state lost"
OVERWRITTEN: Final = "dirty state overwritten by a plain store"


class LogCollection:
    """A collection in progress in a par block.

    :param in_flight: the faults that were in flight when it began

    *late*: slots and pages that were first written since then
    """

    def __init__(self, in_flight: list[int]) -> None:
        self.in_flight = in_flight
        self.late: set[tuple[int, int]] = set()


class DirtyLog(GuestChecker):
    """Judges each log that is collected.

    A page counts as written from the write until its bit was handed to
    user space and cleared: by the collection itself, or by the call that
    clears the collected bits. A write between the two is covered,
    because user space reads the page after it has cleared the bit. Turning
    logging off or deleting the slot ends this state for all pages; a move does not.

    In a par block, one actor's fault may have mapped the page that another actor writes, and mark it dirty only
    after it has dropped the mmu lock. So a write is owed to the first log whose collection begins after every fault
    in flight at the write has returned.

    *over_reported*: number of pages in a log that were not written since they were last
    cleared; a cost, not a violation
    """

    rule = Rule(
        "dirty-log",
        (
            Clause("every guest write to a logged slot is in the next log that user space collects"),
            Clause(
                "pages are write-protected after the log is installed, and not before their bits are taken",
                "*: write-protected before*",
            ),
            Clause(
                "the dirty bitmap of an installed slot changes only by atomic operations",
                "*: dirty bitmap changed by a plain store*",
            ),
            Clause(
                "an entry of a dirty ring is filled, and a barrier follows, before it is published",
                "*: dirty ring entry published *",
            ),
            Clause(
                "a page that a vCPU with a dirty ring dirties is in its ring, not in the bitmap",
                "*: page logged in the bitmap, not in the ring*",
            ),
            Clause(
                "dirty state that the hardware has recorded in a leaf is in the log before the leaf loses it",
                f"*: {STATE_LOST}*",
            ),
            Clause(
                "a leaf whose dirty state the hardware may record meanwhile changes only by atomic operations",
                f"*: {OVERWRITTEN}*",
            ),
        ),
        LEFT_OUT,
        Severity.CORRUPTION,
        rank=2,
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.over_reported = 0
        # Logged slot -> pages written, by number within the slot. Each page has the
        # level of the entry that let the first write pass, and whether the tables
        # still held that entry.
        self.written: dict[int, dict[int, tuple[int, bool]]] = {}
        # In a par block: the current fault of each actor, by number; the number of faults begun so far; by slot and
        # page, the faults that were in flight at the first write, if any.
        self.faults: dict[int, int] = {}
        self.begun = 0
        self.in_flight: dict[tuple[int, int], list[int]] = {}
        # By actor, what its current call clears: its first page, and the words from that page on.
        self.clearing: dict[int, tuple[int, list[int]]] = {}
        # By actor, the collection in progress.
        self.collections: dict[int, LogCollection] = {}
        self.causes = LogCauses(self.shadow, self.granule.page_shift)

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        actor = self.kernel.actor
        if actor and access != SPECULATE:
            self.faults.pop(actor, None)
            if walk.fault != NONE:
                self.begun += 1
                self.faults[actor] = self.begun
        if not self.written or access == SPECULATE:
            return
        if walk.fault != NONE:
            self.causes.fault(ipa >> self.granule.page_shift)
            return
        if access != WRITE:
            return
        layout = self.guest.slot_reached(ipa & -self.granule.page_size, walk.pa >> self.granule.page_shift)
        pages = self.written.get(layout.id) if layout is not None else None
        if layout is None or pages is None:
            return
        page = (ipa - layout.ipa) >> self.granule.page_shift
        if page not in pages:
            entry = self.shadow.lookup(ipa)[1]
            pages[page] = (walk.level, entry & WRITE_BIT != 0)
            self.causes.write(ipa >> self.granule.page_shift, entry)
            for each in self.collections.values():
                each.late.add((layout.id, page))
            if self.faults:
                self.in_flight[layout.id, page] = list(self.faults.values())

    def actor_begins(self, op: Operation) -> None:
        # A collection that waits for another one to end also begins here, though KVM reads its log later.
        if isinstance(op, GetLog):
            self.collections[self.kernel.actor] = LogCollection(list(self.faults.values()))
        self.look_at(op)

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.faults.pop(self.kernel.actor, None)
        self.after_operation(op, outcome)
        self.collections.pop(self.kernel.actor, None)

    def before_operation(self, op: Operation | None) -> None:
        self.causes.begin_operation()
        # Outside par blocks no fault is in flight.
        if self.begun:
            self.faults.clear()
        self.look_at(op)

    def look_at(self, op: Operation | None) -> None:
        """Note what an operation that begins will clear."""
        if isinstance(op, ClearLog) and self.side.by_name[op.slot].slot.vm == self.guest.vm:
            words = self.side.by_name[op.slot].collected
            shift = self.granule.page_shift
            first, last = op.offset >> shift >> 6, (op.offset + op.size - 1) >> shift >> 6
            self.clearing[self.kernel.actor] = first << 6, words[first : last + 1]

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if op is None:
            for layout in self.guest.layouts:
                self.follow(layout)
        elif isinstance(op, (OnSlot, ClearLog)):
            layout = self.side.by_name[op.slot]
            if layout.slot.vm != self.guest.vm:
                return
            self.follow(layout)
            if isinstance(op, SlotMove):
                self.causes.moved.add(layout.id)
            pages = self.written.get(layout.id)
            if pages is None or outcome.status != "ok":
                return
            if isinstance(op, GetLog):
                self.collected(layout, pages, outcome.value)
                if not self.guest.kvm.manual_dirty_log_protect:
                    self.handed_over(layout, 0, outcome.value)
            elif isinstance(op, ClearLog):
                first, words = self.clearing.get(self.kernel.actor, (0, []))
                for page in [page for page in pages if is_set(words, page - first)]:
                    del pages[page]
                self.handed_over(layout, first, words)

    def follow(self, layout: SlotLayout) -> None:
        """Follow writes to a slot while it is logged."""
        gfn, pages = layout.ipa >> self.granule.page_shift, layout.size >> self.granule.page_shift
        if layout.live and layout.flags & KVM_MEM_LOG_DIRTY_PAGES and not layout.readonly:
            if layout.id not in self.written:
                self.written[layout.id] = {}
                all_dirty = self.guest.kvm.manual_dirty_log_protect & KVM_DIRTY_LOG_INITIALLY_SET != 0
                self.causes.begin_log(layout.id, gfn, pages, all_dirty)
        elif self.written.pop(layout.id, None) is not None:
            self.causes.end_log(layout.id, gfn, pages)

    def handed_over(self, layout: SlotLayout, first: int, words: object) -> None:
        """Note that user space has received pages of a slot: those in *words*, 64 each, from page *first* on."""
        if self.kernel.actor:
            # A fault of another actor may have made the leaf anew.
            return
        assert isinstance(words, list)
        # Where a slot has a bitmap besides rings, the pages of the bitmap are known from `log_taken`.
        function = RESET_RINGS if self.guest.kvm.dirty_ring_size else self.kernel.entry
        gfn, pages = (layout.ipa >> self.granule.page_shift) + first, (layout.size >> self.granule.page_shift) - first
        self.causes.hand_over(function, gfn, pages, words)

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        if self.written and self.kernel.vmid == self.vmid:
            self.causes.mark(gfn)

    def log_taken(self, vmid: int, slot: int, gfn: int, mask: int, whole: bool) -> None:
        if vmid == self.vmid:
            self.causes.take(slot, gfn, mask, self.kernel.place)

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        if vmid == self.vmid and flags != -1 and flags & KVM_MEM_LOG_DIRTY_PAGES and slot not in self.written:
            self.causes.installed[slot] = self.kernel.place

    def collected(self, layout: SlotLayout, pages: dict[int, tuple[int, bool]], bitmap: object) -> None:
        """Judge *bitmap*, which user space received: all written pages must be in it."""
        assert isinstance(bitmap, list)
        reported = sum(map(int.bit_count, bitmap))
        lost: dict[tuple[int, bool, str, str], list[int]] = {}
        kept: dict[int, tuple[int, bool]] = {}
        for page in sorted(pages):
            if is_set(bitmap, page):
                reported -= 1
            elif self.owed(layout.id, page):
                level, mapped = pages[page]
                cause = self.causes.cause_of(layout.id, (layout.ipa >> self.granule.page_shift) + page, mapped)
                lost.setdefault((level, mapped, cause.text, cause.where), []).append(page)
            else:
                kept[page] = pages[page]
        if not self.guest.is_nested:
            self.over_reported += reported
        for (level, mapped, text, where), missing in sorted(lost.items()):
            self.report_lost(layout, level, mapped, missing, Cause(text, where))
            for page in missing:
                del pages[page]
        if not self.guest.kvm.manual_dirty_log_protect:
            pages.clear()
            pages.update(kept)

    def reported(self, ipa: int) -> None:
        """Note that a write to the page at *ipa* was reported as lost: no log has to contain it any more."""
        layout = self.guest.layout_of(ipa)
        if layout is not None and layout.id in self.written:
            self.written[layout.id].pop((ipa - layout.ipa) >> self.granule.page_shift, None)

    def owed(self, slot: int, page: int) -> bool:
        """Return whether a write is owed to the log whose collection has ended."""
        collection = self.collections.get(self.kernel.actor)
        if collection is None:
            return True
        in_flight = self.in_flight.get((slot, page), [])
        return (slot, page) not in collection.late and not any(fault in collection.in_flight for fault in in_flight)

    def report_lost(self, layout: SlotLayout, level: int, mapped: bool, pages: list[int], cause: Cause) -> None:
        through = "a writable leaf" if mapped else "a stale TLB entry"
        shift = self.granule.page_shift
        places = [layout.ipa + (page << shift) for page in pages]
        self.report(
            f"write through {through} not reported",
            level,
            f"the guest wrote {ranges(places, 1 << shift)}, which is missing from the log of slot {layout.slot.name}"
            f"{'; ' if cause.text else ''}{cause.text}",
            frozenset(places),
            # The log is wrong, the tables need not be.
            taints=False,
            function=self.kernel.entry,
            where=cause.where,
        )


def is_set(words: list[int], number: int) -> bool:
    """Return whether a bit is set in *words*, 64 bits each; False beyond the last word."""
    return 0 <= number >> 6 < len(words) and words[number >> 6] >> (number & 63) & 1 != 0


def ranges(places: list[int], size: int) -> str:
    """Return pages of *size* bytes at *places*, which are sorted, as text with address ranges."""
    found: list[tuple[int, int]] = []
    for place in places:
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + size)
        else:
            found.append((place, place + size))
    return ", ".join(f"[{start:#x}, {end:#x})" for start, end in found)
