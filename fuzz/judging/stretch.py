# SPDX-License-Identifier: GPL-2.0-only
"""The length of holds of the mmu lock, in table entries visited, and the side that holds it too long.

A stretch lasts from taking the lock, or a ``cond_resched_lock()``, to the
next ``cond_resched_lock()`` or the unlock. A version that asks whether to drop
the lock (``need_resched()``, ``rwlock_needbreak()``) reschedules there as well.
Entries of a port count when the walk of their table ends (`Kernel.visited`). So entries of a table whose walk
spans two stretches count in the later one: a few tables' worth at most. Entries
of a kernel tree count when its code reads them.
A destroy walk holds no lock. A side is wrong only by comparison: it must hold the
lock where the other side rescheduled.
"""

from typing import Final

from ..checkers import Checker
from ..execution.executor import Executor
from ..language.operations import Operation
from ..sides.side import Side

# A stretch is too long if it exceeds both `TIMES` times the other side's, and `ENTRIES` entries.
TIMES: Final = 4
ENTRIES: Final = 1 << 14


class Stretch(Checker):
    """Measures one side; judges nothing.

    *longest*: entries visited in the longest stretch of this operation;
    *longest_ever*: of all operations; *rescheduled*: how often, in this operation, the lock could be
    dropped after entries had been visited since it was taken or could last be dropped
    """

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self.longest = 0
        self.longest_ever = 0
        self.rescheduled = 0
        self.since = 0
        self.began = 0
        self.entry = ""

    def before_operation(self, op: Operation | None) -> None:
        self.longest = self.rescheduled = 0
        self.began = self.kernel.visited

    def visited(self) -> int:
        """Return the number of entries visited in this operation."""
        return self.kernel.visited - self.began

    def lock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.since = self.kernel.visited

    def unlock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.ended()

    def resched(self) -> None:
        if self.ended():
            self.rescheduled += 1

    def resched_asked(self, function: str, answer: bool) -> None:
        if "mmu" in self.kernel.locks:
            self.resched()

    def ended(self) -> int:
        """End a stretch, and return its length."""
        visited = self.kernel.visited
        length = visited - self.since
        self.since = visited
        if length > self.longest:
            self.longest = length
            self.entry = self.kernel.entry
            if length > self.longest_ever:
                self.longest_ever = length
        return length


class TooLong:
    """A stretch that is too long: its side, its signature, and a line for people."""

    def __init__(self, candidate: bool, signature: str, reason: str) -> None:
        self.candidate = candidate
        self.signature = signature
        self.reason = reason


class Stretches:
    """Compares both sides of a program, operation by operation.

    :param left: the reference's side, before anything has run on it
    :param right: the candidate's side, likewise
    """

    def __init__(self, left: Executor, right: Executor) -> None:
        self.left = measured(left)
        self.right = measured(right)

    def compare(self) -> TooLong | None:
        """Return the stretch that is too long in the operation that both sides have run; None if there is none."""
        left, right = self.left, self.right
        if left.longest <= ENTRIES and right.longest <= ENTRIES:
            return None
        if too_long(right, left):
            return TooLong(True, signature(right), reason("the candidate", right, "the reference", left))
        if too_long(left, right):
            return TooLong(False, signature(left), reason("the reference", left, "the candidate", right))
        return None


def measured(executor: Executor) -> Stretch:
    """Return a measurement of this side, attached to it."""
    stretch = Stretch(executor.side)
    executor.side.kernel.observe(stretch)
    executor.checkers.on_before_operation.append(stretch)
    return stretch


def too_long(one: Stretch, other: Stretch) -> bool:
    """Return whether *one* holds the lock too long, and *other*, which reschedules, shows that it need not.

    A version that maps by smaller leaves visits more entries in total, and may visit more in one hold as well.
    """
    if one.longest <= ENTRIES or not other.rescheduled:
        return False
    mine, others = one.visited(), other.visited()
    return one.longest * max(others, 1) > TIMES * other.longest * max(mine, others)


def signature(stretch: Stretch) -> str:
    """Return the signature, which is the same for either side."""
    return f"contract: {stretch.entry}: mmu_lock held more than {TIMES} times as long, without rescheduling"


def reason(name: str, one: Stretch, other_name: str, other: Stretch) -> str:
    """Return a text with the lengths of both sides' holds."""
    return (
        f"{name} visits {one.longest} entries under one hold of the mmu lock (rescheduled {one.rescheduled} times), "
        f"{other_name} {other.longest} ({other.rescheduled} times)"
    )
