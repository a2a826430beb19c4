# SPDX-License-Identifier: GPL-2.0-only
"""page-reference: the references on host frames, counted; none is left when the caller gets control back."""

from reference.machine.walk import Walk
from reference.per_actor import PerActor, PerActorStates

from ..language.operations import Operation
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, Peers
from .rule import Clause, Rule
from .severity import Severity


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
            ("*: mapped, not marked accessed*", Severity.CONTRACT, 13),
        ),
        reasons=(
            (
                "*: marked dirty, not mapped*",
                "the host writes back what nobody wrote, or marks a page that it has taken back",
            ),
            (
                "*: mapped writable, not marked dirty*",
                "the host drops the page without writing it back, and what the guest wrote is lost",
            ),
            ("*: mapped, not marked accessed*", "the host takes a page in use for an unused one, and reclaims it"),
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

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        # The previous step has ended.
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
