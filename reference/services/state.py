# SPDX-License-Identifier: GPL-2.0-only
"""State that all services of the kernel share: who runs, what is held, who observes."""

from ..compiled.annotations import mypyc_attr
from ..events import Observer
from ..last_places import LastPlaces
from ..listeners import NOBODY, listeners
from ..machine.arena import Arena
from ..machine.granule import Granule
from ..machine.hardware import Hardware
from ..machine.sparse import SparseWords
from ..steps import Steps
from ..turns import Turns


@mypyc_attr(allow_interpreted_subclasses=True)
class KernelState:
    """The state of the kernel around the code under test.

    :param granule: page size of host and guest
    :param hardware: the target of TLB and cache maintenance
    :param caps: ARM64_HAS_... bits
    """

    def __init__(self, granule: Granule, hardware: Hardware, caps: int = 0) -> None:
        self.granule = granule
        self.hardware = hardware
        self.arena: Arena = hardware.arena
        self.base = self.arena.base
        self.words: SparseWords = self.arena.words
        self.entries = granule.entries
        self.caps = caps
        self.counts: list[int] = []
        # The VM that kernel code runs for: whose locks it takes. Whoever calls for another VM says so here.
        self.vmid = 1
        # The CPU on which it runs.
        self.cpu = 0
        # The actor that runs, from 1, where several are at work, and who gives turns to them; 0, None: there is one.
        self.actor = 0
        self.turns: Turns | None = None
        # Where several are at work in a port: the places to which they come, and who holds which lock.
        self.steps: Steps | None = None
        # Locks held, in order; the mmu lock is the one that forbids sleeping.
        self.locks: list[str] = []
        # The mmu lock is held for reading only, and how often it was taken alone: by then all readers had left.
        self.mmu_shared = False
        self.mmu_holds = 0
        # A compare-exchange that wins is storing.
        self.exchanging = False
        # RCU: nested read-side critical sections; callbacks that were posted, and of which a grace period has passed.
        self.rcu_depth = 0
        self.rcu_posted = 0
        self.rcu_passed = 0
        # A grace period ends at the point of this number at which it could, in a compiled tree; 0: after the call.
        self.grace_at = 0
        # A notifier runs that must not sleep (``current->non_block_count``).
        self.must_not_block = False
        # Another task waits for the mmu lock at one in so many questions whether one does, and at the question of
        # this number (0: at none); how many questions there were.
        self.resched_every = 0
        self.contended_at = 0
        self.questions = 0
        # Allocations that still succeed; -1: all of them.
        self.allocations_left = -1
        self.small_allocations_left = -1
        self.topup_gets = -1
        # For reports: the entry point that was called, the guest's fault that
        # it handles, and the walker callback that last walked tables for it.
        self.entry = ""
        self.cause = ""
        self.walker = ""
        # Of a compiled tree: function, file and line of the event, and the chain of calls.
        self.place = ""
        # Of the warning that it gives: the condition, as it stands in the source.
        self.condition = ""
        # Where something happened last in a compiled tree.
        self.last = LastPlaces()
        # Its argument, ``walker->arg``.
        self.walker_arg: object = None
        # Cost: entries that the software walker visited, of tables whose walk is over; that a tree's code read.
        self.visited = 0
        self.on = listeners()
        self.on_load: list[Observer] = self.on.load
        self.on_store: list[Observer] = self.on.store
        self.on_get: list[Observer] = self.on.get
        self.on_put: list[Observer] = self.on.put
        self.on_lock: list[Observer] = self.on.lock
        self.on_unlock: list[Observer] = self.on.unlock
        self.on_dsb: list[Observer] = self.on.dsb
        self.on_dcache: list[Observer] = self.on.dcache
        self.on_walk: list[Observer] = self.on.walk
        self.on_walk_table: list[Observer] = self.on.walk_table

    def observe(self, observer: Observer) -> None:
        """Send events to *observer* too: those whose methods it overrides."""
        self.on.add(observer)

    def dismiss(self, observer: Observer) -> None:
        """Send no more events to *observer*; not to be called from one of its events."""
        self.on.remove(observer)

    def dismiss_all(self) -> None:
        """Send no more events to anybody: kernel code does not run any more."""
        self.on.leave()
        self.on = NOBODY

    def reached(self, point: str) -> None:
        """Kernel code is about to do something, which takes effect when this returns; others may come before."""
        if self.steps is not None:
            self.steps.reached(point)

    def passed(self, point: str) -> None:
        """The step is done; other actors may run now."""
        if self.steps is not None:
            self.steps.passed(point)

    def cpus_have_const_cap(self, cap: int) -> bool:
        return self.caps & cap != 0

    def WARN_ON(self, condition: bool, where: str) -> bool:
        """``WARN_ON()`` in the function *where*; returns the condition."""
        if condition:
            self.warn("in " + where)
        return condition

    def warn(self, label: str) -> None:
        for o in self.on.warn:
            o.warn(label)
