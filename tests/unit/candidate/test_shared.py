# SPDX-License-Identifier: GPL-2.0-only
"""Words of shared memory, and bytes of pipes."""

import mmap
import os

import pytest

from candidate.tree.runtime.exchange import low
from candidate.tree.runtime.shared import look, put, read_byte, words_in, write_bytes

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
