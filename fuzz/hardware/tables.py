# SPDX-License-Identifier: GPL-2.0-only
"""Translation tables that QEMU and our walk both read, and the questions about them."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from reference.machine.arena import Arena
from reference.machine.sparse import SparseWords
from reference.machine.walk import FETCH, FETCH_EL0, READ, WRITE, Regime, Walk, walk

from . import layout
from .setting import GRANULES, Setting


class Ask(IntEnum):
    """The kinds of questions, by their numbers in payload.s."""

    READ = 0
    WRITE = 1
    FETCH = 2
    FETCH_EL0 = 3


# Accesses indexed by kind of question.
ACCESSES: Final = (READ, WRITE, FETCH, FETCH_EL0)
ASK_NAMES: Final = ("read", "write", "fetch", "fetch-el0")

ADDRESS_MASK: Final = (1 << layout.ASK_SHIFT) - 1
# Stage 1 refuses addresses above it before stage 2 sees them; the vector of payload.s lies below it.
ADDRESS_BITS: Final = 51


def question(ask: int, ipa: int) -> int:
    """Return one question in the format of payload.s."""
    return ask << layout.ASK_SHIFT | ipa


def split(asked: int) -> tuple[int, int]:
    """Return the kind of a question, and its guest address."""
    return asked >> layout.ASK_SHIFT, asked & ADDRESS_MASK


@dataclass(slots=True)
class Tables:
    """The tables of one guest.

    :param setting: setting of the translation
    :param root: index of the first root entry in the table memory
    :param vtcr: VTCR_EL2
    :param entries: index -> word, signed, for words that are not zero
    :param questions: questions in order
    :param source: arena and regime of our walk, if it does not read the table memory
    """

    setting: Setting
    root: int
    vtcr: int
    entries: dict[int, int] = field(default_factory=dict)
    questions: list[int] = field(default_factory=list)
    source: tuple[Arena, Regime] | None = None

    @property
    def regime(self) -> Regime:
        """Return the regime of our walk."""
        setting = self.setting
        return Regime(setting.granule, setting.ia_bits, setting.start_level, self.root, setting.pa_bits)

    def job(self) -> tuple[int, int, int, int]:
        """Return the job for QEMU."""
        return self.vtcr, layout.TABLES + (self.root << 3), self.setting.hcr(), len(self.questions)


class NoRoomError(Exception):
    """There is no room for more tables."""


class TableMemory:
    """The table memory: an arena for our walk, and the same words in QEMU.

    :param shared: signed 64-bit words, index 0 at `layout.TABLES`: memory of a running QEMU, or to be passed to one
    """

    def __init__(self, shared: "memoryview[int] | array[int]") -> None:
        self.words = SparseWords()
        self.words.grow(layout.TABLES_SIZE >> 3)
        self.arenas: dict[int, Arena] = {}
        for shift, granule in GRANULES.items():
            arena = Arena(granule, layout.TABLES)
            arena.words = self.words
            arena.pages = layout.TABLES_SIZE >> shift
            self.arenas[shift] = arena
        self.shared = shared
        self.next = 0

    def take(self, pages: int, page_shift: int) -> int:
        """Return the first word of consecutive zeroed pages, a power of two of them, aligned to their total size.

        :raises NoRoomError: there are not enough pages left
        """
        size = pages << page_shift >> 3
        first = (self.next + size - 1) & -size
        if first + size > len(self.words):
            raise NoRoomError
        self.next = first + size
        return first

    def load(self, entries: dict[int, int]) -> None:
        """Store words by their index."""
        words, shared = self.words, self.shared
        for index, word in entries.items():
            words[index] = shared[index] = word

    def clear(self, used: Iterable[Tables]) -> None:
        """Zero the words of these tables; all pages can be used again."""
        words, shared = self.words, self.shared
        for tables in used:
            for index in tables.entries:
                words[index] = shared[index] = 0
        self.next = 0

    def walks(self, tables: Tables) -> list[Walk]:
        """Return our walk for each question."""
        arena, regime = tables.source or (self.arenas[tables.setting.page_shift], tables.regime)
        return [
            walk(arena, regime, asked & ADDRESS_MASK, ACCESSES[asked >> layout.ASK_SHIFT]) for asked in tables.questions
        ]


def word_index(address: int) -> int:
    """Return the index in the table memory of a physical address in it."""
    return (address - layout.TABLES) >> 3


def address_of(index: int) -> int:
    """Return the physical address of a word of the table memory."""
    return layout.TABLES + (index << 3)
