# SPDX-License-Identifier: GPL-2.0-only
"""Features of a program: what guides a search for programs that do something new.

A feature is a 32-bit hash of a fact (`fuzz.features.collector`) together with which of
the two sides showed it, or of what the two showed at the same operation: results,
counts that differ, violations. The same program has the same features in every
process and form.
"""

from typing import Final
from zlib import crc32

from ..checkers import Violation
from ..execution.executor import Executor
from ..language.operations import Operation
from ..sides.outcome import Outcome
from .collector import COUNTERS, FactCollector
from .facts import Fact, bucket, text_of

# What makes other features of the facts that only one side showed.
_ONLY: Final = ((crc32(b"original only"), "original only"), (crc32(b"candidate only"), "candidate only"))
# By how many bits a difference of counts is told.
_DIFFERENCE: Final = 4

# What this process has seen so far, some thousands: the hash of each fact, and what it says.
_hashes: Final[dict[Fact, int]] = {}
_texts: Final[dict[int, str]] = {}


def describe(feature: int) -> str:
    """A feature for people; only its number if no run of this process has shown it."""
    if feature in _texts:
        return _texts[feature]
    for salt, side in _ONLY:
        if feature ^ salt in _texts:
            return f"{side}: {_texts[feature ^ salt]}"
    return f"{feature:#010x}"


def hashed(facts: set[Fact]) -> set[int]:
    """The hashes of facts; those that read alike are one."""
    found: set[int] = set()
    for fact in facts:
        value = _hashes.get(fact, -1)
        if value < 0:
            text = text_of(fact)
            value = crc32(text.encode())
            _hashes[fact] = value
            _texts[value] = text
        found.add(value)
    return found


class Features:
    """The features of one run.

    :param left: the original's side, before anything has run on it
    :param right: the candidate's
    """

    def __init__(self, left: Executor, right: Executor) -> None:
        # What is not of one side: what the program does, and how the two compare.
        self.pairs: set[Fact] = set()
        self.left = FactCollector(left, self.pairs)
        self.right = FactCollector(right)

    def compare(
        self,
        op: Operation | None,
        outcomes: tuple[Outcome, Outcome] | None,
        violations: tuple[list[Violation], list[Violation]],
    ) -> None:
        """Take in what the two sides showed at one operation.

        :param op: None: the creation or destruction of the VMs
        :param violations: of this operation alone
        """
        name = "" if op is None else type(op).__name__
        if outcomes is not None:
            a, b = outcomes
            self.pairs.add(("results", name, result(a), result(b), "alike" if a.same_as(b) else "differ"))
        left, right = self.left.counts(), self.right.counts()
        if left != right:
            for at, counter in enumerate(COUNTERS):
                more = right[at] - left[at]
                if more:
                    size = bucket(abs(more), _DIFFERENCE)
                    self.pairs.add(("difference", name, counter, size if more > 0 else -size))
        ours, theirs = violations
        if ours or theirs:
            first = ours[0].signature if ours else "none"
            second = theirs[0].signature if theirs else "none"
            self.pairs.add(("first violations", first, second))
            self.left.seen.update([("violation", violation.signature) for violation in ours])
            self.right.seen.update([("violation", violation.signature) for violation in theirs])

    def total(self) -> tuple[int, ...]:
        """The features of the run, which is over: sorted, each once."""
        left, right = self.left.seen, self.right.seen
        found = hashed(left & right)
        ours, theirs = hashed(left - right), hashed(right - left)
        # Facts that differ may read alike.
        found |= ours & theirs
        ours -= found
        theirs -= found
        found |= hashed(self.pairs)
        found.update([value ^ _ONLY[0][0] for value in ours])
        found.update([value ^ _ONLY[1][0] for value in theirs])
        # The sides are in cycles, and wait for the collector: what is large goes now.
        for side in (self.left, self.right):
            side.seen.clear()
            side.writers.clear()
        return tuple(sorted(found))


def result(outcome: Outcome) -> str:
    """What kind of result it is: the status, and of an error its number."""
    return f"error {outcome.value}" if outcome.status == "error" else outcome.status
