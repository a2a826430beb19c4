# SPDX-License-Identifier: GPL-2.0-only
"""The state of the host in the memory that is shared with a tree's process: areas, device frames, copies of frames."""

from collections.abc import Sequence
from struct import Struct

from reference.machine.address_space import CACHED, UNCACHED, AddressSpace, PageRun, Vma

from . import records as r
from .errors import TreeRefusedError


class SentHost:
    """The state of the host that a process was sent last.

    *areas*, *devices*: the rows that it was sent
    """

    def __init__(self) -> None:
        self.vmas: list[Vma] = []
        self.runs: list[PageRun] = []
        self.lengths = (-1, -1)
        self.areas: list[tuple[int, int, int, int]] = []
        self.devices: list[tuple[int, int]] = []
        # Number of copies of frames with tags that the process was sent; -1: it was sent nothing about copies.
        self.copied = -1

    def news(self, mm: AddressSpace) -> list[tuple[int, bytes]]:
        """Return what has changed since the last call, to be sent: data, each after its offset in the shared memory.

        :raises TreeRefusedError: the host has more rows than the memory
        """
        news: list[tuple[int, bytes]] = []
        if mm.copies is not None and len(mm.copies) != self.copied:
            news += self.new_copies(mm.copies)
        # The host only appends to these lists; any other change replaces the list object.
        lengths = (len(mm.vmas), len(mm.runs))
        if mm.vmas is self.vmas and mm.runs is self.runs and lengths == self.lengths:
            return news
        self.vmas, self.runs, self.lengths = mm.vmas, mm.runs, lengths
        areas = [(v.start, v.end, v.pgoff, flags_of(v)) for v in mm.vmas]
        if areas != self.areas:
            self.areas = areas
            news.append((r.VMA_AT, rows(r.VMA_WORDS, areas, r.MAX_VMAS, "areas of the host")))
        if mm.devices != self.devices:
            self.devices = mm.devices.copy()
            news.append((r.DEVICE_AT, rows(r.DEVICE_WORDS, self.devices, r.MAX_DEVICES, "ranges of device frames")))
        return news

    def new_copies(self, copies: list[tuple[int, int, int]]) -> list[tuple[int, bytes]]:
        """Return the frames that the host has copied with their tags since the last call, as `news` does."""
        news = [
            (r.COPIES_AT + number % r.MAX_COPIES * r.COPY_WORDS.size, r.COPY_WORDS.pack(*copies[number]))
            for number in range(max(self.copied, 0), len(copies))
        ]
        self.copied = len(copies)
        return [*news, (r.COPIED_AT, r.COPIED.pack(self.copied))]


def flags_of(area: Vma) -> int:
    """Return the properties of an area as ``filled()`` of native/glue_host.c reads them."""
    memory = (r.AREA_UNCACHED if area.memory == UNCACHED else 0) | (r.AREA_CACHED if area.memory == CACHED else 0)
    host = (r.AREA_DEVICE if area.pfnmap else 0) | (r.AREA_READ_ONLY if area.readonly else 0)
    return host | memory | area.huge_shift << r.AREA_HUGE


def rows(row: Struct, values: Sequence[tuple[int, ...]], most: int, what: str) -> bytes:
    """Pack rows about the host into a table for the shared memory.

    :param row: the layout of one row
    :param most: the maximum number of rows
    :param what: names the rows in the message
    :raises TreeRefusedError: there are more rows than *most*
    """
    if len(values) > most:
        raise TreeRefusedError(f"more than {most} {what}")
    return b"".join([row.pack(*each) for each in values])
