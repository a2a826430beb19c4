# SPDX-License-Identifier: GPL-2.0-only
"""64-bit words of which nearly all are zero: a stretch of zeroes costs neither memory nor time."""

from typing import Final

from ..compiled.annotations import mypyc_attr

SHIFT: Final = 6
# Words of a stretch; divides the number of words of a page.
STRETCH: Final = 1 << SHIFT
_ZEROES: Final = [0] * STRETCH

# Compiled code calls the functions of fuzz/compilation/sparse.h in place of these four.


def word_of(stretches: list[list[int]], index: int) -> int:
    """Return the word of an index.

    :raises IndexError: there is none
    """
    return stretches[index >> SHIFT][index & STRETCH - 1]


def used_from(words: list[int], first: int) -> int:
    """Return the index of the first nonzero word of a stretch, from *first* on; `STRETCH` if there is none."""
    at = first
    while at < STRETCH and not words[at]:
        at += 1
    return at


def not_zero(words: list[int]) -> int:
    """Return the number of nonzero words of a stretch."""
    return STRETCH - words.count(0)


def odd(words: list[int]) -> int:
    """Return the number of odd words of a stretch."""
    return sum(word & 1 for word in words)


@mypyc_attr(allow_interpreted_subclasses=True)
class SparseWords:
    """Words by index; an index past the end raises `IndexError`.

    :param poison: the pattern that `poison` leaves
    """

    def __init__(self, poison: int = 0) -> None:
        # Stretches that are completely zero, or poisoned, share one list: a store copies it.
        self.stretches: list[list[int]] = []
        self.poisoned = [poison] * STRETCH

    def __len__(self) -> int:
        return len(self.stretches) << SHIFT

    def __getitem__(self, index: int) -> int:
        return word_of(self.stretches, index)

    def __setitem__(self, index: int, word: int) -> None:
        self.put(index, word)

    def put(self, index: int, word: int) -> None:
        """Store a word directly, bypassing the assignment of a derived class."""
        words = self.stretches[index >> SHIFT]
        if words is _ZEROES or words is self.poisoned:
            words = self.stretches[index >> SHIFT] = words[:]
        words[index & STRETCH - 1] = word

    def grow(self, count: int) -> None:
        """Append *count* zeroes, a multiple of `STRETCH`."""
        self.stretches.extend([_ZEROES] * (count >> SHIFT))

    def poison(self, start: int, count: int) -> None:
        """Fill *count* words with the pattern; both are multiples of `STRETCH`."""
        for stretch in range(start >> SHIFT, start + count >> SHIFT):
            self.stretches[stretch] = self.poisoned

    def clear(self) -> None:
        """Release all memory."""
        self.stretches.clear()

    def part(self, start: int, count: int) -> list[int]:
        """Return *count* consecutive words."""
        return [self[index] for index in range(start, start + count)]

    def used(self, start: int, count: int) -> list[int]:
        """Return the nonzero words among *count*, numbered from 0; *start* and *count* are multiples of `STRETCH`."""
        found: list[int] = []
        for base in range(0, count, STRETCH):
            words = self.stretches[start + base >> SHIFT]
            if words is not _ZEROES:
                at = used_from(words, 0)
                while at < STRETCH:
                    found.append(base + at)
                    at = used_from(words, at + 1)
        return found

    def counts(self, start: int, count: int) -> tuple[int, int]:
        """Return how many of *count* words are nonzero and how many are odd; *start* and *count* as in `used`."""
        filled = valid = 0
        for stretch in range(start >> SHIFT, start + count >> SHIFT):
            words = self.stretches[stretch]
            if words is not _ZEROES:
                filled += not_zero(words)
                valid += odd(words)
        return filled, valid

    def first_used(self, start: int, end: int) -> int:
        """Return the index of the first nonzero word of [start, end); *end* if there is none."""
        index = start
        while index < end:
            words = self.stretches[index >> SHIFT]
            base = index & -STRETCH
            if words is not _ZEROES:
                at = used_from(words, index - base)
                if at < STRETCH:
                    return min(base + at, end)
            index = base + STRETCH
        return end
