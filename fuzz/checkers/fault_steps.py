# SPDX-License-Identifier: GPL-2.0-only
"""The steps of a fault in progress: its samples, look-ups and retry checks, and the leaves and marks it makes."""

from typing import Final

from reference.per_actor import PerActor

# The last result of mmu_notifier_retry() under the current hold of the mmu lock.
NOT_ASKED: Final = 0
GO_ON: Final = 1
RETRY: Final = 2


class LookUp:
    """A frame that the fault looked up.

    :param samples: samples of the sequence made before the look-up, with a barrier in between
    :param unordered: samples made before the look-up, without a barrier in between

    *asked*: whether ``mmu_notifier_retry()`` was called since, and the lock was free after that
    """

    def __init__(self, pfn: int, samples: list[int], unordered: list[int]) -> None:
        self.pfn = pfn
        self.samples = samples
        self.unordered = unordered
        self.asked = False


class Writable:
    """A leaf that became writable: address, size, level, the hold of the lock and the moment."""

    def __init__(self, ipa: int, size: int, level: int, hold: int, moment: int) -> None:
        self.ipa = ipa
        self.size = size
        self.level = level
        self.hold = hold
        self.moment = moment


class Mark:
    """A ``mark_page_dirty()`` that set a bit: address, hold of the lock (-1: none), moment."""

    def __init__(self, ipa: int, hold: int, moment: int) -> None:
        self.ipa = ipa
        self.hold = hold
        self.moment = moment


class FaultSteps(PerActor):
    """The steps of the fault in progress."""

    def __init__(self) -> None:
        self.fault_ipa = 0
        # In this fault: samples, the number of samples followed by a barrier, and look-ups.
        self.samples: list[int] = []
        self.ordered = 0
        # The source location of the last sample in a compiled tree; "" in a port.
        self.sampled_at = ""
        # `area`: a VMA was looked up under the current hold of the mmap lock, or was locked. `area_dropped`: that
        # lock was dropped.
        self.area = self.area_dropped = False
        # The lock that was dropped then.
        self.area_lock = ""
        # Samples made after that.
        self.late: list[int] = []
        self.look_ups: list[LookUp] = []
        # Counters of holds of the mmu lock, and of events, in this fault.
        self.holds = 0
        self.moment = 0
        self.answer = NOT_ASKED
        self.passed = 0
        # The code compares the sequence itself, and read it under the lock.
        self.compared = False
        # Leaves broken under this hold: (level, address) -> entry.
        self.broken: dict[tuple[int, int], int] = {}
        self.writable: list[Writable] = []
        self.marks: list[Mark] = []
        # The previous value of the entry being written.
        self.before = 0

    def forget(self) -> None:
        """Reset the state before a fault."""
        self.area = self.area_dropped = False
        if not self.samples and not self.look_ups and not self.marks and not self.holds:
            return
        self.samples = []
        self.late.clear()
        self.holds = self.moment = 0
        self.ordered = 0
        self.look_ups.clear()
        self.answer = NOT_ASKED
        self.compared = False
        self.broken.clear()
        self.writable.clear()
        self.marks.clear()

    def sample(self, sequence: int, place: str) -> None:
        """Record a sample of the sequence; *place*: its source location in a compiled tree."""
        self.samples.append(sequence)
        self.sampled_at = place
        if self.area_dropped and not self.area:
            self.late.append(sequence)

    def order_samples(self) -> None:
        """Record that a barrier follows the samples so far."""
        self.ordered = len(self.samples)

    def look_up(self, pfn: int) -> None:
        """Record the look-up of a frame."""
        self.look_ups.append(LookUp(pfn, self.samples[: self.ordered], self.samples[self.ordered :]))

    def mmu_lock_dropped(self) -> None:
        """Record that a hold of the mmu lock has ended, which invalidates checks made under it."""
        self.holds += 1
        if self.answer != NOT_ASKED:
            self.lock_free_after_check()
        self.answer = NOT_ASKED
        self.compared = False
        self.broken.clear()

    def lock_free_after_check(self) -> None:
        """Record that the retry check was called, and that the lock was free afterwards."""
        for look_up in self.look_ups:
            look_up.asked = True

    def became_writable(self, ipa: int, size: int, level: int) -> None:
        """Record a leaf that became writable."""
        self.moment += 1
        self.writable.append(Writable(ipa, size, level, self.holds, self.moment))

    def marked_dirty(self, ipa: int, locked: bool) -> None:
        """Record a dirty mark; *locked*: the actor holds the mmu lock."""
        self.moment += 1
        self.marks.append(Mark(ipa, self.holds if locked else -1, self.moment))

    def is_outdated(self, sampled: int) -> bool:
        """Return whether a value was sampled only after the lock of the VMA look-up was dropped."""
        return sampled in self.late and self.late.count(sampled) == self.samples.count(sampled)

    def is_marked_too_early(self, leaf: Writable) -> bool:
        """Return whether a leaf has dirty marks, and each came before it was writable, under another hold."""
        early = False
        for mark in self.marks:
            if leaf.ipa <= mark.ipa < leaf.ipa + leaf.size:
                if mark.moment > leaf.moment or mark.hold == leaf.hold:
                    return False
                early = True
        return early

    def copy(self) -> "FaultSteps":
        mine = FaultSteps()
        mine.fault_ipa = self.fault_ipa
        mine.samples, mine.ordered, mine.look_ups = self.samples[:], self.ordered, self.look_ups[:]
        mine.area, mine.area_dropped, mine.late = self.area, self.area_dropped, self.late[:]
        mine.area_lock = self.area_lock
        mine.sampled_at = self.sampled_at
        mine.holds, mine.moment = self.holds, self.moment
        mine.answer, mine.passed, mine.compared = self.answer, self.passed, self.compared
        mine.broken, mine.before = self.broken.copy(), self.before
        mine.writable, mine.marks = self.writable[:], self.marks[:]
        return mine
