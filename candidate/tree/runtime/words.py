# SPDX-License-Identifier: GPL-2.0-only
"""The words of records, signed numbers of 64 bits, as they are taken from the shared memory.

Compiled code calls the functions of fuzz/compilation/words.h in place of these, and leaves the words as they are: most
are looked at once, and many never, so that it would be a waste to make numbers of all of them.
"""

from typing import Final

Words = list[int] | bytes

WORD_BYTES: Final = 8


def words_of(data: bytes) -> Words:
    """Return the words of some memory."""
    return memoryview(data).cast("q").tolist()


def word(words: Words, at: int) -> int:
    """Return a word by its number.

    :raises IndexError: there is none
    """
    if isinstance(words, bytes):
        # Of compiled code.
        return int.from_bytes(words[at * WORD_BYTES : (at + 1) * WORD_BYTES], "little", signed=True)
    return words[at]


def word_count(words: Words) -> int:
    """Return the number of words."""
    return len(words) // WORD_BYTES if isinstance(words, bytes) else len(words)
