# SPDX-License-Identifier: GPL-2.0-only
"""Counters of the code of some libraries, which can be added up and sent to another process."""

import base64
import sys
import zlib
from array import array
from typing import Final

# Counters that are added up at once: so many do not take much room.
_MANY: Final = 8


class CodeCounts:
    """Counts of how often the code of some libraries ran.

    *by_library*: path of the library -> its counters, 64 bits each, in the order of the machine
    """

    def __init__(self) -> None:
        self._sums: dict[str, bytes] = {}
        # What was added since somebody looked: most programs' counters are never looked at.
        self._added: list[tuple[str, bytes]] = []

    def add(self, library: str, counters: bytes) -> None:
        """Add the counters of some programs."""
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
            # All at once, as one number: no counter comes near the end of its 64 bits, so none carries into the next.
            both = int.from_bytes(known, sys.byteorder) + int.from_bytes(counters, sys.byteorder)
            self._sums[library] = both.to_bytes(len(known), sys.byteorder)
        self._added.clear()

    def merge(self, other: "CodeCounts") -> None:
        """Add all that another one has."""
        for library, counters in other.by_library.items():
            self.add(library, counters)

    def take_away(self, other: "CodeCounts") -> None:
        """Undo `merge`; what would become less than nothing is 0."""
        for library, counters in other.by_library.items():
            known = self.by_library.get(library)
            if known is None or len(known) != len(counters):
                continue
            both = zip(memoryview(known).cast("Q"), memoryview(counters).cast("Q"), strict=True)
            self.by_library[library] = array("Q", [max(ours - theirs, 0) for ours, theirs in both]).tobytes()

    def to_wire(self) -> dict[str, str]:
        """Return them as texts, for JSON."""
        return {
            library: base64.b64encode(zlib.compress(counters, 1)).decode()
            for library, counters in self.by_library.items()
        }


def from_wire(wire: dict[str, str]) -> CodeCounts:
    """Exact inverse of `CodeCounts.to_wire`.

    :raises ValueError: these are no such texts
    """
    found = CodeCounts()
    for library, text in wire.items():
        try:
            found.by_library[library] = zlib.decompress(base64.b64decode(text))
        except zlib.error as error:
            raise ValueError(f"no counters of {library}: {error}") from None
    return found
