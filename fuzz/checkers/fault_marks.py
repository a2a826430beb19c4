# SPDX-License-Identifier: GPL-2.0-only
"""The marks of a fault in progress: the pages it marked accessed or dirty, and the leaves it wrote."""

from typing import NamedTuple

from reference.machine.walk import NONE
from reference.per_actor import PerActor


class Mapped:
    """A leaf that a fault wrote: guest address, level, entry, frames of its host page, and whether dirty is due.

    *place*: where in a compiled tree it was written
    """

    def __init__(self, ipa: int, level: int, entry: int, first: int, end: int, dirty: bool, place: str) -> None:
        self.ipa = ipa
        self.level = level
        self.entry = entry
        self.first = first
        self.end = end
        self.dirty = dirty
        self.place = place


class LateViolation(NamedTuple):
    """A violation for the quiet point, at a guest address; *place*: where in a compiled tree it happened."""

    what: str
    level: int
    reason: str
    ipa: int
    place: str


class FaultMarks(PerActor):
    """The marks and leaves of the fault in progress."""

    def __init__(self) -> None:
        self.fault_ipa, self.fault = 0, NONE
        # True if this fault has looked a frame up.
        self.looked_up = False
        self.waiting: list[Mapped] = []
        # (level, address) -> leaf that the fault itself broke: a new leaf there of the same frame was already mapped.
        self.broken: dict[tuple[int, int], int] = {}
        self.dirty: set[int] = set()
        self.accessed: set[int] = set()
        # A compare-exchange of this fault failed, because the entry had changed, and none has made a leaf since.
        self.lost = False
        # A leaf let the guest write at *fault_ipa*, at some time since the fault last took the mmu lock.
        self.granted = False
        # The last result of mmu_notifier_retry() since then.
        self.must_retry = False
        # Violations for the quiet point.
        self.late: list[LateViolation] = []
        # Those of dirty marks, unless this fault still maps its page writable: then `fault_order` judges the order.
        self.early: list[LateViolation] = []

    def forget(self) -> None:
        """Reset the state before a fault."""
        self.looked_up = self.lost = self.granted = self.must_retry = False
        self.waiting.clear()
        self.broken.clear()
        self.dirty.clear()
        self.accessed.clear()
        self.early.clear()

    def copy(self) -> "FaultMarks":
        mine = FaultMarks()
        mine.fault_ipa, mine.fault = self.fault_ipa, self.fault
        mine.looked_up, mine.lost = self.looked_up, self.lost
        mine.granted, mine.must_retry = self.granted, self.must_retry
        mine.waiting, mine.late, mine.early = self.waiting[:], self.late[:], self.early[:]
        mine.broken, mine.dirty, mine.accessed = self.broken.copy(), self.dirty.copy(), self.accessed.copy()
        return mine
