# SPDX-License-Identifier: GPL-2.0-only
"""The notifications of the host: passed to each running VM, with the steps at which other actors may run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference.machine.address_space import FOR_CLEAR, NotifierReceiver

if TYPE_CHECKING:
    from .guest import Guest
    from .side import Side


class HostNotifications(NotifierReceiver):
    """Receives the notifications of the host's address space and passes them to each running VM, the newest first.

    ``mmu_notifier_register()`` puts each VM at the head of the list.

    :param side: the side, once it has its VMs
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.kernel = side.kernel
        self.memory = side.memory
        self.host = side.host
        # The side's list, from which VMs that end are removed.
        self.running = side.running
        # True while the VMs receive notifications of a change by the host, including during a fault.
        self.notifying = False
        # The reason of the next invalidation.
        self.event = FOR_CLEAR
        # Actors in an operation of the host.
        self.operating: set[int] = set()
        # Actors that hold the mmap lock for reading after taking it for writing.
        self.downgraded: set[int] = set()
        # Actor -> page whose entry in the host's tables it has changed, and notifies of under that table's lock.
        self.telling: dict[int, int] = {}

    def reason(self, event: int) -> None:
        self.event = event

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.memory.taker = 0
        # Read before others run, because they may begin their own invalidations.
        event, self.event = self.event, FOR_CLEAR
        self.step("start", False)
        active = self.begin_notification()
        for guest in reversed(self.running):
            self.side.active = guest
            self.calling()
            guest.main.reason(event)
            guest.notified.invalidate_range_start(start, end, blockable)
        self.end_notification(active)
        self.step("start", True)
        self.step("change", False)
        self.wait_for_tables(start, end)
        self.changes_pages()

    def invalidate_range_end(self) -> None:
        self.memory.taker = 0
        if self.kernel.turns is not None:
            self.running[0].main.changed()
            self.step("change", True)
            self.step("end", False)
        active = self.begin_notification()
        for guest in reversed(self.running):
            self.side.active = guest
            self.calling()
            guest.notified.invalidate_range_end()
        self.end_notification(active)
        self.step("end", True)
        if self.running[0].notified.under_way:
            # This invalidation was inside another one.
            self.changes_pages()

    def must_not_block(self, on: bool) -> None:
        self.kernel.must_not_block = on

    def changes_pages(self) -> None:
        """Note that the running actor changes pages from here on; a host operation frees its pages when it ends."""
        if self.kernel.actor in self.operating:
            self.memory.taker = self.kernel.actor

    def wait_for_tables(self, start: int, end: int) -> None:
        """Let others run until none of them holds the lock of a page table with entries of [start, end).

        A vCPU whose fault copies a page does not wait: in the process of a tree no other actor can run before the host
        has answered (``ask()`` of native/rt_serve.c), and ports behave the same.
        """
        if self.kernel.actor not in self.operating:
            return
        moved = True
        while self.telling:
            first, last = start & -self.host.pmd_size, end - 1 | self.host.pmd_size - 1
            there = [actor for actor, hva in self.telling.items() if first <= hva <= last]
            if not there:
                return
            assert self.kernel.turns is not None
            self.kernel.turns.wait("page table", there[0], moved)
            moved = False

    def change_pte(self, hva: int, pfn: int) -> None:
        turns = self.kernel.turns
        if turns is None:
            self.tell_of_page(hva, pfn)
            return
        actor = self.kernel.actor
        # set_pte_at_notify() is called under the lock of that table.
        self.telling[actor] = hva
        try:
            self.tell_of_page(hva, pfn)
        finally:
            del self.telling[actor]
        turns.wake_waiters()

    def tell_of_page(self, hva: int, pfn: int) -> None:
        """Call ``change_pte()`` for all VMs."""
        active = self.begin_notification()
        for guest in reversed(self.running):
            self.side.active = guest
            self.calling()
            guest.notified.change_pte(hva, pfn)
        self.end_notification(active)

    def step(self, point: str, after: bool) -> None:
        """Begin or end a step of a host operation: in a par block other actors may run then."""
        if self.kernel.turns is not None:
            self.kernel.turns.step(point, after)

    def calling(self) -> None:
        """Note that KVM is about to receive a notification or query from the host."""
        if self.kernel.turns is not None:
            self.kernel.turns.calling()

    def begin_notification(self) -> Guest:
        """Begin to notify all VMs; return the VM to make active again afterwards."""
        self.notifying = True
        return self.side.active

    def end_notification(self, active: Guest) -> None:
        """End a notification: kernel code continues for the VM *active*, for which it ran before."""
        self.side.active = active
        self.notifying = False

    def areas_dropped(self) -> None:
        if self.kernel.turns is not None:
            self.running[0].main.downgrade_mmap()
            self.downgraded.add(self.kernel.actor)

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        for o in self.kernel.on.cow:
            o.cow(hva, pages, pfn)

    def copying(self, hva: int, pages: int, pfn: int) -> None:
        if self.kernel.turns is None and len(self.running) == 1 and not self.side.tagged:
            self.running[0].main.copying(hva, pages, pfn)

    def host_update(self) -> None:
        for o in self.kernel.on.host_update:
            o.host_update()
