# SPDX-License-Identifier: GPL-2.0-only
"""A hash table of raw features, of a fixed size, that keeps no object for any of them.

Small long-lived objects that are allocated during a large program pin the memory around them, so
that the process grows with each large program.
"""

from array import array
from typing import Final

from .raw import RawFeature

# Number of places, a power of 2: several times the number of raw features.
PLACES: Final = 1 << 15
# Maximum number of taken places.
TAKEN: Final = PLACES // 2
# A value that Python's hash() never returns.
_FREE: Final = -1


class HashTable:
    """Numbers keyed by raw features.

    Python's 64-bit hash identifies a raw feature. Collisions are not expected. Raw features contain no number below -1,
    because -1 and -2 have the same hash.
    """

    def __init__(self) -> None:
        self.digests = array("q", [_FREE]) * PLACES
        self.values = array("I", [0]) * PLACES
        self.taken = 0

    def place(self, digest: int) -> int:
        """Return the place of a digest, or the free place for it."""
        place = digest & (PLACES - 1)
        while True:
            found = self.digests[place]
            if found in (digest, _FREE):
                return place
            place = (place + 1) & (PLACES - 1)

    def get(self, raw: RawFeature) -> int:
        """Return the number of a raw feature; -1: it is not in the table."""
        digest = hash(raw)
        place = digest & (PLACES - 1)
        # Nearly always the first place is the right one.
        if self.digests[place] != digest:
            place = self.place(digest)
            if self.digests[place] != digest:
                return -1
        return self.values[place]

    def put(self, raw: RawFeature, value: int) -> None:
        """Set the 32-bit number of a raw feature. If the table is too full, drop all others first."""
        if self.taken == TAKEN:
            self.clear()
        digest = hash(raw)
        place = self.place(digest)
        self.taken += self.digests[place] != digest
        self.digests[place] = digest
        self.values[place] = value

    def clear(self) -> None:
        """Drop all entries."""
        self.digests = array("q", [_FREE]) * PLACES
        self.taken = 0
