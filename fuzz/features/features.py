# SPDX-License-Identifier: GPL-2.0-only
"""Features of a program: they guide a search for programs that do something new.

A feature is a 32-bit hash. It is made from a raw feature (`fuzz.features.collector`) and the
side that showed it, or from a comparison of the two sides at one operation: results,
counts that differ, violations. The same program has the same features in every
process and form.
"""

from typing import Final
from zlib import crc32

from ..checkers import Violation
from ..execution.executor import Executor
from ..language.operations import Operation
from ..sides.outcome import Outcome
from .collector import COUNTERS, FeatureCollector
from .hash_table import HashTable
from .raw import RawFeature, bucket, text_of

# Salts for features that only one side showed.
_ONLY: Final = ((crc32(b"original only"), "original only"), (crc32(b"candidate only"), "candidate only"))
# The number of buckets of a difference of counts.
_DIFFERENCE: Final = 4

# The hashes of the raw features that this process has seen so far: a few thousand.
_hashes: Final = HashTable()
# The texts of hashes, once `keep_texts` was called.
_texts: Final[dict[int, str]] = {}
_asked: Final[list[bool]] = []


def keep_texts() -> None:
    """Keep the texts of the features that this process sees from now on, for `describe`."""
    _hashes.clear()
    _asked.append(True)


def describe(feature: int) -> str:
    """Describe a feature. Return only its number if no run of this process has shown it since `keep_texts`."""
    if feature in _texts:
        return _texts[feature]
    for salt, side in _ONLY:
        if feature ^ salt in _texts:
            return f"{side}: {_texts[feature ^ salt]}"
    return f"{feature:#010x}"


def hashed(raw_features: set[RawFeature]) -> set[int]:
    """Return the hashes of raw features. Raw features with the same text have the same hash."""
    found: set[int] = set()
    for raw in raw_features:
        value = _hashes.get(raw)
        if value < 0:
            text = text_of(raw)
            value = crc32(text.encode())
            _hashes.put(raw, value)
            if _asked:
                _texts[value] = text
        found.add(value)
    return found


class Features:
    """The features of one run.

    :param left: the executor of the reference's side, before anything has run on it
    :param right: the candidate's, or *left* where both sides behave identically
    """

    def __init__(self, left: Executor, right: Executor) -> None:
        # Raw features of both sides together: of the program, and of the comparison of the sides.
        self.pairs: set[RawFeature] = set()
        self.left = FeatureCollector(left, self.pairs)
        self.right = self.left if right is left else FeatureCollector(right)

    def compare(
        self,
        op: Operation | None,
        outcomes: tuple[Outcome, Outcome] | None,
        violations: tuple[list[Violation], list[Violation]],
    ) -> None:
        """Record the results of the two sides at one operation.

        :param op: None: the creation or destruction of the VMs
        :param violations: those of this operation only
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
                    self.pairs.add(("difference", name, counter, f"{size if more > 0 else -size}"))
        ours, theirs = violations
        if ours or theirs:
            first = ours[0].signature if ours else "none"
            second = theirs[0].signature if theirs else "none"
            self.pairs.add(("first violations", first, second))
            self.left.seen.update([("violation", violation.signature) for violation in ours])
            self.right.seen.update([("violation", violation.signature) for violation in theirs])

    def total(self, ways: tuple[set[int], set[int]] = (set(), set())) -> tuple[int, ...]:
        """Return the features of the finished run, sorted and deduplicated.

        :param ways: for each side, features of the code that ran (`candidate.tree.lines.code.CodeLines.features`)
        """
        left, right = self.left.seen, self.right.seen
        found = hashed(left & right) | (ways[0] & ways[1])
        ours, theirs = hashed(left - right) | (ways[0] - ways[1]), hashed(right - left) | (ways[1] - ways[0])
        # Different raw features may have the same text.
        found |= ours & theirs
        ours -= found
        theirs -= found
        found |= hashed(self.pairs)
        found.update([value ^ _ONLY[0][0] for value in ours])
        found.update([value ^ _ONLY[1][0] for value in theirs])
        # The sides are in reference cycles and wait for the garbage collector. Release their large parts now.
        for side in (self.left, self.right):
            side.seen.clear()
            side.writers.clear()
        return tuple(sorted(found))


def result(outcome: Outcome) -> str:
    """Name the kind of a result: the status, and the number of an error."""
    return f"error {outcome.value}" if outcome.status == "error" else outcome.status
