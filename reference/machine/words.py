# SPDX-License-Identifier: GPL-2.0-only
"""Table memory that reports stores that bypass the kernel layer. Never compiled: candidates store to it in Python."""

from collections.abc import Callable
from typing import Any

from .sparse import SparseWords


class Words(SparseWords):
    """Words whose ``words[index] = value`` calls *store*, which in turn uses `SparseWords.put`.

    :param poison: as in `SparseWords`
    :param store: called with an index, which may be out of range, and a value
    """

    def __init__(self, poison: int, store: Callable[[int, int], None]) -> None:
        super().__init__(poison)
        self.store = store

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            for index, word in zip(range(*key.indices(len(self))), value, strict=True):
                self.store(index, word)
        else:
            self.store(key, value)
