# SPDX-License-Identifier: GPL-2.0-only
"""The operation of an actor, its last fault, and the predicates that held in the operation."""

from __future__ import annotations

from reference.machine.walk import NONE
from reference.per_actor import PerActor

from ..checkers.guest_pages import Range, merged
from ..language.operations import Operation


class HeldPredicates:
    """Predicates that held in one operation of an actor of a par block.

    *of_operation*: predicates of `OF_OPERATION`; *noted*: predicates of `OF_ACTOR`, with their VM addresses
    """

    def __init__(self) -> None:
        self.of_operation: frozenset[str] = frozenset()
        self.noted: dict[str, list[Range]] = {}
        # Ranges walked while the operation ages pages, also outside of a block: many pages, one after the other.
        self.starts: list[int] = []
        self.ends: list[int] = []

    def walked(self, start: int, end: int) -> None:
        """Note a walk of the VM addresses [start, end) by an operation that ages pages."""
        if self.ends and self.ends[-1] == start:
            self.ends[-1] = end
        else:
            self.starts.append(start)
            self.ends.append(end)

    def walks(self) -> list[Range]:
        """Return the VM addresses that were walked."""
        return merged(zip(self.starts, self.ends, strict=True))

    def any(self) -> bool:
        """Return whether anything is noted."""
        return bool(self.noted or self.starts or self.of_operation)


class LastFault(PerActor):
    """The operation in progress, and its last fault: its kind, the entry that caused it, its level and its address.

    *held*: what held in the operation; *logged*: the slot of its access had a dirty log when a fault began; *frames*:
    frames of the leaves that the handler of an access flag fault may have found; *left*: level and entry at the fault
    when the actor last gave way; *cleared*: the handler has cleared tags;
    *lost*: the handler has lost a race for the leaf of a permission fault; *area*: the begin of the first area that the
    handler found, or -1
    """

    def __init__(self) -> None:
        self.op: Operation | None = None
        self.held = HeldPredicates()
        self.fault = NONE
        self.fault_entry = 0
        self.fault_level = -1
        self.fault_at = 0
        self.logged = False
        self.frames: list[int] = []
        self.left = (-1, 0)
        self.cleared = False
        self.lost = False
        self.area = -1

    def begin(self, op: Operation | None) -> None:
        """Begin an operation; None: creation or destruction of the VMs."""
        self.op = op
        if self.held.any():
            self.held = HeldPredicates()
        self.fault = NONE
        self.logged = self.cleared = self.lost = False

    def copy(self) -> LastFault:
        mine = LastFault()
        mine.op, mine.fault, mine.fault_entry = self.op, self.fault, self.fault_entry
        mine.fault_level, mine.fault_at, mine.logged = self.fault_level, self.fault_at, self.logged
        mine.frames, mine.left, mine.cleared = self.frames[:], self.left, self.cleared
        mine.lost, mine.area = self.lost, self.area
        return mine
