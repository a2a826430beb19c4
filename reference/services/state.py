# SPDX-License-Identifier: GPL-2.0-only
"""State that all kernel services share: what runs, what is held, and the observers."""

from ..compiled.annotations import mypyc_attr
from ..events import Observer
from ..last_code_places import LastCodePlaces
from ..machine.arena import Arena
from ..machine.granule import Granule
from ..machine.hardware import Hardware
from ..machine.sparse import SparseWords
from ..observers import NO_OBSERVERS, empty_observers
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
        # Pages of the page allocator that need not be tables.
        self.any_pages: set[int] = set()
        # The VM for which kernel code runs, and whose locks it takes. A caller that acts for another VM sets this.
        self.vmid = 1
        # The current CPU.
        self.cpu = 0
        # The current actor, from 1, and the object that gives turns; 0 and None if there is one actor only.
        self.actor = 0
        self.turns: Turns | None = None
        # With several actors in a port: the places that they reach, and the holders of locks.
        self.steps: Steps | None = None
        # Locks held, in order; only the mmu lock forbids sleeping.
        self.locks: list[str] = []
        # The mmu lock is held for reading only; and how often it was taken exclusively, each time after all readers
        # had left.
        self.mmu_shared = False
        self.mmu_holds = 0
        # Set while a successful compare-exchange stores.
        self.exchanging = False
        # RCU: nesting depth of read-side critical sections; callbacks posted; callbacks whose grace period has passed.
        self.rcu_depth = 0
        self.rcu_posted = 0
        self.rcu_passed = 0
        # In a compiled tree: the grace period ends at the possible point with this number; 0: after the call.
        self.grace_at = 0
        # A notifier that must not sleep is running (``current->non_block_count``).
        self.must_not_block = False
        # The allocation that is reported now does not sleep (GFP_ATOMIC); only kernel trees have such allocations.
        self.allocates_atomically = False
        # The name of the memory cache of the last event of one, and how many caches have had a number.
        self.cache = ""
        self.caches = 0
        # The slots that are used now stay, because the actor holds ``kvm->slots_lock``; reported by kernel trees only.
        self.slots_locked = False
        # Another task waits for the mmu lock at every Nth query (`resched_every`), and at the query with
        # this number (0: none); number of queries so far.
        self.resched_every = 0
        self.contended_at = 0
        self.queries = 0
        # Allocations that will still succeed; -1: no limit.
        self.allocations_left = -1
        self.small_allocations_left = -1
        self.topup_gets = -1
        # For reports: the entry point that was called, the guest fault that it
        # handles, and the walker callback that last walked tables for it.
        self.entry = ""
        self.cause = ""
        self.walker = ""
        # In a compiled tree: the number of the call chain of the event; 0: none.
        self.chain = 0
        # The condition of its warning, as written in the source.
        self.condition = ""
        # The last places of steps in a compiled tree.
        self.last = LastCodePlaces()
        # The argument of the walker callback, ``walker->arg``.
        self.walker_arg: object = None
        # Cost: entries that the software walker visited in tables whose walk is over, and entries that a tree's code
        # read.
        self.visited = 0
        self.on = empty_observers()
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

    @property
    def place(self) -> str:
        """In a compiled tree: function, file and line of the event, and the call chain; "" in a port."""
        return self.last.where(self.chain) if self.chain else ""

    def observe(self, observer: Observer) -> None:
        """Send events to *observer* too, as far as it overrides their methods."""
        self.on.add(observer)

    def dismiss(self, observer: Observer) -> None:
        """Stop sending events to *observer*; not to be called from one of its events."""
        self.on.remove(observer)

    def dismiss_all(self) -> None:
        """Stop sending events: kernel code no longer runs."""
        self.on.recycle()
        self.on = NO_OBSERVERS

    def reached(self, point: str) -> None:
        """Kernel code is about to perform a step, which takes effect when this returns; other actors may run first."""
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

    def warn(self, label: str, condition: str = "") -> None:
        """Report a warning to the observers.

        :param condition: the value of `condition` meanwhile
        """
        self.condition = condition
        for o in self.on.warn:
            o.warn(label)
        self.condition = ""
