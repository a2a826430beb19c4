# SPDX-License-Identifier: GPL-2.0-only
"""The places at which a tree's code did something last, looked up in its records on demand."""

from typing import Final

from reference.last_code_places import LastCodePlaces

from . import records as r
from .code_places import CodePlace
from .error_places import ErrorPlaces
from .words import Words, word, word_count

# Maximum number of words of records that are kept: 8 MiB.
_KEPT: Final = 1 << 20


class History(LastCodePlaces):
    """The replayed records of a program, and the places at which they were made.

    *at*: number of replayed words of the buffer that was added last, including the current record

    :param entries: number of entries of a table page
    :param placed: the places of chains, by number
    """

    def __init__(self, entries: int, placed: list[CodePlace | None]) -> None:
        self.entries = entries
        self.placed = placed
        # Finds the places that make errors; None: they are not known.
        self.errors: ErrorPlaces | None = None
        self.at = 0
        # Record buffers not yet examined; `seen` words of the first one already are. `earlier`: how many of the buffers
        # belong to operations before the current one; -1: the current operation began before all of them.
        self.added: list[Words] = []
        self.seen = 0
        self.earlier = -1
        self.size = 0
        # Numbers of chains: by entry; by table page (`writes`, `counts`, `allocations`); by lock; of the operation.
        self.stores: dict[int, int] = {}
        self.writes: dict[int, int] = {}
        self.counts: dict[int, int] = {}
        self.allocations: dict[int, int] = {}
        self.locks: dict[int, int] = {}
        self.last_walk = 0
        self.last_store = 0

    def add(self, words: Words) -> None:
        """Add records that are about to be replayed; all earlier ones have been replayed."""
        if self.size > _KEPT:
            self.look()
        self.added.append(words)
        self.size += word_count(words)
        self.at = 0

    def look(self) -> None:
        """Examine the replayed records, and drop them."""
        last = len(self.added) - 1
        for number, words in enumerate(self.added):
            if number == self.earlier:
                self.last_walk = self.last_store = 0
            self.look_at(words, 0 if number else self.seen, word_count(words) if number < last else self.at)
        if self.earlier > last:
            self.last_walk = self.last_store = 0
        self.earlier = -1
        if last >= 0:
            self.seen = self.at
            self.added = self.added[last:]
            self.size = word_count(self.added[0])

    def look_at(self, words: Words, at: int, end: int) -> None:
        """Examine the records of a buffer from word *at* to *end*."""
        while at < end:
            head = word(words, at)
            kind, chain = head & 0xFFFF, head >> 32
            if kind == r.TABLE:
                self.last_walk = chain
            elif kind in (r.STORE, r.RELEASE, r.CMPXCHG, r.PLAIN):
                ptep = word(words, at + 1)
                self.stores[ptep] = self.writes[ptep // self.entries] = self.last_store = chain
            elif kind in (r.GET, r.PUT):
                self.counts[word(words, at + 1)] = chain
            elif kind in (r.ALLOC, r.ALLOC_EXACT):
                self.allocations[word(words, at + 1)] = chain
            elif kind == r.LOCK:
                self.locks[word(words, at + 1)] = chain
            at += r.RECORD_WORDS

    def where(self, chain: int) -> str:
        place = self.placed[chain] if 0 < chain < len(self.placed) else None
        return "" if place is None else place.where

    def has_stores(self) -> bool:
        self.look()
        return bool(self.stores)

    def stored(self, ptep: int) -> str:
        self.look()
        return self.where(self.stores.get(ptep, 0))

    def written(self, page: int) -> str:
        self.look()
        return self.where(self.writes.get(page, 0))

    def counted(self, page: int) -> str:
        self.look()
        return self.where(self.counts.get(page, 0))

    def allocated(self, page: int) -> str:
        self.look()
        return self.where(self.allocations.get(page, 0))

    def taken(self, lock: str) -> str:
        self.look()
        return self.where(self.locks.get(r.LOCKS.index(lock), 0))

    def walking(self) -> str:
        self.look()
        return self.where(self.last_walk)

    def storing(self) -> str:
        self.look()
        return self.where(self.last_store)

    def failing(self, ret: int) -> list[str]:
        return [] if self.errors is None else self.errors.places(ret)

    def forget_steps(self) -> None:
        if self.errors is not None:
            self.errors.begin()
        self.earlier = len(self.added)
