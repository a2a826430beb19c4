# SPDX-License-Identifier: GPL-2.0-only
"""Turns the records of a tree's code into the events of the ports.

Each record is replayed on the Python side: a store in the arena of `reference.kernel.Kernel`, a flush in the TLBs of
the machine, a reference count in its counts. At each event observers therefore see exactly the state that the tree's
code had, through the same calls as from a port. The table walker and the checkers need no knowledge of C.
"""

from typing import Final

from reference.kernel import Kernel

from . import records as r
from .replay_host import HostReplay
from .words import word, word_count

# A level from here on, or below 0, is no level hint.
_LEVELS: Final = 4


# Records that change no state, and the observers' event of each.
_REPORTED_ONLY: Final = ((r.COUNT, "page_count"), (r.ISB, "isb"), (r.MC_COUNT, "mc_count"), (r.VMA, "vma"))


def unwanted(kernel: Kernel) -> int:
    """Return, one bit each, the kinds of records that change no state and have no observer."""
    kinds = 1 << r.CALL
    for kind, event in _REPORTED_ONLY:
        if not kernel.on.named(event):
            kinds |= 1 << kind
    return kinds


class MirrorError(Exception):
    """Raised when the two ends of a replay differ: a bug of s2fuzz, never a finding."""


class Replay(HostReplay):
    """Replays the events of one side."""

    def run(self) -> None:
        """Replay the records that the process has made since the last call.

        After a change of turns in the process, the records that follow belong to another actor. That actor has its
        turn from there on, and its code need not run for that.
        """
        words = self.process.take_records()
        at, turn, end = 0, 0, word_count(words)
        walkers, kernel, history = self.walkers, self.kernel, self.history
        if end:
            history.add(words)
        while at < end:
            head = word(words, at)
            kind, chain = head & 0xFFFF, head >> 32
            a = word(words, at + 1)
            at += r.RECORD_WORDS
            history.at = at
            if kind == r.TURN:
                kernel.chain = 0
                self.replay_turn(a, word(words, at - 2), word(words, at - 1))
                turn = at
                continue
            if chain != kernel.chain:
                # The records from here on were made at another place.
                walker = walkers[chain] if chain < len(walkers) else None
                if walker is None:
                    walker = self.place(chain).walker
                kernel.chain = chain
                if walker:
                    kernel.walker = walker
            if kind == r.TABLE:
                kernel.walk_table(a & -kernel.entries, -1)
            else:
                self.replay_record(kind, head >> 16 & 0xFFFF, a, word(words, at - 2), word(words, at - 1))
        self.visited(self.process.visited())
        kernel.chain = 0
        if at != turn and kernel.turns is not None:
            # The process only knows what the actor has done since its last answer, not in its whole turn.
            kernel.turns.wake_waiters()

    def replay_turn(self, actor: int, why: int, what: int) -> None:
        """Replay a change of turns in the process.

        :param actor: the actor that continues
        :param why: `records.SWITCHED`, `records.BLOCKED` or `records.YIELDED`
        :param what: the number of the switch; or, for a wait, the kind of the lock (bits 7:0), the actor that holds it
            (bits 15:8), and from bit 16 on 1 if the waiting actor has done something in this turn; or, for an actor
            that polls, 1 if anything was done since it last yielded
        :raises MirrorError: another actor has to continue
        """
        turns = self.kernel.turns
        assert turns is not None
        if why == r.SWITCHED:
            turns.switched(what)
        elif why == r.YIELDED:
            turns.yielded(what != 0)
        else:
            turns.waited(r.LOCKS[what & 0xFF], what >> 8 & 0xFF, what >> 16 != 0)
        if self.kernel.actor != actor:
            raise MirrorError(f"turn of actor {self.kernel.actor}, in C of {actor}")

    def replay_record(self, kind: int, name: int, a: int, b: int, c: int) -> None:
        """Replay one record; frequent kinds are tested first."""
        k = self.kernel
        if r.STORE <= kind <= r.PLAIN:
            # Instead of a name, these records have the lower 16 bits of the number of entries read so far.
            k.visited += (name - k.visited) & 0xFFFF
        if kind == r.STORE:
            self.check_entry(a, b)
            k.WRITE_ONCE(a, c)
        elif kind == r.RELEASE:
            self.check_entry(a, b)
            k.smp_store_release(a, c)
        elif kind == r.CMPXCHG:
            self.check_entry(a, b)
            k.cmpxchg(a, b, c)
        elif kind == r.CMPXCHG_FAIL:
            self.check_entry(a, b)
            # The expected value is not recorded; any value other than the old one fails.
            k.cmpxchg(a, ~b, c)
        elif kind == r.PLAIN:
            self.check_entry(a, b)
            k.plain_store(a, c)
        elif kind == r.GET:
            k.get_page(a)
            self.check_count(a, b)
        elif kind == r.PUT:
            k.put_page(a)
            self.check_count(a, b)
        elif kind == r.COUNT:
            k.page_count(a)
        elif kind == r.LOCK:
            self.replay_lock(a, b, c)
        elif kind == r.UNLOCK:
            self.replay_unlock(a, b, c)
        elif kind <= r.NO_TABLE:
            self.replay_page(kind, name, a, b, c)
        elif kind <= r.ICACHE:
            self.replay_maintenance(kind, name, a, b, c)
        elif kind == r.RCU_LOCK:
            # Take the depth and the count from the records: some of these calls happen while nothing is recorded.
            k.rcu_depth = a - 1
            k.rcu_read_lock()
        elif kind == r.RCU_UNLOCK:
            k.rcu_depth = a + 1
            k.rcu_read_unlock()
        elif kind == r.RCU_CALL:
            k.rcu_posted = a
            k.call_rcu(b)
        elif kind == r.RCU_RUN:
            if b:
                k.walker = self.own.interrupted
            else:
                self.own.interrupted = k.walker
                k.rcu_callback(a)
        elif kind <= r.MARK:
            self.replay_host_memory(kind, name, a, b, c)
        elif kind <= r.ROOT:
            self.replay_notifier(kind, a, b, c)
        elif kind == r.INSTRUCTION:
            self.replay_instruction(name, a)
        elif kind == r.CONTENTS:
            k.found_contents(a, b, c)
        elif kind == r.UNWRITTEN:
            k.read_unwritten(a)
        else:
            self.replay_other(kind, name, a, b, c)

    def check_entry(self, ptep: int, old: int) -> None:
        """Check the value that an entry held before a record.

        :raises MirrorError: it held another value
        """
        if self.kernel.words[ptep] != old:
            raise MirrorError(f"entry {ptep:#x} holds {self.kernel.words[ptep]:#x}, in C {old:#x}")

    def check_count(self, page: int, count: int) -> None:
        """Check the reference count of a page after a record.

        :raises MirrorError: it has another count
        """
        if self.kernel.counts[page] != count:
            raise MirrorError(f"page {page} has {self.kernel.counts[page]} references, in C {count}")

    def replay_page(self, kind: int, name: int, a: int, b: int, c: int) -> None:
        """Replay the allocation or release of table pages, or a load of an entry."""
        k = self.kernel
        if c and a >= 0 and kind in (r.ALLOC, r.ALLOC_EXACT):
            k.any_pages.update(range(a, a + b))
        if kind == r.ALLOC:
            left = k.allocations_left
            k.allocations_left = 0 if a < 0 else -1
            taken = k.get_zeroed_page() if self.name(name) else k.zeroed_page()
            k.allocations_left = left
            if a >= 0 and taken != a * k.entries:
                raise MirrorError(f"table page {taken // k.entries}, in C {a}")
        elif kind == r.ALLOC_EXACT:
            left = k.allocations_left
            k.allocations_left = 0 if a < 0 else -1
            k.allocates_atomically = not self.name(name)
            taken = k.alloc_pages_exact(b << k.granule.page_shift)
            k.allocates_atomically = False
            k.allocations_left = left
            if a >= 0 and taken != a * k.entries:
                raise MirrorError(f"table pages from {taken // k.entries}, in C {a}")
        elif kind == r.FREE:
            k.free_page(a * k.entries)
            self.check_count(a, b)
        elif kind == r.FREE_EXACT:
            k.free_pages_exact(a * k.entries, k.granule.page_size)
            self.check_count(a, b)
        elif kind == r.READ:
            # One of several actors has loaded an entry.
            self.check_entry(a, b)
            k.loaded(a, b)
        elif kind == r.NO_TABLE:
            for o in k.on.no_table:
                o.no_table(self.name(name), a - (k.base >> k.granule.page_shift))

    def replay_maintenance(self, kind: int, name: int, a: int, b: int, c: int) -> None:
        """Replay a flush of the TLB, a barrier or cache maintenance."""
        k = self.kernel
        if kind == r.TLBI_IPA:
            k.__kvm_tlb_flush_vmid_ipa__(self.mmu_of(a), b, c if 0 <= c < _LEVELS else 0)
        elif kind == r.TLBI_IPA_LOCAL:
            k.__kvm_tlb_flush_vmid_ipa_nsh__(self.mmu_of(a), b, c if 0 <= c < _LEVELS else 0)
        elif kind == r.TLBI_VMID:
            k.__kvm_tlb_flush_vmid__(self.mmu_of(a))
        elif kind == r.TLBI_RANGE:
            k.__kvm_tlb_flush_vmid_range__(self.mmu_of(a), b, c)
        elif kind == r.DSB:
            k.dsb(self.name(name))
        elif kind == r.ISB:
            k.isb()
        elif kind == r.DMB:
            if self.name(name) == "ishld":
                self.host.smp_rmb()
            else:
                k.dmb(self.name(name))
        elif kind == r.DCACHE:
            k.__flush_dcache_area__(k.__va__(a), b)
        elif kind == r.ICACHE:
            if b == -1:
                k.__flush_icache_all__()
            else:
                k.invalidate_icache_range(k.__va__(a), b)

    def replay_lock(self, number: int, vm: int, what: int) -> None:
        """Replay the taking of a lock; a lock that does not concern stage 2 has no name and is ignored.

        :param what: bit 0: the lock is exclusive; from bit 1 on: number of entries read so far
        """
        name = r.LOCKS[number]
        if name:
            self.select_vm(vm)
            self.visited(what >> 1)
            self.kernel.lock(name, not what & 1)

    def replay_unlock(self, number: int, vm: int, what: int) -> None:
        """Replay the release of a lock; parameters as for `replay_lock`."""
        name = r.LOCKS[number]
        if name:
            self.select_vm(vm)
            self.visited(what >> 1)
            self.kernel.unlock(name)
