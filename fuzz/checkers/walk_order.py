# SPDX-License-Identifier: GPL-2.0-only
"""walk-order: what the hardware walker must find is in memory before kernel code returns.

A store to a table is visible to the walker of any CPU once a DSB of stores follows it. Entries that become valid, and
access flags that are set, need one before the call returns: otherwise the access faults once more, for nothing. An
entry that gains rights needs one before the TLBI that follows: otherwise a walk after the TLBI may still read the old
entry, and the TLB keeps it. The access faults again, for nothing, although the entry was flushed. A new root needs one
before the VM has it: otherwise the walker uses the previous contents of the page. The hypervisor uses its own tables
right away, so an ISB has to follow.
"""

from typing import Final

from reference.machine.descriptor import AF_BIT, MEMATTR_FIELD, TYPE_BIT, VALID_BIT, same_address
from reference.machine.granule import Granule
from reference.machine.instructions import BROADCAST, IPAS2E1, IPAS2LE1, RIPAS2E1, VMALLS12E1
from reference.machine.walk import Walk
from reference.per_actor import PerActor, PerActorStates

from ..language.operations import Operation
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, Peers
from .lost_rights import lost
from .places import at_place
from .rule import Clause, Rule
from .severity import Severity

HYP: Final = "kvm_pgtable_hyp_map"
# The barriers of one CPU are never enough: all CPUs must find the entry.
NEEDED_BY_ALL: Final = 1 << 62
# TLBI that remove entries of stage 2, without `BROADCAST`.
STAGE2: Final = (VMALLS12E1, IPAS2E1, IPAS2LE1, RIPAS2E1)


class Unordered(PerActor):
    """The last store of a call that needs a barrier before walks.

    *published*: the number of barriers before it; -1: there is no such store; *function*: its function; *where*: its
    place in a compiled tree; *hyp*: it is to a table of the hypervisor, and no ISB has followed the barrier;
    *barriers*: the number of barriers of its CPU before it; one more is enough

    *relaxed*: for the last store that gave a leaf more rights, the number of barriers of its CPU before it; -1: there
    is no such store; *relaxed_by*, *relaxed_at*: its function and place; *early*: the last TLBI after it came before
    any barrier; *early_at*: the place of that TLBI
    """

    def __init__(self) -> None:
        self.published = -1
        self.function = self.where = ""
        self.hyp = False
        self.barriers = NEEDED_BY_ALL
        self.relaxed = -1
        self.relaxed_by = self.relaxed_at = self.early_at = ""
        self.early = False

    def copy(self) -> "Unordered":
        mine = Unordered()
        mine.published, mine.function, mine.hyp = self.published, self.function, self.hyp
        mine.where, mine.relaxed_at, mine.early_at = self.where, self.relaxed_at, self.early_at
        mine.barriers = self.barriers
        mine.relaxed, mine.relaxed_by, mine.early = self.relaxed, self.relaxed_by, self.early
        return mine


class WalkOrder(Checker):
    """Judges the order of stores and barriers at each return."""

    rule = Rule(
        "walk-order",
        (
            Clause(
                "a DSB of stores follows each store that makes an entry valid or sets its access flag, before the call "
                "returns"
            ),
            Clause(
                "a DSB of stores comes between the store that gives a leaf more rights and the TLBI for it",
                "*: relaxed entry not ordered*",
            ),
            Clause("a DSB of stores follows the zeroing of a root before the VM gets it", "*: root not ordered*"),
            Clause("an ISB follows the DSB after stores to the hypervisor's tables", "*: entry not synchronized*"),
        ),
        "a walker uses the previous contents of memory: an access faults again needlessly, or walks a root of garbage",
        Severity.STALE,
        rank=4,
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.hardware = side.kernel.hardware
        # State of the running actor.
        self.own = Unordered()
        self.per_actor = PerActorStates(self.own)
        # The number of barriers before the last root was made; -1: a VM has it.
        self.root = -1

    def turn(self, actor: int) -> None:
        self.own = self.per_actor.of(actor)

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        if new & VALID_BIT and (not old & VALID_BIT or new & ~old & AF_BIT):
            own = self.own
            if not relaxes(old, new, self.granule):
                own.barriers = NEEDED_BY_ALL
            elif own.published != self.hardware.published or own.barriers != NEEDED_BY_ALL:
                # A CPU that still finds the old entry faults once more at worst, as it may after any change of rights.
                own.barriers = self.barriers_here()
            own.published = self.hardware.published
            own.function, own.where = self.running(), self.kernel.place
            own.hyp = self.kernel.entry == HYP
        elif old & new & AF_BIT and relaxes(old, new, self.granule) and lost(new, old):
            # TLBs hold no entries without access flag, so there is nothing to flush if the store sets it.
            self.own.relaxed = self.barriers_here()
            self.own.relaxed_by, self.own.relaxed_at = self.running(), self.kernel.place
            self.own.early = False

    def instruction(self, op: int, operand: int) -> None:
        own = self.own
        if own.relaxed >= 0 and op & ~BROADCAST in STAGE2:
            own.early = own.relaxed == self.barriers_here()
            own.early_at = self.hardware.place

    def isb(self) -> None:
        if self.own.hyp and self.hardware.published > self.own.published:
            self.own.hyp = False

    def alloc_exact(self, page: int, pages: int) -> None:
        if page >= 0:
            self.root = self.hardware.published

    def root_linked(self, vmid: int, linked: bool) -> None:
        if linked and self.root == self.hardware.published:
            reason = "no DSB between the zeroing of the root and the store that gives it to the VM"
            self.report("root not ordered before walks", -1, reason, taints=False, function="kvm_pgtable_stage2_init")
        self.root = -1

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        # The guest runs: the previous fault has ended.
        self.returned()

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.returned()

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if outcome.status in ("oops", "deadlock"):
            self.own.published = self.own.relaxed = -1
        self.returned()

    def returned(self) -> None:
        """Judge the last store when the caller gets control back."""
        own = self.own
        if own.relaxed >= 0:
            if own.early:
                reason = (
                    f"no DSB between the store and the TLBI{at_place(own.early_at)}: "
                    "a walk in between may put the old entry back into the TLB"
                )
                what = "relaxed entry not ordered before the TLBI"
                self.report(what, -1, reason, taints=False, function=own.relaxed_by, where=own.relaxed_at)
            own.relaxed = -1
        if own.published < 0:
            return
        if own.published == self.hardware.published and not self.ordered_here():
            reason = "no DSB between the store and the return: the walker may not find the entry"
            what = "entry not ordered before walks"
            self.report(what, -1, reason, taints=False, function=own.function, where=own.where)
        elif own.hyp:
            reason = "no ISB after the DSB: the hypervisor may not find the entry"
            self.report("entry not synchronized", -1, reason, taints=False, function=own.function, where=own.where)
        own.published = -1

    def ordered_here(self) -> bool:
        """Return whether a DSB has ordered the store before walks of the storing CPU, and that is enough."""
        return self.own.barriers < self.barriers_here()

    def barriers_here(self) -> int:
        """Return the number of DSBs, of any domain, that the CPU has executed."""
        return self.hardware.processors[self.kernel.cpu].barriers


def relaxes(old: int, new: int, granule: Granule) -> bool:
    """Return whether a store keeps a valid leaf's address and type and removes no right: the old leaf is harmless."""
    return (
        old & new & VALID_BIT != 0
        and not (old ^ new) & (TYPE_BIT | MEMATTR_FIELD)
        and same_address(old, new, granule)
        and not lost(old, new)
    )
