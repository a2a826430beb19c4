# SPDX-License-Identifier: GPL-2.0-only
"""A table of the hashes of raw features, of a fixed size, without an object for any of them.

Small long-lived objects that are allocated during a large program pin the memory around them: the
process grows with each large program.
"""

from array import array
from typing import Final

from .raw import RawFeature

# Places, a power of 2: several times as many as there are raw features.
PLACES: Final = 1 << 15
# Of them, so many are taken at most.
TAKEN: Final = PLACES // 2
# No hash of Python's.
_FREE: Final = -1


class HashTable:
    """Numbers by raw features.

    Python's hash of 64 bits stands for a raw feature: that two have the same one is not to be expected. No number
    in them is below -1, for -1 and -2 have the same one.
    """

    def __init__(self) -> None:
        self.digests = array("q", [_FREE]) * PLACES
        self.values = array("I", [0]) * PLACES
        self.taken = 0

    def place(self, digest: int) -> int:
        """Return the place of a digest, or the free one that it is to have."""
        place = digest & (PLACES - 1)
        while True:
            found = self.digests[place]
            if found in (digest, _FREE):
                return place
            place = (place + 1) & (PLACES - 1)

    def get(self, raw: RawFeature) -> int:
        """Return the number of a raw feature; -1: it is not there."""
        digest = hash(raw)
        place = digest & (PLACES - 1)
        # Nearly always it is where it is looked for first.
        if self.digests[place] != digest:
            place = self.place(digest)
            if self.digests[place] != digest:
                return -1
        return self.values[place]

    def put(self, raw: RawFeature, value: int) -> None:
        """Set the number of a raw feature, of 32 bits; all others go if there are too many."""
        if self.taken == TAKEN:
            self.clear()
        digest = hash(raw)
        place = self.place(digest)
        self.taken += self.digests[place] != digest
        self.digests[place] = digest
        self.values[place] = value

    def clear(self) -> None:
        """Forget all of them."""
        self.digests = array("q", [_FREE]) * PLACES
        self.taken = 0
