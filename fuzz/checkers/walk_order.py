# SPDX-License-Identifier: GPL-2.0-only
"""walk-order: what the hardware's walker is to find is in memory for it before kernel code returns.

A store to a table is for the walker of any CPU once a DSB of stores stands behind it. Entries that become valid, and
access flags that are set, wait for one until the call returns: else the access faults once more, for nothing. So
does a new root until the VM has it: else the walker goes by what the page held before. The hypervisor
uses its own tables right away, and an ISB has to follow.
"""

from typing import Final

from reference.belongings import Own, Owns
from reference.machine.descriptor import AF_BIT, VALID_BIT
from reference.machine.walk import Walk

from ..language.operations import Operation
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, Peers
from .rule import Rule
from .severity import Severity

HYP: Final = "kvm_pgtable_hyp_map"


class Unordered(Own):
    """The last store of a call for which walkers wait.

    *published*: the barriers before it; -1: there is none; *function*: that made it; *hyp*: to a table of the
    hypervisor, and no ISB has come behind the barrier
    """

    def __init__(self) -> None:
        self.published = -1
        self.function = ""
        self.hyp = False

    def copy(self) -> "Unordered":
        mine = Unordered()
        mine.published, mine.function, mine.hyp = self.published, self.function, self.hyp
        return mine


class WalkOrder(Checker):
    """Judges on each return."""

    rule = Rule(
        "walk-order",
        (
            "a DSB of stores follows those that make an entry valid or set its access flag before the call returns, "
            "and the zeroing of a root before the VM has it; behind those to the hypervisor's tables an ISB as well"
        ),
        "a walker goes on by what memory held before: an access faults again for nothing, or by a root of garbage",
        Severity.STALE,
        rank=4,
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.hardware = side.kernel.hardware
        # Of the actor that runs.
        self.own = Unordered()
        self.owns = Owns(self.own)
        # The barriers before the last root was made; -1: a VM has it.
        self.root = -1

    def turn(self, actor: int) -> None:
        self.own = self.owns.of(actor)

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        if new & VALID_BIT and (not old & VALID_BIT or new & ~old & AF_BIT):
            own = self.own
            own.published = self.hardware.published
            own.function = self.kernel.walker or self.kernel.entry
            own.hyp = self.kernel.entry == HYP

    def isb(self) -> None:
        if self.own.hyp and self.hardware.published > self.own.published:
            self.own.hyp = False

    def alloc_exact(self, page: int, pages: int) -> None:
        if page >= 0:
            self.root = self.hardware.published

    def root_linked(self, vmid: int, linked: bool) -> None:
        if linked and self.root == self.hardware.published:
            reason = "no DSB between the zeroing of the root and the VM that has it"
            self.report("root not ordered before walks", -1, reason, taints=False, function="kvm_pgtable_stage2_init")
        self.root = -1

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        # The guest runs: the fault before is over.
        self.returned()

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.returned()

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if outcome.status in ("oops", "deadlock"):
            self.own.published = -1
        self.returned()

    def returned(self) -> None:
        """The caller got control back."""
        own = self.own
        if own.published < 0:
            return
        if own.published == self.hardware.published:
            reason = "no DSB between the store and the return: the walker may not find the entry"
            self.report("entry not ordered before walks", -1, reason, taints=False, function=own.function)
        elif own.hyp:
            reason = "no ISB behind the DSB: the hypervisor may not find the entry"
            self.report("entry not synchronized", -1, reason, taints=False, function=own.function)
        own.published = -1
