# SPDX-License-Identifier: GPL-2.0-only
"""Words of shared memory, and bytes of pipes."""

import mmap
import os
import struct

import pytest

from candidate.tree.runtime.exchange import low
from candidate.tree.runtime.shared import core, look, put, read_byte, words_at, words_in, write_bytes
from candidate.tree.runtime.words import word, word_count

VALUES = [0, 1, -1, 1 << 62, -(1 << 62), (1 << 63) - 1, -(1 << 63)]


def test_words_are_signed() -> None:
    memory = mmap.mmap(-1, 4096)
    words = words_in(memory)
    for at, value in enumerate(VALUES):
        put(words, at, value)
    assert [look(words, at) for at in range(len(VALUES))] == VALUES
    # An address is unsigned.
    put(words, 0, (1 << 64) - 2)
    assert look(words, 0) == -2
    assert memory[:8] == b"\xfe" + b"\xff" * 7
    for at in (512, -513):
        with pytest.raises(IndexError):
            put(words, at, 0)
        with pytest.raises(IndexError):
            look(words, at)


def test_a_copy_of_words_stays_as_it_was() -> None:
    memory = mmap.mmap(-1, 4096)
    memory[8 : 8 + 8 * len(VALUES)] = struct.pack(f"<{len(VALUES)}q", *VALUES)
    shared = words_in(memory)
    copy = words_at(shared, 1, len(VALUES))
    put(shared, 1, 99)
    assert [word(copy, at) for at in range(word_count(copy))] == VALUES
    assert word_count(words_at(shared, 0, 512)) == 512
    assert word_count(words_at(shared, 512, 0)) == 0
    for at, count in ((0, 513), (512, 1), (-1, 1)):
        with pytest.raises(IndexError):
            words_at(shared, at, count)


def test_the_core_is_one_that_this_process_may_use() -> None:
    assert core() - 1 in os.sched_getaffinity(0)


def test_halves_are_signed() -> None:
    assert [low(word) for word in (0, 5, (1 << 32) - 1, 7 << 32, -1, 1 << 31)] == [0, 5, -1, 0, -1, -(1 << 31)]


def test_bytes_of_a_pipe() -> None:
    reading, writing = os.pipe()
    write_bytes(writing, b"PG")
    assert [read_byte(reading), read_byte(reading)] == [ord("P"), ord("G")]
    os.close(writing)
    assert read_byte(reading) == -1
    os.close(reading)
    with pytest.raises(OSError, match="Bad file descriptor"):
        read_byte(reading)
