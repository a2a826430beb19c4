# SPDX-License-Identifier: GPL-2.0-only
"""Makes the records of a tree's code the events of the ports.

Each record is done again on the Python side: the store in the arena of `reference.kernel.Kernel`, the flush in the
TLBs of the machine, the count in its counts. So observers see at each event just the state that the tree's code had
then, by the same calls as those of a port, and walker and checkers need know nothing of C.
"""

from typing import Final

from reference.kernel import Kernel

from . import records as r
from .replay_host import HostReplay
from .words import word, word_count

# Levels from here on, and those below 0, are no hint.
_LEVELS: Final = 4


# Records that change nothing here, and whom they tell.
_TOLD_ONLY: Final = ((r.COUNT, "page_count"), (r.ISB, "isb"), (r.MC_COUNT, "mc_count"), (r.VMA, "vma"))


def unwanted(kernel: Kernel) -> int:
    """Return the kinds of records that change nothing, and of which nobody hears, a bit for each."""
    kinds = 1 << r.CALL
    for kind, event in _TOLD_ONLY:
        if not kernel.on.named(event):
            kinds |= 1 << kind
    return kinds


class MirrorError(Exception):
    """The two sides of a replay differ: a mistake of ours, never a finding."""


class Replay(HostReplay):
    """Events of one side."""

    def run(self) -> None:
        """Do the records again that the process has made since.

        Where turns have changed in the process, those behind that are of another actor: it has its turn from there on,
        and its code need not run for that.
        """
        words = self.process.take_records()
        at, turn, end = 0, 0, word_count(words)
        placed, kernel, history = self.placed, self.kernel, self.history
        if end:
            history.add(words)
        while at < end:
            head = word(words, at)
            kind, chain = head & 0xFFFF, head >> 32
            a = word(words, at + 1)
            at += r.RECORD_WORDS
            history.at = at
            if kind == r.TURN:
                self.chain = 0
                kernel.place = ""
                self.turned(a, word(words, at - 2), word(words, at - 1))
                turn = at
                continue
            if chain != self.chain:
                # Where the records from here on were made.
                self.chain = chain
                place = placed[chain] if chain < len(placed) else None
                if place is None:
                    place = self.place(chain)
                kernel.place = place.where
                if place.walker:
                    kernel.walker = place.walker
            if kind == r.TABLE:
                kernel.walk_table(a & -kernel.entries, -1)
            else:
                self.one(kind, head >> 16 & 0xFFFF, a, word(words, at - 2), word(words, at - 1))
        self.visited(self.process.visited())
        self.chain = 0
        kernel.place = ""
        if at != turn and kernel.turns is not None:
            # The process knows what the actor has done since its last answer only, not in its whole turn.
            kernel.turns.nobody_waits()

    def turned(self, actor: int, why: int, what: int) -> None:
        """Turns have changed in the process.

        :param actor: goes on
        :param why: `records.SWITCHED` or `records.BLOCKED`
        :param what: the number of the switch; or of a wait the kind of the lock, the actor that has it, and 1 if who
            waits has done something in this turn
        :raises MirrorError: somebody else has to go on
        """
        turns = self.kernel.turns
        assert turns is not None
        if why == r.SWITCHED:
            turns.switched(what)
        else:
            turns.waited(r.LOCKS[what & 0xFF], what >> 8 & 0xFF, what >> 16 != 0)
        if self.kernel.actor != actor:
            raise MirrorError(f"turn of actor {self.kernel.actor}, in C of {actor}")

    def one(self, kind: int, name: int, a: int, b: int, c: int) -> None:
        """Do one record again, the frequent ones first."""
        k = self.kernel
        if r.STORE <= kind <= r.PLAIN:
            # In place of a name they have the lower bits of how many entries the code had read.
            k.visited += (name - k.visited) & 0xFFFF
        if kind == r.STORE:
            self.had(a, b)
            k.WRITE_ONCE(a, c)
        elif kind == r.RELEASE:
            self.had(a, b)
            k.smp_store_release(a, c)
        elif kind == r.CMPXCHG:
            self.had(a, b)
            k.cmpxchg(a, b, c)
        elif kind == r.CMPXCHG_FAIL:
            self.had(a, b)
            # Whatever it was to replace, it was not that.
            k.cmpxchg(a, ~b, c)
        elif kind == r.PLAIN:
            self.had(a, b)
            k.plain_store(a, c)
        elif kind == r.GET:
            k.get_page(a)
            self.counts(a, b)
        elif kind == r.PUT:
            k.put_page(a)
            self.counts(a, b)
        elif kind == r.COUNT:
            k.page_count(a)
        elif kind == r.LOCK:
            self.lock(a, b, c)
        elif kind == r.UNLOCK:
            self.unlock(a, b, c)
        elif kind <= r.NO_TABLE:
            self.page(kind, name, a, b)
        elif kind <= r.ICACHE:
            self.maintenance(kind, name, a, b, c)
        elif kind == r.RCU_LOCK:
            # Records have the depth and the number, for some of these happen while nothing is recorded.
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
            self.memory(kind, a, b, c)
        elif kind <= r.ROOT:
            self.notifier(kind, a, b, c)
        elif kind == r.INSTRUCTION:
            self.tlb.note(self.name(name), a, k.place)
        else:
            self.rest(kind, name, a, b, c)

    def had(self, ptep: int, old: int) -> None:
        """An entry held this before."""
        if self.kernel.words[ptep] != old:
            raise MirrorError(f"entry {ptep:#x} holds {self.kernel.words[ptep]:#x}, in C {old:#x}")

    def counts(self, page: int, count: int) -> None:
        """A page now has so many references."""
        if self.kernel.counts[page] != count:
            raise MirrorError(f"page {page} has {self.kernel.counts[page]} references, in C {count}")

    def page(self, kind: int, name: int, a: int, b: int) -> None:
        """Table pages come and go."""
        k = self.kernel
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
            taken = k.alloc_pages_exact(b << k.granule.page_shift)
            k.allocations_left = left
            if a >= 0 and taken != a * k.entries:
                raise MirrorError(f"table pages from {taken // k.entries}, in C {a}")
        elif kind == r.FREE:
            k.free_page(a * k.entries)
            self.counts(a, b)
        elif kind == r.FREE_EXACT:
            k.free_pages_exact(a * k.entries, k.granule.page_size)
            self.counts(a, b)
        elif kind == r.READ:
            # An actor of several has loaded an entry.
            self.had(a, b)
            k.loaded(a, b)
        elif kind == r.NO_TABLE:
            for o in k.on.no_table:
                o.no_table(self.name(name), a - (k.base >> k.granule.page_shift))

    def maintenance(self, kind: int, name: int, a: int, b: int, c: int) -> None:
        """TLB, barriers, caches."""
        k = self.kernel
        if kind == r.TLBI_IPA:
            k.__kvm_tlb_flush_vmid_ipa__(self.vms[a].mmu, b, c if 0 <= c < _LEVELS else 0)
        elif kind == r.TLBI_IPA_LOCAL:
            k.__kvm_tlb_flush_vmid_ipa_nsh__(self.vms[a].mmu, b, c if 0 <= c < _LEVELS else 0)
        elif kind == r.TLBI_VMID:
            k.__kvm_tlb_flush_vmid__(self.vms[a].mmu)
        elif kind == r.TLBI_RANGE:
            k.__kvm_tlb_flush_vmid_range__(self.vms[a].mmu, b, c)
        elif kind == r.DSB:
            k.dsb(self.name(name))
        elif kind == r.ISB:
            k.isb()
        elif kind == r.DMB:
            if self.name(name) == "ishld":
                self.host.smp_rmb()
        elif kind == r.DCACHE:
            k.__flush_dcache_area__(k.__va__(a), b)
        elif kind == r.ICACHE:
            if b == -1:
                k.__flush_icache_all__()
            else:
                k.invalidate_icache_range(k.__va__(a), b)

    def lock(self, number: int, vm: int, what: int) -> None:
        """A lock was taken; those that do not concern stage 2 have no name.

        :param what: 1 if nobody else may hold it; entries read by then, from the next bit on
        """
        name = r.LOCKS[number]
        if name:
            self.of(vm)
            self.visited(what >> 1)
            self.kernel.lock(name, not what & 1)

    def unlock(self, number: int, vm: int, what: int) -> None:
        """A lock was released."""
        name = r.LOCKS[number]
        if name:
            self.of(vm)
            self.visited(what >> 1)
            self.kernel.unlock(name)
