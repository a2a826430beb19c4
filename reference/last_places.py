# SPDX-License-Identifier: GPL-2.0-only
"""The places in a compiled tree at which something happened last: for what is judged only afterwards."""

from .compiled.annotations import mypyc_attr
from .events import Observer


@mypyc_attr(allow_interpreted_subclasses=True)
class LastPlaces(Observer):
    """Remembers where C code did what. Sees no events of a port, whose places have no text.

    *place*: of the event under way; *stored*: entry -> where it was written last; *written*: table page -> where
    one of its entries was; *counted*: table page -> where its count changed last; *taken*: lock -> where it was
    taken last; *walking* and *storing*: where tables were entered, and an entry written, last, "" until either
    happens

    :param entries: of a table page
    """

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.place = ""
        self.stored: dict[int, str] = {}
        self.written: dict[int, str] = {}
        self.counted: dict[int, str] = {}
        self.taken: dict[str, str] = {}
        self.walking = ""
        self.storing = ""

    def walk_table(self, table: int, level: int) -> None:
        self.walking = self.place

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.stored[ptep] = self.written[ptep // self.entries] = self.storing = self.place

    def get(self, page: int, count: int) -> None:
        self.counted[page] = self.place

    def put(self, page: int, count: int) -> None:
        self.counted[page] = self.place

    def lock(self, name: str, vmid: int) -> None:
        self.taken[name] = self.place

    def forget_steps(self) -> None:
        """An operation begins that is judged by what it did."""
        self.walking = self.storing = ""
