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

from reference.machine.descriptor import AF_BIT, LEAF, TABLE, VALID_BIT, address_bits, kind
from reference.machine.walk import ACCESS_FLAG, NONE, PERMISSION, TRANSLATION, Walk
from reference.per_actor import PerActorStates

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .checker import Peers
from .fault_checker import FaultChecker
from .fault_marks import FaultMarks, LateViolation, Mapped
from .page_pins import Pins
from .shadow import Shadow


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

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        self.returned()
        level, entry = self.shadow.lookup(ipa)
        self.own.fault_ipa = ipa
        self.own.fault = TRANSLATION if level < 0 else NONE if entry & AF_BIT else ACCESS_FLAG

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
        return level >= 0 and self.guest.regime.allows_writes(leaf)

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
        if any(self.guest.regime.allows_writes(leaf.entry) and leaf.first <= pfn < leaf.end for leaf in own.waiting):
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
        if now == TABLE or self.guest.regime.allows_writes(new):
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
        writes = self.guest.regime.allows_writes
        dirty = one and writes(new) and not (stays and writes(old))
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
