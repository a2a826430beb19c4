# SPDX-License-Identifier: GPL-2.0-only
"""The actors of a par block other than vCPUs: threads of the host and of user space, and hardware."""

from ..language.lock_rules import RULE_OF, SHARED
from ..language.operations import (
    ByThread,
    ClearLog,
    Evict,
    GetLog,
    HostOperation,
    SetLog,
    SlotCreate,
    SlotDelete,
    SlotMove,
    Speculate,
)
from ..sides.outcome import Outcome
from ..sides.side import Side
from .guest_operations import GuestOperations
from .host_operations import HostOperations


class Threads:
    """Runs the operations of these actors.

    :param side: the side that they run on
    :param guest: runs operations of CPUs, without other actors
    :param host: runs operations of the host and user space, without other actors
    """

    def __init__(self, side: Side, guest: GuestOperations, host: HostOperations) -> None:
        self.side = side
        self.guest = guest
        self.host = host

    def run(self, op: ByThread, at: int) -> Outcome:
        """Run an operation.

        :param at: the number of the operation, which distinguishes its writes from others
        """
        steps = self.side.kernel.steps
        if steps is not None:
            steps.call_begins()
        outcome = self.one(op, at)
        if steps is not None:
            steps.call_ends()
        return outcome

    def one(self, op: ByThread, at: int) -> Outcome:
        """Do as `run`, within a call as seen by `reference.steps.Steps`, which keeps the locks of ports."""
        side = self.side
        side.kernel.cause = ""
        if isinstance(op, (Speculate, Evict)):
            side.active = side.vm_of(op.cpu)
            self.guest.hardware(op)
            return Outcome("ok")
        # This runs on no vCPU and touches no single CPU.
        side.kernel.cpu = 0
        layout = side.by_name[op.slot]
        if isinstance(op, GetLog):
            return self.host.get_log(layout)
        if isinstance(op, ClearLog):
            return self.host.clear_log(op, layout)
        if isinstance(op, (SetLog, SlotCreate, SlotDelete, SlotMove)):
            return self.host.slot(op, layout)
        return self.of_host(op, at)

    def of_host(self, op: HostOperation, at: int) -> Outcome:
        """Run an operation of the host under the mmap lock. Other actors see its steps."""
        side, actor = self.side, self.side.kernel.actor
        side.host.version = at + 1
        mode = RULE_OF[type(op)].mmap
        main = side.running[0].main
        # The caller of notifiers knows of no VM.
        side.active = side.running[0]
        side.enter("mmap_lock")
        if mode:
            main.lock_mmap(mode == SHARED)
        side.notifications.operating.add(actor)
        outcome = self.host.run(op, side.by_name[op.slot])
        side.notifications.operating.discard(actor)
        # Corresponds to tlb_finish_mmu().
        side.memory.release_taken(actor)
        if mode:
            main.unlock_mmap(mode == SHARED or actor in side.notifications.downgraded)
            side.notifications.downgraded.discard(actor)
        return outcome
