# SPDX-License-Identifier: GPL-2.0-only
"""progress: an access completes within a bounded number of faults, a walk within bounded steps."""

from typing import Final

from ..language.operations import Operation, Par
from ..sides.outcome import Outcome
from ..sides.pulse import PULSE
from ..sides.side import Side
from .checker import Checker, Peers
from .fault_order import FaultOrder
from .rule import Clause, Rule
from .severity import Severity

# Upper bound on the steps of one operation (tables entered, stores, locks, look-ups): a constant, plus
# more per page than mapping or unmapping every page of every slot takes.
BASE_STEPS: Final = 100_000
STEPS_PER_PAGE: Final = 16
# Factor where vCPUs have EL2: ranges of the size of a block in the address space of random programs.
MOST_RANGES: Final = 128
# One beat of `fuzz.sides.pulse` per this many steps, plus one.
_BEAT: Final = 255


class RunawayError(Exception):
    """The kernel code takes too many steps; it may not terminate."""


class Progress(Checker):
    """Judges the number of faults and of steps."""

    rule = Rule(
        "progress",
        (
            Clause("kernel code returns within a bounded number of steps"),
            Clause("accesses complete", "*: access does not complete*"),
        ),
        "a vCPU that faults forever, or kernel code that does not return, hangs guest or host",
        Severity.HANG,
        rank=4,
        finer=(("*: too many steps*", Severity.HANG, 7),),
        reasons=(
            (
                "*: too many steps*",
                "kernel code that does not return, or only after far too much work, stalls guest and host",
            ),
        ),
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.orders = peers.each(FaultOrder)
        self.steps = 0
        pages = sum(layout.size for layout in side.layouts) >> self.granule.page_shift
        self.limit = BASE_STEPS + STEPS_PER_PAGE * pages
        if side.nested is not None:
            # Each notification walks all of the address space at EL1, range by range.
            self.limit *= MOST_RANGES

    def before_operation(self, op: Operation | None) -> None:
        self.steps = 0
        self.kernel.last.forget_steps()

    def step(self) -> None:
        """Count one more step of this operation.

        :raises RunawayError: there were too many
        """
        self.steps += 1
        if self.steps > self.limit:
            reason = f"more than {self.limit} steps in one operation, which ends here: a loop that does not end, or "
            reason += "far more work than all slots call for"
            self.report("too many steps", -1, reason)
            raise RunawayError
        if not self.steps & _BEAT:
            PULSE.beat()

    def walk(self, vmid: int, start: int, end: int) -> None:
        if PULSE.on:
            PULSE.place(self.kernel.entry, self.kernel.walker)

    def walk_table(self, table: int, level: int) -> None:
        self.step()

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.step()

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        self.step()

    def lock(self, name: str, vmid: int) -> None:
        self.step()

    def vma(self, hva: int, start: int, end: int) -> None:
        self.step()

    def resched(self) -> None:
        self.step()

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.judge(outcome)

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        # The accesses of a par block were judged when their actors ended them.
        if not isinstance(op, Par):
            self.judge(outcome)

    def judge(self, outcome: Outcome) -> None:
        """Judge the access that has just ended."""
        if outcome.status != "stuck":
            return
        reason = f"still a fault after {outcome.faults} faults"
        fault = outcome.fault
        if fault is not None and fault.ptep < 0:
            reason += f", by an entry in the TLB of the CPU: {self.text(fault.entry, fault.level)}"
        self.report(
            "access does not complete",
            -1,
            reason,
            function=self.kernel.entry,
            where=self.turns(),
        )
        guest = self.side.active
        if guest.kvm.mmu_notifier_count:
            # Each fault is retried.
            self.found[-1].follows = self.orders[guest.number].left

    def turns(self) -> str:
        """Return the source locations in a compiled tree of the last fault's last store and walk; "" for a port."""
        walking, storing = self.kernel.last.walking(), self.kernel.last.storing()
        if walking and storing:
            return f"{storing}, the last store, and {walking}, the last walk"
        return storing or walking
