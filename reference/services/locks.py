# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (virt/kvm/kvm_main.c, arch/arm64/include/asm).
"""Locks, RCU, and the queries by which kernel code decides to give way to others."""

from typing import Final

from ..compiled.annotations import mypyc_attr
from .pages import Pages

# The locks of the host's address space and of one area: they belong to no VM.
AREA_LOCKS: Final = ("mmap", "vma")
# Names of the locks in messages.
LOCK_NAMES: Final = {"mmu": "the mmu lock", "mmap": "the mmap lock", "srcu": "srcu", "vma": "the lock of a VMA"}


@mypyc_attr(allow_interpreted_subclasses=True)
class Locks(Pages):
    """The mmu lock, the host's locks, SRCU and RCU; a waiting actor continues when the lock is free."""

    def lock(self, name: str, shared: bool = False) -> None:
        """``spin_lock(&kvm->mmu_lock)``, ``mmap_read_lock()``, ``srcu_read_lock()``.

        :param shared: for the mmu lock: ``read_lock(&kvm->mmu_lock)``, which several readers may hold
        """
        self.take(name, name == "mmu" and not shared)

    def mmap_write_lock(self) -> None:
        """``mmap_write_lock()``, as host threads take it."""
        self.take("mmap", True)

    def take(self, name: str, exclusive: bool) -> None:
        """Take a lock; with several actors, let others run until it is free.

        :param exclusive: exclude all other holders
        """
        is_mmu, is_mmap = name == "mmu", name == "mmap"
        vmid = 0 if name in AREA_LOCKS else self.vmid
        if is_mmu:
            self.reached("lock")
        if self.steps is not None:
            self.steps.take(name, vmid, exclusive)
        if self.locks and (is_mmu or is_mmap) and "mmu" in self.locks:
            self.warn("lock-already-held" if is_mmu else "sleeping-call-under-lock")
        elif is_mmap and self.must_not_block:
            self.warn("sleeping-call-in-notifier")
        self.locks.append(name)
        if is_mmu:
            self.mmu_shared = not exclusive
            self.mmu_holds += exclusive
        for o in self.on_lock:
            o.lock(name, vmid)
        if is_mmu:
            self.passed("lock")

    def unlock(self, name: str) -> None:
        is_mmu = name == "mmu"
        if is_mmu:
            self.reached("unlock")
        last = len(self.locks) - 1
        while last >= 0 and self.locks[last] != name:
            last -= 1
        if last >= 0:
            self.locks.pop(last)
            if is_mmu:
                self.mmu_shared = False
        else:
            self.warn("lock-not-held", f"{LOCK_NAMES[name]} is released without being held")
        vmid = 0 if name in AREA_LOCKS else self.vmid
        if self.steps is not None:
            self.steps.drop(name, vmid)
        for o in self.on_unlock:
            o.unlock(name, vmid)
        if is_mmu:
            self.passed("unlock")

    def mutex_lock(self, name: str) -> None:
        """``mutex_lock(&kvm->slots_lock)``: not an event, since no checker has a rule about its order."""
        self.might_sleep()
        if self.steps is not None:
            self.steps.take(name, self.vmid, True)

    def mutex_unlock(self, name: str) -> None:
        if self.steps is not None:
            self.steps.drop(name, self.vmid)

    def synchronize_srcu(self) -> None:
        """``synchronize_srcu_expedited(&kvm->srcu)``: wait for readers, including readers that arrive later."""
        self.might_sleep()
        for o in self.on.synchronize_srcu:
            o.synchronize_srcu()
        if self.steps is not None:
            self.steps.wait_for_readers("srcu", self.vmid)

    def rcu_read_lock(self) -> None:
        """``rcu_read_lock()``: what others detach from here on stays until the end of the section."""
        self.rcu_depth += 1
        for o in self.on.rcu_read_lock:
            o.rcu_read_lock(self.rcu_depth)

    def rcu_read_unlock(self) -> None:
        self.rcu_depth -= 1
        for o in self.on.rcu_read_unlock:
            o.rcu_read_unlock(self.rcu_depth)
        self.rcu_depth = max(self.rcu_depth, 0)

    def call_rcu(self, page: int) -> int:
        """``call_rcu()``, usually with the ``rcu_head`` of a table page.

        :param page: number of the page, or -1
        :returns: the number of the callback
        """
        number = self.rcu_posted
        self.rcu_posted += 1
        for o in self.on.call_rcu:
            o.call_rcu(number, page)
        return number

    def rcu_callback(self, number: int) -> None:
        """A grace period has passed: the callback *number* is about to run."""
        self.rcu_passed = max(self.rcu_passed, number + 1)
        for o in self.on.rcu_callback:
            o.rcu_callback(number)

    def assert_spin_locked(self) -> None:
        """``assert_spin_locked(&kvm->mmu_lock)``"""
        if "mmu" not in self.locks:
            self.warn("lock-not-held")

    def cond_resched_lock(self) -> None:
        """``cond_resched_lock(&kvm->mmu_lock)``: drop and retake the lock if another task waits."""
        self.offer_resched()
        if self.is_contended():
            self.unlock("mmu")
            self.lock("mmu")

    def is_contended(self) -> bool:
        """Return whether another task waits for the mmu lock, as the program specifies."""
        self.queries += 1
        every = self.resched_every
        return self.queries == self.contended_at or (every != 0 and self.queries % every == 0)

    def need_resched(self) -> bool:
        return self.answer_query("need_resched")

    def spin_needbreak(self) -> bool:
        """``spin_needbreak(&kvm->mmu_lock)``"""
        return self.answer_query("spin_is_contended")

    def rwlock_needbreak(self) -> bool:
        """``rwlock_needbreak(&kvm->mmu_lock)``"""
        return self.answer_query("rwlock_is_contended")

    def answer_query(self, function: str) -> bool:
        """Answer a query of kernel code, which drops the lock itself if the answer is yes."""
        answer = self.is_contended()
        self.report_query(function, answer)
        return answer

    def report_query(self, function: str, answer: bool) -> None:
        """Report the answer to a query whether another task waits."""
        for o in self.on.resched_asked:
            o.resched_asked(function, answer)

    def cond_resched(self) -> None:
        """Report that another task may run here."""
        for o in self.on.cond_resched:
            o.cond_resched()

    def offer_resched(self) -> None:
        """Report that the mmu lock may be dropped here."""
        for o in self.on.resched:
            o.resched()
