# SPDX-License-Identifier: GPL-2.0-only
"""Table memory that reports stores that go past the kernel layer. Never compiled: it is a list of Python's."""

from collections.abc import Callable
from typing import Any


class Words(list[int]):
    """64-bit words; ``words[index] = value`` is left to *store*, which uses the list's own method.

    :param store: called with an index, which may be one that there is not, and a value
    """

    __slots__ = ("store",)

    def __init__(self, store: Callable[[int, int], None]) -> None:
        super().__init__()
        self.store = store

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            for index, word in zip(range(*key.indices(len(self))), value, strict=True):
                self.store(index, word)
        else:
            self.store(key, value)
