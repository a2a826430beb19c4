# SPDX-License-Identifier: GPL-2.0-only
"""The arithmetic of a running digest of events."""

from typing import Final

from candidate.tree.runtime.errors import TwinDiffersError
from reference.compiled.annotations import i64
from reference.compiled.choice import CHOICE
from reference.events import Observer
from reference.kernel import Kernel

from ..sides.pulse import PULSE

# Odd, so that multiplying by each of these loses no bits.
FIRST: Final = 0x2545F4914F6CDD1D
SECOND: Final = 0x1B873593CC9E2D51
THIRD: Final = 0x5851F42D4C957F2D
KEPT: Final = 0x7FFF_FFFF_FFFF_FFFF
# The bits of a number that is shifted right by 31.
HIGH: Final = 0x1_FFFF_FFFF

# True if this module is compiled: then arithmetic is cheap and tuples are not; in plain Python it is the opposite.
NATIVE: Final = __name__ in CHOICE.files
# Numbers between -SMALL and SMALL are their own digests.
SMALL: Final = 1 << 62
# In plain Python, hash() of an integer is its remainder modulo 2^61 - 1, and -1 has the hash of -2. So this is added to
# each operand, which makes it positive, and the high bits of the sum are hashed beside it.
FAR: Final = 1 << 65
# A mask of the count of events: there is one beat of `fuzz.sides.pulse` every BEAT + 1 events.
BEAT: Final = 255


class Digest(Observer):
    """Digests events, and kernel state that checkers read beside them (VM, entries visited).

    *digest*: digest of all events so far, comparable only within one process; *count*: the number of events

    :param kernel: the kernel of the side whose events they are
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.digest: i64 = 0
        self.count: i64 = 0
        # The count of the other side at its last quiet point, an upper bound for this one; -1: no limit.
        self.most: i64 = -1
        # The names in the kernel layer at the last event, and their digest.
        self.walker = self.cause = self.entry = ""
        self.names: i64 = 0

    def same_as(self, other: "Digest") -> bool:
        """Return whether another side has done the same so far."""
        return self.count == other.count and self.digest == other.digest

    def note(self, kind: int, first: int, second: int) -> None:
        """Add an event to the digest.

        :param kind: its number
        :raises TwinDiffersError: the other side had fewer events
        """
        kernel = self.kernel
        if kernel.walker is not self.walker or kernel.cause is not self.cause or kernel.entry is not self.entry:
            self.walker, self.cause, self.entry = kernel.walker, kernel.cause, kernel.entry
            self.names = hash((self.walker, self.cause, self.entry))
        if NATIVE:
            self.mix(kind, kernel.visited, self.names)
            self.mix(kernel.vmid, word(first), word(second))
        else:
            first, second = first + FAR, second + FAR
            head = self.digest, kind, kernel.visited, self.names, kernel.vmid
            self.digest = hash((*head, first, first >> 60, second, second >> 60))
        self.count += 1
        # The side may have no checkers, so the beat of `Progress` may be missing.
        if not self.count & BEAT:
            PULSE.beat()
        if self.count > self.most >= 0:
            raise TwinDiffersError

    def note_more(self, kind: int, first: int, second: int, third: int, fourth: int, fifth: int) -> None:
        """Add an event with more than two operands to the digest; see `note`."""
        if NATIVE:
            self.mix(word(third), word(fourth), word(fifth))
        else:
            third, fourth, fifth = third + FAR, fourth + FAR, fifth + FAR
            self.digest = hash((self.digest, third, third >> 60, fourth, fourth >> 60, fifth, fifth >> 60))
        self.note(kind, first, second)

    def mix(self, first: i64, second: i64, third: i64) -> None:
        """Add three numbers to the digest."""
        # Otherwise the highest bit of each would be lost. Without the mask, the sign would be shifted in, and a number
        # and its complement, as 0 and -1, would become the same.
        first ^= (first >> 31) & HIGH
        second ^= (second >> 31) & HIGH
        third ^= (third >> 31) & HIGH
        digest: i64 = self.digest
        digest = ((digest ^ first) * FIRST) & KEPT
        digest = (digest ^ (digest >> 29) ^ second) * SECOND & KEPT
        digest = (digest ^ (digest >> 31) ^ third) * THIRD & KEPT
        self.digest = digest ^ (digest >> 30)


def word(number: int) -> i64:
    """Return a number as a signed 64-bit word: guest addresses and log bitmaps may use all 64 bits."""
    if -SMALL <= number < SMALL:
        return number
    high: i64 = (number >> 63) & 0xFFFF
    low: i64 = number & KEPT
    return low ^ ((high * FIRST) & KEPT)
