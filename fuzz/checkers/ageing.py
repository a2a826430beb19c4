# SPDX-License-Identifier: GPL-2.0-only
"""ageing: the host learns of every access that the hardware recorded, and the record is cleared when the host asks.

The record is the access flag of the leaf that maps a page. Mapping the page sets
it, and so does an access flag fault, or the access itself with hardware AF. An access
through a TLB entry whose leaf was aged without a flush is not recorded, by
design of ``clear_young``. Losing the record on unmap does not matter either.
"""

from typing import Final

from reference.machine.descriptor import AF_BIT, LEAF, VALID_BIT, kind

from ..language.operations import HostAge, HostTestAge, Operation, TableIsYoung, TableMkold, TableMkyoung
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, GuestChecker, Peers
from .owed_entries import key_of
from .rule import Rule
from .severity import Severity
from .shadow import Shadow
from .tlb import Tlb

# The suffix if only pages after the first leaf of a host page's range are concerned.
BEYOND_FIRST: Final = ", beyond the first leaf of a huge page"
UNFLUSHED: Final = "cleared without flush"


class Ageing(GuestChecker):
    """Judges one VM's tables after each call that ages, and changes of the access flag at all other times.

    *young*: (level, address) of the leaves in range whose access flag was set
    when the call began; *first*: those that map the first page of a range;
    *disturbed*: something else changed the tables during the call
    """

    rule = Rule(
        "ageing",
        "the host learns of every access that the access flag recorded, and a flag that it clears is clear",
        "the host would swap out pages in use and keep unused ones",
        Severity.CONTRACT,
        rank=6,
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.tlb = peers.at(Tlb, guest)
        self.active = False
        self.disturbed = False
        # In a par block: the actors whose operation ages.
        self.agers: set[int] = set()
        # The guest address range of each host page, per slot.
        self.ranges: list[tuple[int, int]] = []
        self.young: list[tuple[int, int]] = []
        self.first: list[tuple[int, int]] = []
        self.cleared: list[tuple[int, int]] = []

    def before_operation(self, op: Operation | None) -> None:
        self.agers.clear()
        self.active = ages(op)
        if not self.active:
            return
        self.disturbed = False
        self.cleared.clear()
        self.ranges = self.ranges_of(op)
        self.young, self.first = self.find_young()

    def actor_begins(self, op: Operation) -> None:
        # In a par block, the only rule is that no other actor clears the flag.
        if ages(op):
            self.agers.add(self.kernel.actor)
        else:
            self.agers.discard(self.kernel.actor)

    def ranges_of(self, op: Operation | None) -> list[tuple[int, int]]:
        """Return the guest addresses that *op* ages, one range for each host page and slot."""
        if self.guest.is_nested:
            # By design, see docs/kernel-trees.md.
            return []
        page = self.granule.page_size
        if isinstance(op, (HostAge, HostTestAge)):
            start = self.side.by_name[op.slot].hva + op.offset
            if isinstance(op, HostTestAge):
                return self.guest.ipa_ranges(start & -page, (start & -page) + page)
            found: list[tuple[int, int]] = []
            for hva, size in self.side.pages_to_age(start, start + op.size):
                found += self.guest.ipa_ranges(hva, hva + size)
            return found
        if isinstance(op, (TableMkold, TableMkyoung, TableIsYoung)):
            layout = self.side.by_name[op.slot]
            if layout.slot.vm == self.guest.number:
                ipa = (layout.ipa + op.offset) & -page
                return [(ipa, ipa + page)]
        return []

    def find_young(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return (level, address) of the young leaves in range, and of those among them where a range begins."""
        found: list[tuple[int, int]] = []
        first: list[tuple[int, int]] = []
        for start, end in self.ranges:
            for level, ipa, entry in self.shadow.leaves_in(start, end):
                if entry & AF_BIT:
                    found.append((level, ipa))
                    if ipa <= start:
                        first.append((level, ipa))
        return found, first

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if self.active:
            if old & ~new & VALID_BIT or new & ~old & AF_BIT:
                self.disturbed = True
            elif old & ~new & AF_BIT:
                self.cleared.append((level, ipa))
        elif old & ~new & AF_BIT and old & new & VALID_BIT and not self.side.haf:
            # With hardware AF, an update of other fields may lose the flag, by design.
            if self.kernel.actor in self.agers:
                return
            if kind(old, level, self.granule) == kind(new, level, self.granule) == LEAF:
                self.report(
                    "access flag lost",
                    level,
                    f"{self.text(old, level)} at {ipa:#x} became {self.text(new, level)}; no call asked for its age",
                    frozenset([ipa]),
                    taints=False,
                )

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if not self.active or outcome.status != "ok":
            return
        if isinstance(op, TableMkyoung):
            for start, _ in self.ranges:
                level, entry = self.shadow.lookup(start)
                if level >= 0 and not entry & AF_BIT:
                    text = f"{self.text(entry, level)} at {start:#x}"
                    self.complain("still old after mkyoung", [(level, start)], text)
        elif self.disturbed:
            return
        elif isinstance(op, (HostTestAge, TableIsYoung)):
            if self.cleared:
                self.complain("cleared by a test", self.cleared, f"{pages_text(self.cleared)} lost the access flag")
        elif isinstance(op, (HostAge, TableMkold)):
            young, first = self.find_young()
            if young:
                what = "still young after clearing" + ("" if first else BEYOND_FIRST)
                self.complain(what, first or young, f"{pages_text(young)} kept the access flag")
            aged = self.tlb.owed.aged
            held = [(level, ipa) for level, ipa in self.cleared if key_of(level, ipa) in aged]
            if isinstance(op, HostAge) and op.flush and held and not self.side.standard.main.ELIDES_AGED_FLUSH:
                self.complain(UNFLUSHED, held, f"CPUs may still hold {pages_text(held)} as young")

    def complain(self, what: str, leaves: list[tuple[int, int]], reason: str) -> None:
        """Report some leaves; a wrong age does not taint."""
        places = frozenset([ipa for _, ipa in leaves])
        self.report(what, leaves[0][0], reason, places, taints=False, function=self.kernel.entry)


class AgeingResults(Checker):
    """Judges what the host learns, over all VMs.

    *guests*: the `Ageing` checkers of all VMs; they see each operation before this checker does
    """

    rule = Ageing.rule

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.guests = peers.each(Ageing)

    def vm_ended(self, guest: Guest) -> None:
        self.guests = [each for each in self.guests if each.guest is not guest]

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if not isinstance(op, (HostAge, HostTestAge, TableMkold, TableIsYoung)) or outcome.status != "ok":
            return
        if any(guest.disturbed for guest in self.guests):
            return
        if outcome.value:
            if not any(guest.young for guest in self.guests):
                self.report(
                    "old page reported young",
                    -1,
                    f"the caller got the answer young, but no leaf of {op.slot}+{op.offset:#x} had the access flag",
                    taints=False,
                    function=self.kernel.entry,
                )
            return
        for guest in self.guests:
            if guest.young:
                what = "young page reported old" + ("" if guest.first else BEYOND_FIRST)
                guest.complain(what, guest.first or guest.young, f"{pages_text(guest.young)} had the access flag")
                self.explain_missing_flush()

    def explain_missing_flush(self) -> None:
        """Mark the missing flush of this operation as a consequence: nothing is flushed for pages reported old."""
        for violation in self.found[:-1]:
            if violation.checker == self.rule.name and violation.what == UNFLUSHED:
                violation.follows = self.found[-1]


def ages(op: Operation | None) -> bool:
    """Return whether an operation ages pages or queries their age."""
    # Inline, this is compiled to comparisons; a named tuple constant is not.
    return isinstance(op, (HostAge, HostTestAge, TableMkold, TableMkyoung, TableIsYoung))


def pages_text(leaves: list[tuple[int, int]]) -> str:
    """Return leaves as text: their number and the location of the first."""
    level, ipa = leaves[0]
    return f"{len(leaves)} leaf(s), the first at {ipa:#x}, level {level},"
