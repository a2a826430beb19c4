# SPDX-License-Identifier: GPL-2.0-only
"""Counters of the code of libraries, which can be added up and sent to another process."""

import base64
import sys
import zlib
from array import array
from typing import Final

# Sets of counters that are collected before they are added up, which bounds the memory that they take.
_MANY: Final = 8


class CodeCounts:
    """Counts of how often the code of libraries ran.

    *by_library*: path of the library -> its counters, 64 bits each, in native byte order
    """

    def __init__(self) -> None:
        self._sums: dict[str, bytes] = {}
        # Counters that are not in the sums yet: the counters of most programs are never read.
        self._added: list[tuple[str, bytes]] = []

    def add(self, library: str, counters: bytes) -> None:
        """Add counters of a library."""
        if counters:
            self._added.append((library, counters))
            if len(self._added) > _MANY:
                self._sum_up()

    @property
    def by_library(self) -> dict[str, bytes]:
        """Path of the library -> its counters."""
        self._sum_up()
        return self._sums

    def _sum_up(self) -> None:
        for library, counters in self._added:
            known = self._sums.get(library)
            if known is None or len(known) != len(counters):
                self._sums[library] = counters
                continue
            # Add all counters at once, as one large number: no counter overflows, so none carries into the next.
            both = int.from_bytes(known, sys.byteorder) + int.from_bytes(counters, sys.byteorder)
            self._sums[library] = both.to_bytes(len(known), sys.byteorder)
        self._added.clear()

    def merge(self, other: "CodeCounts") -> None:
        """Add all counters of another object."""
        for library, counters in other.by_library.items():
            self.add(library, counters)

    def take_away(self, other: "CodeCounts") -> None:
        """Undo `merge`; a counter that would become negative is 0."""
        for library, counters in other.by_library.items():
            known = self.by_library.get(library)
            if known is None or len(known) != len(counters):
                continue
            both = zip(memoryview(known).cast("Q"), memoryview(counters).cast("Q"), strict=True)
            self.by_library[library] = array("Q", [max(ours - theirs, 0) for ours, theirs in both]).tobytes()

    def to_wire(self) -> dict[str, str]:
        """Return the counters as texts, for JSON."""
        return {
            library: base64.b64encode(zlib.compress(counters, 1)).decode()
            for library, counters in self.by_library.items()
        }


def from_wire(wire: dict[str, str]) -> CodeCounts:
    """Return the counters from the result of `CodeCounts.to_wire`.

    :raises ValueError: the texts are damaged
    """
    found = CodeCounts()
    for library, text in wire.items():
        try:
            found.by_library[library] = zlib.decompress(base64.b64decode(text))
        except zlib.error as error:
            raise ValueError(f"no counters of {library}: {error}") from None
    return found
