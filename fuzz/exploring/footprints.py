# SPDX-License-Identifier: GPL-2.0-only
"""Footprints: the things that each step of an actor reads and writes, and whether steps of two actors can be swapped.

Two steps are independent where the tables, the TLBs, the counts and everything that checkers look at are the same in
either order. Steps that are not known to be independent are treated as dependent.
"""

from collections.abc import Hashable
from typing import Final

from reference.events import EVENT_NAMES, Observer
from reference.machine.walk import NONE, WRITE, Walk

from ..checkers import Checker
from ..execution.executor import Executor
from ..language.operations import GuestAccess, Operation, Par
from ..sides.outcome import Outcome
from .actor_steps import NOTHING, ActorStep, StepSequence, Things

# Keeps the order of stores, flushes and barriers where one of two is a flush or a barrier.
_FLUSHED: Final = "flushed"


class Footprints(Checker):
    """Records the steps of the actors of a program's block; judges nothing.

    :param executor: the executor of the side. Nothing may have run on it, and no caller of `count` may observe it yet
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor.side)
        self.par = executor.par
        blocks = [each for each in executor.program.operations if isinstance(each, Par)]
        # Faults hold the mmap lock for reading. Other operations of a block may not.
        self.faults_only = all(isinstance(each, GuestAccess) for block in blocks for each in block.operations)
        self.steps: list[ActorStep] = []
        # For each actor, the number of steps in which it did more than wait.
        self.counts: dict[int, int] = {}
        # For each switch, the number of steps when it took place.
        self.switched: dict[int, int] = {}
        # Whether an actor only makes guest accesses.
        self.accessing: dict[int, bool] = {}
        # Actors that hold the mmu lock only for reading.
        self.sharing: set[int] = set()
        cpus = range(self.side.cpus * len(self.side.guests))
        self.caches: Things = frozenset(("tlb", cpu) for cpu in cpus)
        # RCU readers and hardware walks are ordered with stores, but not with each other.
        self.walkers: Things = self.caches | {("reader", number + 1) for number in cpus} | {_FLUSHED}
        self.kernel.observe(self)
        for observers in executor.checkers.on_translated:
            observers.append(self)
        executor.checkers.on_actor.append(self)

    def count(self, actor: int) -> int:
        """Return the number of steps of an actor so far in which it did more than wait."""
        return self.counts.get(actor, 0)

    def switch(self, number: int) -> None:
        """Called when the switch of that number takes place."""
        self.switched[number] = len(self.steps)

    def add(
        self, reads: Things = NOTHING, writes: Things = NOTHING, waits: bool = False, everything: bool = False
    ) -> None:
        """Add a step of the running actor, in a par block."""
        actor = self.kernel.actor
        if actor:
            at = self.counts.get(actor, 0)
            self.steps.append(ActorStep(actor, at, reads, writes, waits, everything or not self.makes_accesses(actor)))
            if not waits:
                self.counts[actor] = at + 1

    def makes_accesses(self, actor: int) -> bool:
        """Tell whether an actor only makes guest accesses. Footprints are known only for these."""
        known = self.accessing.get(actor)
        if known is None:
            doing = self.par.actors[actor - 1].accesses
            known = self.accessing[actor] = all(isinstance(each, GuestAccess) for _, each in doing)
        return known

    def everything(self) -> None:
        """Add a step with an unknown footprint."""
        self.add(everything=True)

    def reach(self, number: int, actor: int, first: int) -> int:
        """Return how many steps an actor could already have made at one of its switches without any difference.

        These are the steps from *first* on, made after its turn has come again, that depend on no step of others in
        between.

        :param number: the number of the switch, which took place at step *first*, as counted by `count`
        """
        start = self.switched.get(number)
        ours, theirs = StepSequence(), StepSequence()
        among: list[ActorStep] = []
        waited: list[ActorStep] = []
        end = first
        for step in self.steps[len(self.steps) if start is None else start :]:
            if step.actor != actor:
                among.append(step)
            elif step.waits:
                waited.append(step)
            else:
                if step.at != end or not all(map(ours.independent_of, among)):
                    break
                for each in among:
                    theirs.add(each)
                own = [*waited, step]
                if not all(map(theirs.independent_of, own)):
                    break
                for each in own:
                    ours.add(each)
                among.clear()
                waited.clear()
                end += 1
        return end

    # Tables.

    def walk(self, vmid: int, start: int, end: int) -> None:
        self.add()

    def walk_table(self, table: int, level: int) -> None:
        self.add()

    def load(self, ptep: int, entry: int) -> None:
        self.add(frozenset((("entry", ptep),)))

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.add(self.walkers, frozenset((("entry", ptep),)))

    def exchanged(self, ptep: int, old: int, new: int) -> None:
        """Add no step: the store was one."""

    def plain_store(self, ptep: int, old: int, new: int) -> None:
        """Add no step: the store was one."""

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        self.add(frozenset((("entry", ptep),)))

    def set_af(self, ptep: int, old: int, new: int) -> None:
        self.store(ptep, old, new, False)

    def dirtied(self, ptep: int, old: int, new: int) -> None:
        self.store(ptep, old, new, False)

    def get(self, page: int, count: int) -> None:
        self.add(NOTHING, frozenset((("page", page),)))

    def put(self, page: int, count: int) -> None:
        if count > 0:
            self.get(page, count)
        else:
            self.everything()

    def page_count(self, page: int, count: int) -> None:
        self.add(frozenset((("page", page),)))

    def alloc(self, page: int) -> None:
        self.add(NOTHING, frozenset(("pages",)))

    def contents(self, ptep: int, count: int, word: int) -> None:
        """Add no step: the allocation was one."""

    def unwritten(self, ptep: int) -> None:
        """Add no step: the load is one."""

    # TLBs, caches, barriers.

    def flush(self) -> None:
        self.add(self.caches, frozenset((_FLUSHED,)))

    def instruction(self, op: int, operand: int) -> None:
        """Add no step: an instruction is part of the helper call that follows it."""

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.flush()

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        self.flush()

    def tlbi_vmid(self, vmid: int) -> None:
        self.flush()

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.flush()

    def dsb(self, domain: str) -> None:
        self.flush()

    def isb(self) -> None:
        self.add()

    def dmb(self, domain: str) -> None:
        self.add()

    def acquired(self) -> None:
        self.add()

    def rmb(self) -> None:
        self.add()

    def dcache(self, pa: int, size: int) -> None:
        shift = self.granule.page_shift
        self.add(NOTHING, frozenset(("data", pfn) for pfn in range(pa >> shift, (pa + size - 1 >> shift) + 1)))

    def icache(self, pa: int, size: int) -> None:
        self.dcache(pa, size)

    # Locks.

    def wait(self, lock: str, holder: int) -> None:
        # Readers of a VMA are recorded as readers of the address space.
        name = "mmap" if lock == "vma" else lock
        names = (name, 0), (name, self.kernel.vmid)
        self.add(NOTHING, frozenset(("lock", *each) for each in names), True, not lock)

    def lock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            if self.kernel.mmu_shared:
                self.sharing.add(self.kernel.actor)
            else:
                self.sharing.discard(self.kernel.actor)
        self.held(name, vmid)

    def unlock(self, name: str, vmid: int) -> None:
        self.held(name, vmid)

    def held(self, name: str, vmid: int) -> None:
        """Add a step that takes or drops a lock."""
        if name == "vma":
            # A writer of the address space excludes the holder of this lock, and waits for it.
            self.add(frozenset((("lock", "mmap", 0), "areas")))
            return
        lock = frozenset((("lock", name, vmid),))
        if name == "srcu" or (self.faults_only if name == "mmap" else self.kernel.actor in self.sharing):
            self.add(lock)
        else:
            self.add(NOTHING, lock)

    def rcu_read_lock(self, depth: int) -> None:
        self.add(NOTHING, frozenset((("reader", self.kernel.actor),)))

    def rcu_read_unlock(self, depth: int) -> None:
        self.rcu_read_lock(depth)

    # Memory of the host.

    def tags_cleared(self, pfn: int, flagged: bool) -> None:
        """Add two steps: before it cleared the tags, the actor has tested a flag of the page, which is no event."""
        self.everything()
        self.everything()

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        self.add()

    def mc_pop(self, cache: int, left: int) -> None:
        self.add()

    def mc_count(self, cache: int, objects: int) -> None:
        self.add()

    def synchronize_srcu(self) -> None:
        """Add no step: the wait for readers is a step of its own."""

    def accounted(self, pages: int) -> None:
        """Add no step: sums do not depend on the order."""

    def object(self, number: int, held: bool, counted: bool) -> None:
        """Add no step: what is left at the end does not depend on the order."""

    def vma(self, hva: int, start: int, end: int) -> None:
        self.add(frozenset(("areas",)))

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        # The host may have to find a frame.
        self.add(NOTHING, frozenset(("frames", ("pfn", pfn))))

    def pin(self, pfn: int) -> None:
        self.add(NOTHING, frozenset((("pfn", pfn),)))

    def get_pfn(self, pfn: int) -> None:
        self.pin(pfn)

    def file_page(self, pfn: int, cleared: bool) -> None:
        self.pin(pfn)

    def release(self, pfn: int) -> None:
        self.pin(pfn)

    def set_accessed(self, pfn: int) -> None:
        self.pin(pfn)

    def set_dirty(self, pfn: int) -> None:
        self.pin(pfn)

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        self.add(NOTHING, frozenset((("gfn", gfn),)))

    def sample(self, sequence: int) -> None:
        self.add(frozenset(("sequence",)))

    def retry(self, sampled: int, now: int, in_progress: int, result: bool) -> None:
        self.add(frozenset(("sequence",)))

    # Acts of the vCPU itself.

    def turn(self, actor: int) -> None:
        """Add no step."""

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        gfn = ("gfn", ipa >> self.granule.page_shift)
        writes: set[Hashable] = {("tlb", cpu), gfn}
        reads: set[Hashable] = {_FLUSHED}
        if walk.fault == NONE:
            (writes if access == WRITE else reads).add(("data", walk.pa >> self.granule.page_shift))
        self.add(frozenset(reads), frozenset(writes))

    def actor_begins(self, op: Operation) -> None:
        # Checkers then look only at this actor.
        self.add()

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.add()


def _everything(self: Footprints, *_: object) -> None:
    self.everything()


for _name in EVENT_NAMES:
    if getattr(Footprints, _name) is getattr(Observer, _name):
        setattr(Footprints, _name, _everything)
