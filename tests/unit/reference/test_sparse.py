# SPDX-License-Identifier: GPL-2.0-only
"""Words that are nearly all zero behave like a list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.machine.arena import POISON, Arena
from reference.machine.granule import Granule
from reference.machine.sparse import STRETCH, SparseWords

SIZE = 4 * STRETCH


def words_of(size: int = SIZE) -> SparseWords:
    words = SparseWords()
    words.grow(size)
    return words


@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, 2)), max_size=80))
def test_sparse_words_behave_like_a_list(stores: list[tuple[int, int]]) -> None:
    words, literal = words_of(), [0] * SIZE
    for index, word in stores:
        words[index] = literal[index] = word
        for start, end in (0, SIZE), (0, index), (index, SIZE), (index + 1, min(index + STRETCH, SIZE)):
            assert words.first_used(start, end) == next((at for at in range(start, end) if literal[at]), end)
    for start in range(0, SIZE, STRETCH):
        assert words.used(start, SIZE - start) == [at for at, word in enumerate(literal[start:]) if word]
        part = literal[start : start + STRETCH]
        assert words.counts(start, STRETCH) == (STRETCH - part.count(0), sum(word % 2 for word in part))
    assert words.counts(0, SIZE) == (SIZE - literal.count(0), sum(word % 2 for word in literal))
    assert words.part(0, SIZE) == literal
    assert [words[index] for index in range(-SIZE, 0)] == literal
    assert len(words) == SIZE


def test_there_is_nothing_after_the_last_word() -> None:
    words = words_of()
    with pytest.raises(IndexError):
        words[SIZE]
    with pytest.raises(IndexError):
        words[SIZE] = 1


def test_a_store_to_a_freed_page_changes_no_other_page() -> None:
    arena = Arena(Granule(12))
    size = arena.entries
    arena.grow(3)
    arena.words[5] = 1
    arena.poison(0)
    arena.poison(2)
    arena.words[7], arena.words[8] = 1, 0
    assert arena.words.part(0, size) == [POISON] * 7 + [1, 0] + [POISON] * (size - 9)
    assert arena.words.used(0, size) == [at for at in range(size) if at != 8]
    assert arena.words.part(size, 2 * size) == [0] * size + [POISON] * size


def test_a_store_of_zero_leaves_other_zeroes_alone() -> None:
    words = words_of()
    words[3] = 0
    words[3] = 1
    assert words.used(0, SIZE) == [3]
    assert words_of().used(0, SIZE) == []
