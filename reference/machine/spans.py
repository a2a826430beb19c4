# SPDX-License-Identifier: GPL-2.0-only
"""An array with long runs of equal elements, stored as runs: the cost depends on the runs, not the length."""

# Compiled code calls the function of fuzz/compilation/sparse.h in place of this one.


def last_up_to(starts: list[int], index: int) -> int:
    """Return the position of the last of some ascending numbers that is at most *index*; 0: all are above it."""
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

    *starts*: index of the first element of each run, ascending; *values*: the element of each run.
    """

    def __init__(self) -> None:
        self.size = 0
        self.starts: list[int] = []
        self.values: list[int] = []

    def __getitem__(self, index: int) -> int:
        """Return an element.

        :raises IndexError: *index* is outside of the array
        """
        if not 0 <= index < self.size:
            raise IndexError(index)
        return self.values[self.run_of(index)]

    def run_of(self, index: int) -> int:
        """Return the number of the run that contains *index*, which must be in the array."""
        return last_up_to(self.starts, index)

    def grow(self, size: int, value: int) -> None:
        """Extend the array to *size*; new elements hold *value*."""
        if size > self.size:
            start = self.size
            self.size = size
            if not self.values or self.values[-1] != value:
                self.starts.append(start)
                self.values.append(value)

    def cut(self, index: int) -> int:
        """Make a run begin at *index*; return its number."""
        if index >= self.size:
            return len(self.starts)
        return self.cut_in(self.run_of(index), index)

    def cut_in(self, number: int, index: int) -> int:
        """Do as `cut`; *number*: the run that contains *index*."""
        if self.starts[number] == index:
            return number
        self.starts.insert(number + 1, index)
        self.values.insert(number + 1, self.values[number])
        return number + 1

    def fill(self, start: int, end: int, value: int) -> None:
        """Set elements *start* to *end* (not included) to *value*."""
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
        # Usually the end lies in the same run.
        near = end < self.size and (first + 1 == len(starts) or end < starts[first + 1])
        next_run = self.cut_in(first, end) if near else self.cut(end)
        if next_run < len(values) and values[next_run] == value:
            next_run += 1
        if first > 0 and values[first - 1] == value:
            first -= 1
            start = starts[first]
        starts[first] = start
        values[first] = value
        while next_run - first > 1:
            next_run -= 1
            starts.pop(next_run)
            values.pop(next_run)

    def runs(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """Return (start, end, value) of the runs that intersect [start, end), clipped to it."""
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
        """Return the first index of [start, end) that holds *value*; -1: none."""
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
        """Return all indices of [start, end) that hold *value*."""
        found: list[int] = []
        for first, stop, held in self.runs(start, end):
            if held == value:
                found.extend(range(first, stop))
        return found

    def take(self, other: "Spans", start: int, end: int) -> None:
        """Copy elements *start* to *end* (not included), which both arrays have, from another array."""
        number = other.run_of(start)
        while start < end:
            value = other.values[number]
            number += 1
            stop = min(end, other.starts[number]) if number < len(other.starts) else end
            self.fill(start, stop, value)
            start = stop

    def paste(self, start: int, runs: list[tuple[int, int, int]], first: int) -> None:
        """Write runs, taken from *first* on in this or another array, from *start* on."""
        for begin, stop, value in runs:
            self.fill(begin - first + start, stop - first + start, value)

    def alike(self, first: int, other: int, length: int) -> bool:
        """Return whether *length* elements from *first* on equal those from *other* on."""
        a = [(start - first, end - first, value) for start, end, value in self.runs(first, first + length)]
        b = [(start - other, end - other, value) for start, end, value in self.runs(other, other + length)]
        return a == b

    def copy(self) -> "Spans":
        """Return a copy of the array."""
        spans = Spans()
        spans.size = self.size
        spans.starts = self.starts[:]
        spans.values = self.values[:]
        return spans
