# SPDX-License-Identifier: GPL-2.0-only
"""locking: locks are balanced and nested correctly, nothing sleeps in atomic context, live tables change under a lock.

SRCU is the outermost lock (it protects the slots that the others work on), then the
mmap lock, then the mmu lock, a spin lock. Kernel code runs for one VM at a
time, so locks of two VMs never nest.
"""

from fnmatch import fnmatchcase
from typing import Final

from reference.machine.walk import Walk
from reference.per_actor import PerActor, PerActorStates

from ..language.operations import Operation
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, Peers
from .later_names import named
from .rule import Clause, Rule
from .severity import Severity
from .violation import Violation

# Warnings of the layer below about locks, and their texts.
WARNINGS: Final = {
    "sleeping-call-under-lock": "sleeping call under mmu_lock",
    "sleeping-call-by-reader": "sleeping call under rcu_read_lock",
    "sleeping-call-in-notifier": "sleeping call in a notifier that must not block",
    "sleeping-call-atomic": "sleeping call in atomic context",
    "lock-already-held": "mmu_lock taken twice",
    "lock-not-held": "lock not held",
    "other-lock-held": "another lock still held",
    "other-lock-twice": "another lock taken twice",
    "other-lock-free": "another lock released that is not held",
}
# For some of them, the text of the event if the layer below gives no condition.
HAPPENED: Final = {
    "lock-already-held": "the mmu lock is taken by the actor that holds it",
    "lock-not-held": "the mmu lock must be held",
}
# Warnings about unnamed locks that a kernel tree takes, such as a mutex or the lock of a file.
OTHERS: Final = {
    "other-lock-held": "held on return to the caller",
    "other-lock-twice": "waited for by the actor that holds it",
    "other-lock-free": "released by an actor that does not hold it",
}


# The names of functions that direct calls of pgtable.c call.
DIRECT: Final = "kvm_pgtable_"
# What two writers of one entry do to each other.
LOST_CHANGE: Final = "two CPUs may change one entry at the same time, and one change is lost"
# Violations that consist in holding a lock. A deadlock remains a finding of its own: it may have another cause.
HOLDING: Final = ("* under mmu_lock", "mmu_lock taken twice", "mmu_lock held beyond srcu")


class Held(PerActor):
    """The state of held locks, and what was already reported about them."""

    def __init__(self) -> None:
        # Locks held on a return that were already reported in this operation.
        self.reported: list[str] = []
        # SRCU was left with the mmu lock held; a lock that is never dropped is reported separately.
        self.outlasts = False
        # An RCU read section that did not end was reported.
        self.reader_reported = False
        # Slots were installed, and nobody has waited since then for readers of the old slots.
        self.installed = False

    def copy(self) -> "Held":
        mine = Held()
        mine.reported, mine.outlasts = self.reported[:], self.outlasts
        mine.reader_reported, mine.installed = self.reader_reported, self.installed
        return mine


class Locking(Checker):
    """Judges locks when they are taken and dropped and at each return, and calls that may sleep.

    A lock imbalance does not taint: later violations of other checkers
    stand on their own. While a lock is held that was not dropped on return, violations that consist in holding it
    follow from the imbalance.
    """

    rule = Rule(
        "locking",
        (
            Clause("locks (in a kernel tree all locks) are balanced on every return and nested correctly"),
            Clause("srcu is the outermost lock", "*: srcu entered under*", "*: mmu_lock held beyond srcu*"),
            Clause(
                "nothing sleeps under the mmu lock, in an RCU reader, or in a notifier that must not block",
                *("* under mmu_lock", "* under rcu_read_lock", "* in a notifier that must not block"),
            ),
            Clause(
                "in a kernel tree nothing sleeps with any other spinlock, or with interrupts or preemption off",
                "*: sleeping call in atomic context",
            ),
            Clause(
                "live entries are written, and roots unlinked, only under the mmu lock; where it is held for reading, "
                "entries are written by compare-exchange only",
                *("*: entry written without*", "*: root unlinked*"),
            ),
            Clause(
                "no VMA is read once the mmap lock of its look-up, or its own lock, is dropped", "*: VMA read after*"
            ),
            Clause(
                "interrupts are off while user page tables are walked, and restored on return",
                *("*: user page tables walked*", "*: interrupts*"),
            ),
            Clause("a call that installs slots waits for the readers of the old ones", "*: slots installed*"),
            Clause(
                "slots are used within srcu or under slots_lock, areas with the mmap lock",
                "*: slots used*",
                "*: without the mmap lock*",
            ),
            Clause("a VM that ends unregisters its notifier before it frees slots", "*: slots freed before*"),
        ),
        "the host deadlocks, sleeps in atomic context, or lets two CPUs change one table at the same time",
        Severity.HANG,
        rank=5,
        finer=(
            ("*: deadlock", Severity.HANG, 6),
            ("*: interrupts*", Severity.HANG, 11),
            ("*: entry written without mmu_lock*", Severity.LIFETIME, 7),
            ("*: entry written without a compare-exchange*", Severity.LIFETIME, 21),
            ("*: slots used outside of srcu*", Severity.LIFETIME, 8),
            ("*: slots installed, readers not waited for*", Severity.LIFETIME, 22),
            ("*: slots freed before*", Severity.LIFETIME, 29),
            ("*: without the mmap lock*", Severity.LIFETIME, 9),
            ("*: VMA read after*", Severity.LIFETIME, 16),
            ("*: user page tables walked with*", Severity.LIFETIME, 17),
            ("*: root unlinked without mmu_lock*", Severity.LIFETIME, 10),
        ),
        reasons=(
            (
                "*: slots installed, readers not waited for*",
                "a vCPU in a fault uses a slot that is changed or freed, or maps memory of one that is gone",
            ),
            ("*: slots freed before*", "a notifier that runs on another CPU looks through slots that are freed"),
            ("*: slots used outside of srcu*", "the slots may be replaced and freed while they are used"),
            ("*: without the mmap lock*", "the area may change, or be freed, while it is used"),
            ("*: VMA read after*", "the area may change, or be freed, before it is read"),
            ("*: user page tables walked with*", "a page table of user space may be freed during the walk"),
            ("*: interrupts*", "the caller continues with interrupts on where it needs them off, or the reverse"),
            ("*: entry written without mmu_lock*", LOST_CHANGE),
            ("*: entry written without a compare-exchange*", LOST_CHANGE),
            ("*: root unlinked without mmu_lock*", "another CPU may still walk the tables that are about to be freed"),
        ),
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        # State of the running actor.
        self.own = Held()
        self.per_actor = PerActorStates(self.own)
        # The last lock imbalance of the operation, of any actor.
        self.kept: Violation | None = None

    def turn(self, actor: int) -> None:
        self.own = self.per_actor.of(actor)

    def wrong(self, what: str, reason: str, function: str = "", where: str = "") -> None:
        """Record a violation; *function*: default the entry point, because locks are not taken by walker callbacks."""
        self.report(what, -1, reason, taints=False, function=function or self.kernel.entry, where=where)
        still_held = any(name in self.kernel.locks for name in self.own.reported)
        if still_held and any(fnmatchcase(what, pattern) for pattern in HOLDING):
            self.found[-1].follows = self.kept

    def before_operation(self, op: Operation | None) -> None:
        self.kept = None
        self.own.reported.clear()
        self.own.outlasts = self.own.installed = False
        self.own.reader_reported = False

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        # The guest runs, so the hypervisor has returned.
        self.returned()

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.returned()

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if outcome.status == "deadlock":
            self.wrong("deadlock", outcome.detail)
        elif outcome.status != "oops":
            self.returned()

    def returned(self) -> None:
        """Judge the locks when the caller gets control back."""
        self.own.outlasts = False
        if self.kernel.locks and self.kernel.locks != self.own.reported:
            self.own.reported = self.kernel.locks[:]
            self.wrong(
                "lock still held", f"{', '.join(self.own.reported)} held on return to the caller", where=self.taken()
            )
            self.kept = self.found[-1]
        if self.kernel.rcu_depth > 0 and not self.own.reader_reported:
            self.own.reader_reported = True
            self.wrong("rcu_read_lock still held", f"still {self.kernel.rcu_depth} deep on return to the caller")
        if self.own.installed:
            self.own.installed = False
            reason = (
                "the call returns without synchronize_srcu() after the slots that it installed: SRCU readers, such "
            )
            reason += "as vCPUs in a fault, still use the old slots, which are changed or freed"
            self.wrong("slots installed, readers not waited for", reason)

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        self.own.installed = True

    def synchronize_srcu(self) -> None:
        self.own.installed = False

    def destroyed(self) -> None:
        if self.kernel.locks:
            held = ", ".join(self.kernel.locks)
            self.wrong("lock still held", f"{held} held after destruction", "kvm_free_stage2_pgd", self.taken())

    def taken(self) -> str:
        """Return the source location in a compiled tree that took the innermost held lock; "" for a port."""
        return self.kernel.last.taken(self.kernel.locks[-1])

    def warn(self, label: str) -> None:
        if label in OTHERS:
            where = self.kernel.condition
            text = f"a lock other than the mmu lock, the mmap lock and SRCU is {OTHERS[label]}"
            self.wrong(WARNINGS[label], f"{text}; it was taken at {where}" if where else text)
        elif label == "sleeping-call-atomic":
            self.wrong(WARNINGS[label], self.kernel.condition)
        elif label in WARNINGS:
            held = "rcu_read_lock" if label == "sleeping-call-by-reader" else self.held()
            what = self.kernel.condition or HAPPENED.get(label, "a call that may sleep")
            self.wrong(WARNINGS[label], f"{what}, with {held} held")

    def held(self) -> str:
        """Return the held locks as text."""
        shared = self.kernel.mmu_shared
        locks = [f"{name} (for reading)" if name == "mmu" and shared else name for name in self.kernel.locks]
        return ", ".join(locks) or "nothing"

    def lock(self, name: str, vmid: int) -> None:
        if name == "srcu" and "mmu" in self.kernel.locks:
            self.wrong("srcu entered under mmu_lock", "srcu_read_lock() with the mmu lock held: srcu is the outermost")

    def unlock(self, name: str, vmid: int) -> None:
        if name == "srcu":
            self.own.outlasts = "mmu" in self.kernel.locks
        elif name == "mmu" and self.own.outlasts:
            self.own.outlasts = False
            self.wrong("mmu_lock held beyond srcu", "srcu_read_unlock() came before the mmu lock was dropped")

    def root_linked(self, vmid: int, linked: bool) -> None:
        # A VM that is being created is not visible to others.
        if not linked and not self.side.active.creating and "mmu" not in self.kernel.locks:
            reason = f"kvm->arch.mmu.pgt becomes NULL with {self.held()} held: a notifier may have read it just before"
            self.wrong("root unlinked without mmu_lock", reason)

    def rcu_read_unlock(self, depth: int) -> None:
        if depth < 0:
            self.wrong("rcu_read_unlock without rcu_read_lock", "rcu_read_unlock() ends a section that was not begun")

    def resched(self) -> None:
        if "mmu" not in self.kernel.locks:
            self.wrong(
                "cond_resched_lock without mmu_lock", f"{named('cond_resched_lock')} drops a lock that is not held"
            )
        elif self.kernel.must_not_block:
            self.in_notifier("rescheduling", "cond_resched_lock")

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        function = "kvm_mmu_topup_memory_cache"
        if locked:
            reason = f"{function}({minimum}) may sleep and runs with the mmu lock held"
            self.wrong("memory cache filled under mmu_lock", reason, function)
        elif self.kernel.must_not_block:
            self.in_notifier("memory cache filled", function)

    def sleeps(self, what: str, function: str) -> None:
        """Judge a call of a function that may sleep."""
        if "mmu" in self.kernel.locks:
            self.wrong(
                f"{what} under mmu_lock", f"{named(function)} may sleep and runs with the mmu lock held", function
            )
        elif self.kernel.rcu_depth > 0:
            self.wrong(
                f"{what} under rcu_read_lock", f"{named(function)} may sleep, which an RCU reader must not", function
            )
        elif self.kernel.must_not_block:
            self.in_notifier(what, function)

    def in_notifier(self, what: str, function: str) -> None:
        """Report a function that may sleep, called by a notifier of the OOM reaper, which must make progress."""
        reason = f"{named(function)} may sleep, and the range of the notifier is not MMU_NOTIFIER_RANGE_BLOCKABLE:"
        reason += " the OOM reaper may wait for a task that waits for memory"
        self.wrong(f"{what} in a notifier that must not block", reason, function)

    def cond_resched(self) -> None:
        self.sleeps("rescheduling", "cond_resched")

    def kzalloc(self, ok: bool) -> None:
        if not self.kernel.allocates_atomically:
            self.sleeps("allocation", "kzalloc")

    def percpu(self, ok: bool) -> None:
        self.sleeps("allocation", "alloc_percpu")

    def alloc_exact(self, page: int, pages: int) -> None:
        if not self.kernel.allocates_atomically:
            self.sleeps("allocation", "alloc_pages_exact")

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        self.sleeps("frame looked up", "gfn_to_pfn_prot")
        self.uses_slots("gfn_to_pfn_prot")

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        # A direct call stands for code of mmu.c, which would hold more than the mmu lock.
        if not self.kernel.entry.startswith(DIRECT):
            self.uses_slots("mark_page_dirty")

    def uses_slots(self, function: str) -> None:
        """Judge a call of a function that looks slots up: SRCU or ``kvm->slots_lock`` keeps them."""
        if "srcu" not in self.kernel.locks and not self.kernel.slots_locked:
            self.wrong(
                "slots used outside of srcu", f"{named(function)} uses slots that may disappear meanwhile", function
            )

    def vma(self, hva: int, start: int, end: int) -> None:
        if "mmap" not in self.kernel.locks:
            self.wrong("without the mmap lock", f"find_vma({hva:#x}) with {self.held()} held", "find_vma")

    def user_walk(self, start: int, end: int) -> None:
        reason = f"user page tables are walked at {start:#x} with interrupts on: a concurrent teardown waits only for"
        reason += " CPUs with interrupts off (IPI), and frees a table under the walk"
        self.wrong("user page tables walked with interrupts on", reason)

    def irqs_left(self, on: bool) -> None:
        self.wrong(f"interrupts {'on' if on else 'off'} on return", "the call did not restore them")

    def vma_read(self, start: int, end: int, own: bool) -> None:
        lock = "its own lock" if own else "the mmap lock of its look-up"
        area = f"the VMA of {start:#x}-{end:#x}"
        reason = f"{area} is read after {lock} was dropped: munmap() may have freed it by then"
        self.wrong(f"VMA read after {'its own' if own else 'the mmap'} lock was dropped", reason)
