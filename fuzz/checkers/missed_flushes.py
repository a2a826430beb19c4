# SPDX-License-Identifier: GPL-2.0-only
"""The flushes of one operation that left entries owed, and why each of them did not settle an entry."""

from typing import Final

from reference.machine.instructions import ALLE1, VMALLS12E1
from reference.machine.processor import MISFIT, Invalidation, last_level

from .guest_pages import Range, merged
from .places import at_place

# Bounds on the flushes kept of one operation, and on the ranges that a text names. The latest are kept.
KEPT: Final = 64
NAMED: Final = 3


class MissedFlush:
    """A flush that took effect on all CPUs, and left something owed.

    :param done: its TLBI; copied, because a TLBI that covers the next piece of a range may still grow

    *everything*: it names no address.
    """

    def __init__(self, done: Invalidation) -> None:
        self.ipa, self.size, self.hint = done.ipa, done.size, done.hint
        self.published = done.published
        self.everything = done.op in (VMALLS12E1, ALLE1)
        self.last_level = last_level(done.op)
        self.at = at_place(done.place)

    def meets(self, base: int, size: int) -> bool:
        """Return whether the flush names an address of a range."""
        return self.everything or (base < self.ipa + self.size and self.ipa < base + size)

    def failed(self, level: int, is_table: bool, published: int) -> str:
        """Return why a flush that names an address of an entry did not settle it; "" if nothing is known."""
        if self.published == published:
            return "no DSB came between the store and the TLBI, so a walk in between may have restored it"
        if self.hint == MISFIT:
            return "the hint names no level of these tables, so it may stay"
        if self.hint and (self.hint <= level if is_table else self.hint != level):
            return f"with the hint of level {self.hint}, so an entry of level {level} may stay"
        if is_table and self.last_level:
            return "by a TLBI for leaves alone (IPAS2LE1), so walk caches may keep it"
        return ""


class MissedFlushes:
    """The latest flushes of one VM in this operation that left something owed."""

    def __init__(self) -> None:
        self.flushes: list[MissedFlush] = []

    def note(self, done: Invalidation) -> None:
        """Note a flush after which something is still owed."""
        self.flushes.append(MissedFlush(done))
        if len(self.flushes) > KEPT:
            del self.flushes[0]

    def clear(self) -> None:
        """Forget the flushes: the operation has ended."""
        self.flushes.clear()

    def why(self, base: int, size: int, level: int, is_table: bool, published: int) -> str:
        """Return the part of a sentence that says why an entry is still owed; "": nothing was flushed after it.

        :param base: the first address that the entry translates; *size* likewise
        :param published: the number of barriers for table walks before the entry was stored
        """
        missed: list[MissedFlush] = []
        for flush in reversed(self.flushes):
            # A flush that ended before the store has a smaller number, because its own DSB counts.
            if flush.published < published:
                continue
            if flush.meets(base, size):
                failed = flush.failed(level, is_table, published)
                if failed:
                    return f": it was flushed{flush.at}, but {failed}"
            else:
                missed.append(flush)
        return f": later flushes covered only {named(missed)}" if missed else ""


def named(flushes: list[MissedFlush]) -> str:
    """Return the ranges of flushes as text, adjacent ones joined, with the places that flushed them."""
    ranges: dict[str, list[Range]] = {}
    for flush in reversed(flushes):
        ranges.setdefault(flush.at, []).append((flush.ipa, flush.ipa + flush.size))
    texts = [f"{start:#x}-{end:#x}{at}" for at, each in ranges.items() for start, end in merged(each)]
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more
