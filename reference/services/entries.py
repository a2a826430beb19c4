# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (virt/kvm/kvm_main.c, arch/arm64/include/asm).
"""Loads and stores of table entries: each is an event, and other actors may run in between."""

from ..compiled.annotations import mypyc_attr
from ..machine.arena import POISON
from ..machine.descriptor import WRITE_BIT
from ..machine.words import Words
from .state import KernelState


@mypyc_attr(allow_interpreted_subclasses=True)
class Entries(KernelState):
    """Access to table entries; a pointer to one is its index in table memory, in words of 64 bits."""

    def WRITE_ONCE(self, ptep: int, pte: int) -> None:
        """``WRITE_ONCE(*ptep, pte)``

        :raises IndexError: *ptep* is not in table memory: the kernel would crash or write to a guest
        """
        if ptep < 0:
            raise IndexError("not a table entry")
        if self.steps is not None:
            self.steps.reached("store")
        self.store(ptep, self.words[ptep], pte, False)
        if self.steps is not None:
            self.steps.passed("store")

    def smp_store_release(self, ptep: int, pte: int) -> None:
        """``smp_store_release(ptep, pte)``

        :raises IndexError: as `WRITE_ONCE`
        """
        if ptep < 0:
            raise IndexError("not a table entry")
        if self.steps is not None:
            self.steps.reached("store")
        self.store(ptep, self.words[ptep], pte, True)
        if self.steps is not None:
            self.steps.passed("store")

    def store(self, ptep: int, old: int, pte: int, release: bool) -> None:
        """Store to an existing table entry that holds *old*."""
        self.words.put(ptep, pte)
        for o in self.on_store:
            o.store(ptep, old, pte, release)

    def cmpxchg(self, ptep: int, old: int, new: int) -> int:
        """``cmpxchg(ptep, old, new)``: if it succeeds, at least a store with release.

        :returns: the entry found; *old* if the exchange took place
        :raises IndexError: as `WRITE_ONCE`
        """
        if ptep < 0:
            raise IndexError("not a table entry")
        self.reached("cmpxchg")
        found = self.words[ptep]
        if found == old:
            self.exchanging = True
            self.store(ptep, old, new, True)
            self.exchanging = False
            for o in self.on.exchanged:
                o.exchanged(ptep, old, new)
        else:
            for o in self.on.exchange_lost:
                o.exchange_lost(ptep, found, new)
        self.passed("cmpxchg")
        return found

    def load(self, ptep: int) -> int:
        """Load a table entry while several actors run; others may run before the value is used."""
        pte = self.words[ptep]
        self.loaded(ptep, pte)
        if self.steps is not None:
            self.steps.loaded()
        return pte

    def loaded(self, ptep: int, pte: int) -> None:
        """Report that one of several actors has loaded an entry."""
        for o in self.on_load:
            o.load(ptep, pte)

    def walk(self, vmid: int, start: int, end: int) -> None:
        for o in self.on_walk:
            o.walk(vmid, start, end)

    def watch_plain_stores(self) -> None:
        """Make ``mem[ptep] = pte`` an event from here on; call it before anything uses table memory."""
        self.words = self.arena.words = Words(POISON, self.plain_store)

    def plain_store(self, ptep: int, pte: int) -> None:
        """``*ptep = pte``: as `WRITE_ONCE`, except that the compiler may split, repeat or move the store.

        :raises IndexError: as `WRITE_ONCE`
        """
        if ptep < 0:
            raise IndexError("not a table entry")
        old = self.words[ptep]
        self.words.put(ptep, pte)
        for o in self.on_store:
            o.store(ptep, old, pte, False)
        for o in self.on.plain_store:
            o.plain_store(ptep, old, pte)

    def found_contents(self, ptep: int, count: int, word: int) -> None:
        """Set entries of a new table page that was not allocated as zero. That is no store: memory held this."""
        for entry in range(ptep, ptep + count):
            self.words.put(entry, word)
        for o in self.on.contents:
            o.contents(ptep, count, word)

    def read_unwritten(self, ptep: int) -> None:
        """Report that kernel code has read an entry that nobody has written since its page was allocated."""
        for o in self.on.unwritten:
            o.unwritten(ptep)

    def walk_table(self, table: int, level: int) -> None:
        for o in self.on_walk_table:
            o.walk_table(table, level)

    def hardware_sets_af(self, ptep: int, af: int) -> None:
        """Set bit *af* of an entry on behalf of a hardware access; this is not kernel code."""
        old = self.words[ptep]
        self.words.put(ptep, old | af)
        for o in self.on.set_af:
            o.set_af(ptep, old, old | af)

    def hardware_dirties(self, ptep: int) -> None:
        """Set write permission in a leaf with DBM on behalf of a hardware write; this is not kernel code."""
        old = self.words[ptep]
        self.words.put(ptep, old | WRITE_BIT)
        for o in self.on.dirtied:
            o.dirtied(ptep, old, old | WRITE_BIT)
