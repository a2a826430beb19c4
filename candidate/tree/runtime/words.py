# SPDX-License-Identifier: GPL-2.0-only
"""The words of records, signed numbers of 64 bits, taken from the shared memory.

Compiled code calls the functions of fuzz/compilation/words.h instead, and keeps the raw bytes: most words are read once
and many never, so converting all of them to numbers would be a waste.
"""

from typing import Final

Words = list[int] | bytes

WORD_BYTES: Final = 8


def words_of(data: bytes) -> Words:
    """Return the words of some memory."""
    return memoryview(data).cast("q").tolist()


def word(words: Words, at: int) -> int:
    """Return the word at an index.

    :raises IndexError: there is no such word
    """
    if isinstance(words, bytes):
        # Compiled code keeps the raw bytes.
        return int.from_bytes(words[at * WORD_BYTES : (at + 1) * WORD_BYTES], "little", signed=True)
    return words[at]


def unsigned(number: int) -> int:
    """Return a word as an unsigned number."""
    return number if number >= 0 else number + (1 << 64)


def word_count(words: Words) -> int:
    """Return the number of words."""
    return len(words) // WORD_BYTES if isinstance(words, bytes) else len(words)
