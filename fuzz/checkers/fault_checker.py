# SPDX-License-Identifier: GPL-2.0-only
"""The base of checkers that judge each fault of a VM, including faults of several actors in a par block."""

from ..language.operations import GuestAccess, GuestPrefault, Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .checker import GuestChecker, Peers


class FaultChecker(GuestChecker):
    """A checker that judges faults. *faulting*: the operation of the running actor accesses this VM, or maps its
    memory in advance.

    Parameters are those of `GuestChecker`.
    """

    def __init__(self, guest: Guest, peers: Peers | None = None) -> None:
        super().__init__(guest, peers)
        self.faulting = False
        # In a par block: the actors whose operation is an access of this VM.
        self.accessing: set[int] = set()

    def turn(self, actor: int) -> None:
        self.faulting = actor in self.accessing

    def before_operation(self, op: Operation | None) -> None:
        actor = self.kernel.actor
        # Memory is mapped in advance in the tables of the VM, whatever tables the vCPU uses.
        self.faulting = (isinstance(op, GuestAccess) and self.side.guest_of(op.cpu) is self.guest) or (
            isinstance(op, GuestPrefault) and self.side.vm_of(op.cpu) is self.guest
        )
        if actor and self.faulting:
            self.accessing.add(actor)
        elif self.accessing:
            self.accessing.discard(actor)
        self.access_begins()

    def actor_begins(self, op: Operation) -> None:
        self.before_operation(op)

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        self.after_operation(op, outcome)

    def access_begins(self) -> None:
        """Forget the previous operation."""
        raise NotImplementedError
