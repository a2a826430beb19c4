# SPDX-License-Identifier: GPL-2.0-only
"""Words of records, and the last actions of a tree's code that they describe."""

import struct

import pytest

from candidate.tree.runtime import records as r
from candidate.tree.runtime.code_places import CodePlace, Frame
from candidate.tree.runtime.history import History
from candidate.tree.runtime.words import Words, word, word_count, words_of
from reference.last_code_places import LastCodePlaces

ENTRIES = 512
VALUES = (0, 1, -1, 1 << 40, (1 << 62) - 1, 1 << 62, -(1 << 62) - 1, (1 << 63) - 1, -(1 << 63))


def test_words_are_signed_numbers_of_64_bits() -> None:
    raw = struct.pack(f"<{len(VALUES)}q", *VALUES)
    words = words_of(raw)
    assert word_count(words) == word_count(raw) == len(VALUES)
    assert [word(words, at) for at in range(len(VALUES))] == list(VALUES)
    assert [word(raw, at) for at in range(len(VALUES))] == list(VALUES)
    with pytest.raises(IndexError):
        word(words, len(VALUES))
    assert word_count(words_of(b"")) == 0


def history() -> History:
    """Make a history of chains 1 to 9, each of its own function."""
    placed: list[CodePlace | None] = [CodePlace([Frame(f"f{number}", "pgtable.c", number)]) for number in range(10)]
    return History(ENTRIES, placed)


def made(*records: tuple[int, int, int]) -> Words:
    """Make records of kind, chain and first argument, as raw bytes: compiled code takes no other form of words."""
    return b"".join([r.RECORD.pack(kind, 0, chain, argument, 0, 0) for kind, chain, argument in records])


def add(past: History, *records: tuple[int, int, int]) -> None:
    """Add records and mark them as done."""
    words = made(*records)
    past.add(words)
    past.at = word_count(words)


def test_the_last_place_of_each_kind_is_known() -> None:
    past = history()
    add(past, (r.STORE, 1, 5), (r.RELEASE, 2, ENTRIES + 1), (r.GET, 3, 0), (r.LOCK, 4, r.LOCKS.index("mmu")))
    assert past.has_stores()
    assert past.stored(5).startswith("f1 (pgtable.c:1)")
    assert past.stored(6) == past.written(2) == past.counted(1) == past.taken("mmap") == past.walking() == ""
    assert past.written(1).startswith("f2 ")
    assert past.counted(0).startswith("f3 ")
    assert past.taken("mmu").startswith("f4 ")
    add(past, (r.CMPXCHG, 5, 5), (r.PLAIN, 6, 6), (r.PUT, 7, 0), (r.TABLE, 8, 0), (r.CMPXCHG_FAIL, 9, 5))
    assert past.stored(5).startswith("f5 ")
    assert past.written(0).startswith("f6 ")
    assert past.counted(0).startswith("f7 ")
    assert past.walking().startswith("f8 ")


def test_the_place_of_an_allocation_outlives_the_counts() -> None:
    past = history()
    add(past, (r.ALLOC_EXACT, 1, 0), (r.ALLOC, 2, 2), (r.ALLOC, 3, -1), (r.GET, 4, 2), (r.PUT, 5, 2))
    assert past.allocated(0).startswith("f1 ")
    assert past.allocated(2).startswith("f2 ")
    assert past.allocated(1) == ""


def test_records_not_yet_done_are_unknown() -> None:
    past = history()
    past.add(made((r.STORE, 1, 5), (r.STORE, 2, 5), (r.STORE, 3, 5)))
    assert not past.has_stores()
    past.at = r.RECORD_WORDS
    assert past.stored(5).startswith("f1 ")
    past.at += r.RECORD_WORDS
    assert past.stored(5).startswith("f2 ")
    past.at += r.RECORD_WORDS
    add(past, (r.STORE, 4, 6))
    assert past.stored(5).startswith("f3 ")


@pytest.mark.parametrize("asked", [False, True])
def test_steps_are_those_of_the_current_operation(asked: bool) -> None:
    """Check that queries in between change nothing."""
    past = history()
    add(past, (r.STORE, 1, 5), (r.TABLE, 2, 5))
    if asked:
        assert past.storing().startswith("f1 ")
        assert past.walking().startswith("f2 ")
    past.forget_steps()
    if asked:
        assert past.storing() == ""
    add(past, (r.TABLE, 3, 5))
    assert past.storing() == ""
    assert past.walking().startswith("f3 ")
    assert past.stored(5).startswith("f1 ")
    add(past, (r.STORE, 4, 7))
    assert past.storing().startswith("f4 ")
    past.forget_steps()
    past.forget_steps()
    assert past.storing() == past.walking() == ""


def test_the_history_is_bounded() -> None:
    past = history()
    for number in range(40):
        add(past, *[(r.STORE, number % 9 + 1, number)] * (1 << 13))
    assert past.size <= (1 << 20) + (1 << 15)
    assert past.stored(0).startswith("f1 ")
    assert past.stored(39).startswith("f4 ")


def test_a_port_has_no_places() -> None:
    past = LastCodePlaces()
    past.forget_steps()
    assert not past.has_stores()
    assert past.stored(0) == past.written(0) == past.counted(0) == past.allocated(0) == past.taken("mmu") == ""
    assert past.walking() == past.storing() == ""
