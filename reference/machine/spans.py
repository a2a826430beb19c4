# SPDX-License-Identifier: GPL-2.0-only
"""An array in which long runs are alike, held as its runs: the cost follows the runs, not the length."""

# Compiled code calls the function of fuzz/compilation/sparse.h in place of this one.


def last_up_to(starts: list[int], index: int) -> int:
    """Return the place of the last of some ascending numbers that is at most *index*; 0: all are above it."""
    low = 0
    high = len(starts)
    while high - low > 1:
        middle = (low + high) >> 1
        if starts[middle] <= index:
            low = middle
        else:
            high = middle
    return low


class Spans:
    """Integers by index, from 0.

    *starts*: index of the first element of each run, ascending; *values*: what the run holds.
    """

    def __init__(self) -> None:
        self.size = 0
        self.starts: list[int] = []
        self.values: list[int] = []

    def __getitem__(self, index: int) -> int:
        """:raises IndexError: outside of the array"""
        if not 0 <= index < self.size:
            raise IndexError(index)
        return self.values[self.run_of(index)]

    def run_of(self, index: int) -> int:
        """Number of the run that *index*, which the array has, lies in."""
        return last_up_to(self.starts, index)

    def grow(self, size: int, value: int) -> None:
        """Make the array *size* long; new elements hold *value*."""
        if size > self.size:
            start = self.size
            self.size = size
            if not self.values or self.values[-1] != value:
                self.starts.append(start)
                self.values.append(value)

    def cut(self, index: int) -> int:
        """Make a run begin at *index*; its number."""
        if index >= self.size:
            return len(self.starts)
        return self.cut_in(self.run_of(index), index)

    def cut_in(self, number: int, index: int) -> int:
        """Do as `cut`; *number*: of the run that *index* lies in."""
        if self.starts[number] == index:
            return number
        self.starts.insert(number + 1, index)
        self.values.insert(number + 1, self.values[number])
        return number + 1

    def fill(self, start: int, end: int, value: int) -> None:
        """Elements *start* to *end* (not included) become *value*."""
        if start >= end:
            return
        starts = self.starts
        values = self.values
        number = self.run_of(start)
        if values[number] == value:
            # Often there is nothing to do.
            if (starts[number + 1] if number + 1 < len(starts) else self.size) >= end:
                return
            start = starts[number]
        first = self.cut_in(number, start)
        # Mostly the end lies in the same run.
        near = end < self.size and (first + 1 == len(starts) or end < starts[first + 1])
        behind = self.cut_in(first, end) if near else self.cut(end)
        if behind < len(values) and values[behind] == value:
            behind += 1
        if first > 0 and values[first - 1] == value:
            first -= 1
            start = starts[first]
        starts[first] = start
        values[first] = value
        while behind - first > 1:
            behind -= 1
            starts.pop(behind)
            values.pop(behind)

    def runs(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """(start, end, value) of the runs that meet [start, end), clipped to it."""
        found: list[tuple[int, int, int]] = []
        end = min(end, self.size)
        start = max(start, 0)
        if start >= end:
            return found
        starts = self.starts
        number = self.run_of(start)
        while start < end:
            value = self.values[number]
            number += 1
            stop = min(end, starts[number]) if number < len(starts) else end
            found.append((start, stop, value))
            start = stop
        return found

    def find(self, value: int, start: int, end: int) -> int:
        """The first index of [start, end) that holds *value*; -1: none."""
        end = min(end, self.size)
        start = max(start, 0)
        if start >= end:
            return -1
        number = self.run_of(start)
        while self.values[number] != value:
            number += 1
            if number == len(self.starts) or self.starts[number] >= end:
                return -1
        return max(start, self.starts[number])

    def indices(self, value: int, start: int, end: int) -> list[int]:
        """All indices of [start, end) that hold *value*."""
        found: list[int] = []
        for first, stop, held in self.runs(start, end):
            if held == value:
                found.extend(range(first, stop))
        return found

    def take(self, other: "Spans", start: int, end: int) -> None:
        """Elements *start* to *end* (not included), which both arrays have, become those of another array."""
        number = other.run_of(start)
        while start < end:
            value = other.values[number]
            number += 1
            stop = min(end, other.starts[number]) if number < len(other.starts) else end
            self.fill(start, stop, value)
            start = stop

    def paste(self, start: int, runs: list[tuple[int, int, int]], first: int) -> None:
        """Runs taken from *first* on, here or elsewhere, are written from *start* on."""
        for begin, stop, value in runs:
            self.fill(begin - first + start, stop - first + start, value)

    def alike(self, first: int, other: int, length: int) -> bool:
        """Tell whether *length* elements from *first* on equal those from *other* on."""
        a = [(start - first, end - first, value) for start, end, value in self.runs(first, first + length)]
        b = [(start - other, end - other, value) for start, end, value in self.runs(other, other + length)]
        return a == b

    def copy(self) -> "Spans":
        """The array as it is now."""
        spans = Spans()
        spans.size = self.size
        spans.starts = self.starts[:]
        spans.values = self.values[:]
        return spans
