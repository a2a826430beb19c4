# SPDX-License-Identifier: GPL-2.0-only
"""page-reference: a fault holds its reference on a host frame while needed, marks the page, and releases it once.

The look-up pins the frame. It stays pinned while the fault maps it, and is
released exactly once on every path. Before the release the host's page is marked:
accessed if the fault mapped it or granted more (but not if it only set an access flag, which
the host sees when it ages pages), dirty if the fault made it writable. A leaf must have let the guest write since
the fault last took the mmu lock, or the fault marks nothing dirty: it must retry, or it has lost a race for an entry.
Who stored that leaf does not matter: the winner of the race may have stored an equal entry. Exempt is a permission
fault whose leaf is gone by then, because relaxing no leaf succeeds in many versions, and the page is still the host's
page there. Only dirty is judged so, because many versions mark accessed on a retry too. While a fault
marks a page, a reference or the mmu lock must hold the page; an actor that frees
it has to wait for that lock.

Device frames have no page to pin or mark. A notifier (``change_pte``) maps
without a reference, because the host holds the page meanwhile. Direct calls
and ioremap also map without one; their callers are not judged here.
"""

from typing import NamedTuple

from reference.machine.descriptor import LEAF, TABLE, VALID_BIT, WRITE_BIT, address_bits, kind
from reference.machine.walk import ACCESS_FLAG, NONE, PERMISSION, Walk
from reference.per_actor import PerActor, PerActorStates

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, Peers
from .fault_checker import FaultChecker
from .rule import Clause, Rule
from .severity import Severity
from .shadow import Shadow


class References(PerActor):
    """The references on frames, and those among them that were left over and reported.

    *places*: where in a compiled tree a frame was pinned last
    """

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.reported: dict[int, int] = {}
        self.places: dict[int, str] = {}

    def copy(self) -> "References":
        mine = References()
        mine.counts, mine.reported = self.counts.copy(), self.reported.copy()
        mine.places = self.places.copy()
        return mine


class Pins(Checker):
    """Counts references on frames; none may be left when the caller gets control back."""

    rule = Rule(
        "page-reference",
        (
            Clause(
                "the frame that a fault looks up is pinned while it is mapped, marked accessed and (where writable) "
                "dirty, and released once, on every path"
            ),
            Clause("a fault after which the guest cannot write marks nothing dirty", "*: marked dirty, not mapped*"),
        ),
        "a page that is not held may be freed while the guest uses it; one that is not released stays pinned",
        Severity.CONTRACT,
        rank=5,
        finer=(
            ("*: released more often than pinned*", Severity.LIFETIME, 12),
            ("*: mapped, not pinned*", Severity.LIFETIME, 13),
            ("*, not held*", Severity.LIFETIME, 14),
            ("*: mapped writable, not marked dirty*", Severity.CORRUPTION, 4),
            ("*: marked dirty, not mapped*", Severity.ACCOUNTING, 6),
            ("*: frame still pinned*", Severity.ACCOUNTING, 5),
        ),
        reasons=(
            (
                "*: marked dirty, not mapped*",
                "the host writes back what nobody wrote, or marks a page that it has taken back",
            ),
        ),
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        # State of the running actor.
        self.own = References()
        self.per_actor = PerActorStates(self.own)

    def turn(self, actor: int) -> None:
        self.own = self.per_actor.of(actor)

    def pin(self, pfn: int) -> None:
        self.own.counts[pfn] = self.own.counts.get(pfn, 0) + 1
        if self.kernel.place:
            self.own.places[pfn] = self.kernel.place

    def get_pfn(self, pfn: int) -> None:
        self.pin(pfn)

    def release(self, pfn: int) -> None:
        count = self.own.counts.pop(pfn, 0)
        if not count:
            self.wrong("released more often than pinned", f"frame {pfn:#x} is released and was not pinned")
        elif count > 1:
            self.own.counts[pfn] = count - 1
        else:
            self.own.places.pop(pfn, None)
        if self.own.reported.get(pfn, 0) >= count > 0:
            self.own.reported[pfn] = count - 1

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        # The guest runs: a previous fault has ended.
        self.returned()

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if outcome.status != "oops":
            self.returned()

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.returned()

    def destroyed(self) -> None:
        self.returned()

    def returned(self) -> None:
        """Judge the references when the caller gets control back."""
        if self.own.counts and self.own.counts != self.own.reported:
            left = [pfn for pfn in sorted(self.own.counts) if self.own.counts[pfn] > self.own.reported.get(pfn, 0)]
            if left:
                frames = ", ".join([f"{pfn:#x} ({self.own.counts[pfn]})" for pfn in left])
                place = self.own.places.get(left[0], "")
                self.wrong("frame still pinned", f"references left on frames {frames}", place)
            self.own.reported = dict(self.own.counts)

    def held(self) -> bool:
        """Return whether there is a reference besides those reported as left over."""
        return any(count > self.own.reported.get(pfn, 0) for pfn, count in self.own.counts.items())

    def wrong(self, what: str, reason: str, where: str = "") -> None:
        """Record a violation that does not taint; *where*: as in `report`."""
        self.report(f"{what}{self.kernel.cause}", -1, reason, taints=False, function=self.kernel.entry, where=where)


class Mapped:
    """A leaf that a fault wrote: guest address, level, entry, frames of its host page, and whether dirty is due.

    *place*: where in a compiled tree it was written
    """

    def __init__(self, ipa: int, level: int, entry: int, first: int, end: int, dirty: bool, place: str) -> None:
        self.ipa = ipa
        self.level = level
        self.entry = entry
        self.first = first
        self.end = end
        self.dirty = dirty
        self.place = place


class LateViolation(NamedTuple):
    """A violation for the quiet point, at a guest address; *place*: where in a compiled tree it happened."""

    what: str
    level: int
    reason: str
    ipa: int
    place: str


class FaultMarks(PerActor):
    """The marks and leaves of the fault in progress."""

    def __init__(self) -> None:
        self.fault_ipa, self.fault = 0, NONE
        # True if this fault has looked a frame up.
        self.looked_up = False
        self.waiting: list[Mapped] = []
        # (level, address) -> leaf that the fault itself broke: a new leaf there of the same frame was already mapped.
        self.broken: dict[tuple[int, int], int] = {}
        self.dirty: set[int] = set()
        self.accessed: set[int] = set()
        # A compare-exchange of this fault failed, because the entry had changed, and none has made a leaf since.
        self.lost = False
        # A leaf let the guest write at *fault_ipa*, at some time since the fault last took the mmu lock.
        self.granted = False
        # The last result of mmu_notifier_retry() since then.
        self.must_retry = False
        # Violations for the quiet point.
        self.late: list[LateViolation] = []
        # Those of dirty marks, unless this fault still maps its page writable: then `fault_order` judges the order.
        self.early: list[LateViolation] = []

    def forget(self) -> None:
        """Reset the state before a fault."""
        self.looked_up = self.lost = self.granted = self.must_retry = False
        self.waiting.clear()
        self.broken.clear()
        self.dirty.clear()
        self.accessed.clear()
        self.early.clear()

    def copy(self) -> "FaultMarks":
        mine = FaultMarks()
        mine.fault_ipa, mine.fault = self.fault_ipa, self.fault
        mine.looked_up, mine.lost = self.looked_up, self.lost
        mine.granted, mine.must_retry = self.granted, self.must_retry
        mine.waiting, mine.late, mine.early = self.waiting[:], self.late[:], self.early[:]
        mine.broken, mine.dirty, mine.accessed = self.broken.copy(), self.dirty.copy(), self.accessed.copy()
        return mine


class PageReference(FaultChecker):
    """Judges the leaves that a fault writes, once it has ended.

    A mark after the reference is released is reported as not held, and not as missing.

    *pins*: receives events before this checker, as the translation checker does at quiet points
    """

    rule = Pins.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.pins = peers.of(Pins)
        self.page_shift = self.granule.page_shift
        # State of the running actor.
        self.own = FaultMarks()
        self.per_actor = PerActorStates(self.own)

    def turn(self, actor: int) -> None:
        super().turn(actor)
        self.own = self.per_actor.of(actor)

    def access_begins(self) -> None:
        self.own.late.clear()
        self.own.forget()

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        self.returned()
        self.own.fault_ipa, self.own.fault = ipa, walk.fault

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if outcome.status != "oops":
            self.returned()
            self.report_late()

    def returned(self) -> None:
        """Judge the leaves of the previous fault, if there was one; no more marks can follow."""
        if self.faulting:
            for leaf in self.own.waiting:
                self.judge(leaf)
            self.own.late += self.own.early
            self.own.forget()

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        self.own.looked_up = self.own.looked_up or pfn >= 0

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        self.own.lost = self.faulting

    def lock(self, name: str, vmid: int) -> None:
        if self.faulting and name == "mmu":
            self.own.granted = self.is_writable(self.own.fault_ipa)
            self.own.must_retry = False

    def retry(self, sampled: int, now: int, in_progress: int, result: bool) -> None:
        self.own.must_retry = self.faulting and result

    def is_writable(self, ipa: int) -> bool:
        """Return whether a leaf lets the guest write at a guest address."""
        level, leaf = self.shadow.lookup(ipa)
        return level >= 0 and leaf & WRITE_BIT != 0

    def set_dirty(self, pfn: int) -> None:
        self.own.dirty.add(pfn)
        why = self.why_not_dirty(pfn)
        if why:
            late = self.own.late if self.own.lost else self.own.early
            late.append(self.wrong_mark("marked dirty, not mapped", f"frame {pfn:#x}: {why}"))
        self.must_be_held(pfn, "dirty")

    def why_not_dirty(self, pfn: int) -> str:
        """Explain why the fault should not mark a frame dirty; "" if it may."""
        own = self.own
        if not self.faulting or own.granted:
            # Whoever stored the leaf: an equal entry of the winner of a race serves the loser as well.
            return ""
        if own.lost:
            return "the fault lost a race for the entry, and no leaf lets the guest write there"
        # A fault may map more than the page that it is about.
        if any(leaf.entry & WRITE_BIT and leaf.first <= pfn < leaf.end for leaf in own.waiting):
            return ""
        if own.must_retry:
            return "the fault must retry, because the host may have taken the page back"
        if own.fault == PERMISSION and self.shadow.lookup(own.fault_ipa)[0] < 0:
            return ""
        return "the fault mapped nothing that the guest may write"

    def set_accessed(self, pfn: int) -> None:
        self.own.accessed.add(pfn)
        self.must_be_held(pfn, "accessed")

    def must_be_held(self, pfn: int, mark: str) -> None:
        """Judge that a page which a fault marks cannot be freed meanwhile."""
        # A fault looks up one page, so a reference on any part of it holds that page.
        if self.faulting and not self.pins.held() and "mmu" not in self.kernel.locks:
            reason = f"frame {pfn:#x}: with neither a reference nor the mmu lock it may have been freed"
            self.own.late.append(self.wrong_mark(f"marked {mark}, not held", reason))

    def wrong_mark(self, what: str, reason: str) -> LateViolation:
        """Return a violation by a mark, for the quiet point."""
        return LateViolation(f"{what}{self.kernel.cause}", -1, reason, self.own.fault_ipa, self.kernel.place)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        now = kind(new, level, self.granule)
        if new & WRITE_BIT or now == TABLE:
            self.granted_below(ipa, level)
        # Within a fault, copy-on-write may call a notifier.
        if not self.faulting or self.shadow.by_hardware or self.guest.kvm.mmu_notifier_count:
            return
        if not new & VALID_BIT:
            if old & VALID_BIT and kind(old, level, self.granule) == LEAF:
                self.own.broken[(level, ipa)] = old
            return
        if now != LEAF:
            return
        self.own.lost = False
        old = self.own.broken.get((level, ipa), old)
        pa = address_bits(new, self.granule)
        size = self.granule.level_size(level)
        pfn = pa >> self.page_shift
        # A wrong or stale leaf is reported by the translation checker.
        if not self.side.kvm_host.pfn_valid(pfn) or not self.guest.maps_backing(ipa, pfn):
            return
        elsewhere = not ipa <= self.own.fault_ipa < ipa + size
        if elsewhere and self.shadow.exposed_before(ipa, ipa + size).maps(ipa, pa, 0, 0):
            # The fault broke this leaf on its way, and maps it again unchanged.
            return
        if not self.own.looked_up and old and not old & VALID_BIT and address_bits(old, self.granule) == pa:
            # The table kept the leaf, invalid, and its marks were made when it was first mapped.
            return
        huge = max(size, self.host_page(ipa))
        first = pfn & -(huge >> self.page_shift)
        end = first + (huge >> self.page_shift)
        stays = old & VALID_BIT and kind(old, level, self.granule) == LEAF and address_bits(old, self.granule) == pa
        if not stays and not self.pinned(first, end):
            self.wrong("mapped, not pinned", ipa, level, new, self.kernel.place)
        # A host page that takes several leaves even from the root is mapped by a walk that -EAGAIN may end
        # early. Then nothing is marked dirty, whatever was mapped before.
        one = huge == size or level != self.guest.regime.start_level
        dirty = one and new & WRITE_BIT != 0 and not (stays and old & WRITE_BIT)
        self.own.waiting.append(Mapped(ipa, level, new, first, end, dirty, self.kernel.place))

    def granted_below(self, ipa: int, level: int) -> None:
        """Note the faults, of any actor, whose page became writable by a store to the entry of *level* at *ipa*."""
        size = self.granule.level_size(level)
        for each in self.per_actor.all:
            # Another actor may map the page for this fault.
            if not each.granted and ipa <= each.fault_ipa < ipa + size and self.is_writable(each.fault_ipa):
                each.granted = True
                each.early.clear()

    def host_page(self, ipa: int) -> int:
        """Return the size of the host's page, huge or not, behind a guest address; 0: there is none.

        References and marks belong to the whole page: a compound page has them in its head.
        """
        layout = self.guest.layout_of(ipa)
        return 0 if layout is None else self.guest.host.unit_at(layout.hva + ipa - layout.ipa)[1]

    def pinned(self, first: int, end: int) -> bool:
        """Return whether there is a reference on one of these frames: it holds the whole host page."""
        for pfn in self.pins.own.counts:
            if first <= pfn < end:
                return True
        return False

    def judge(self, leaf: Mapped) -> None:
        """Judge the marks that are due on the host page of a leaf."""
        # A set access flag is reported to the host when the host ages its pages.
        if self.own.fault != ACCESS_FLAG and not self.marked(self.own.accessed, leaf):
            self.wrong("mapped, not marked accessed", leaf.ipa, leaf.level, leaf.entry, leaf.place)
        if leaf.dirty and not self.marked(self.own.dirty, leaf):
            self.wrong("mapped writable, not marked dirty", leaf.ipa, leaf.level, leaf.entry, leaf.place)

    def marked(self, marks: set[int], leaf: Mapped) -> bool:
        """Return whether a frame of the host page was marked."""
        for pfn in marks:
            if leaf.first <= pfn < leaf.end:
                return True
        return False

    def wrong(self, what: str, ipa: int, level: int, entry: int, place: str) -> None:
        """Record a violation for the quiet point, so that a leaf that is itself wrong is reported first."""
        reason = f"{self.text(entry, level)} at {ipa:#x}"
        self.own.late.append(LateViolation(f"{what}{self.kernel.cause}", level, reason, ipa, place))

    def report_late(self) -> None:
        """Report the recorded violations; they do not taint."""
        for what, level, reason, ipa, place in self.own.late:
            pages = frozenset([ipa])
            self.report(what, level, reason, pages, taints=False, function=self.kernel.entry, where=place)
        self.own.late.clear()
