# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of an operation, as seen by guest and user space."""

from __future__ import annotations

from collections.abc import Sequence

from reference.compiled.annotations import mypyc_attr
from reference.machine.walk import Walk


@mypyc_attr(free_list_len=1)
class Outcome:
    """The result of an operation, as seen by guest and user space.

    :param status: ``ok``, ``io``, ``abort`` (injected), ``sigbus``, ``error``, ``stuck``, ``deadlock``, ``oops``,
        ``refused`` (it needs something that is not modelled)
    :param value: the value that belongs to the status: version read, 1 for young, errno, a dirty log's words of 64
        pages
    :param faults: number of faults taken; a cost, not a result
    :param predictable: whether the architecture determines which version a load sees
    :param detail: for people: for an oops the exception's message and place, for a deadlock the actors and their locks,
        for a par block the switches that did not take place
    :param parts: for a par block, the outcomes of its operations

    *answers*: a digest of the fault handlers' return values so far, which only checkers judge;
    *fault*: for an access that does not complete, the last translation, which only checkers judge;
    *either*: the statuses that are all legal, depending on the order of the actors' steps in a par block;
    *raced*: for an access, whether a slot at its address was created, moved or deleted meanwhile; *taken*: whether its
    page had failed, or other actors remove it meanwhile
    """

    def __init__(
        self,
        status: str,
        value: object = 0,
        faults: int = 0,
        predictable: bool = True,
        detail: str = "",
        parts: Sequence[Outcome] = (),
    ) -> None:
        self.status = status
        self.value = value
        self.faults = faults
        self.predictable = predictable
        self.detail = detail
        self.parts = parts
        self.answers = 0
        self.fault: Walk | None = None
        self.either: tuple[str, ...] = ()
        self.raced = False
        self.taken = False

    def same_as(self, other: Outcome) -> bool:
        """Return whether guest and user space cannot distinguish the two outcomes."""
        if len(self.parts) != len(other.parts):
            return False
        if self.status != other.status:
            return self.status in self.either and other.status in self.either
        for number, mine in enumerate(self.parts):
            if not mine.same_as(other.parts[number]):
                return False
        return self.value == other.value or not self.predictable or not other.predictable

    def value_text(self) -> str:
        """Return the value as text: a dirty log as page ranges of its slot, a par block as one value per operation."""
        if self.parts:
            return " | ".join([f"{part} after {part.faults} fault(s)" for part in self.parts])
        return dirty_text(self.value) if isinstance(self.value, list) else str(self.value)

    def __str__(self) -> str:
        return f"{self.status} {self.value_text()}"


def dirty_text(words: list[int]) -> str:
    """Return the pages of a bitmap, 64 per word, as text: ``dirty pages 0-3, 17``."""
    bits = int.from_bytes(b"".join(word.to_bytes(8, "little") for word in words), "little")
    ranges: list[str] = []
    first = 0
    while bits:
        clear = (bits & -bits).bit_length() - 1
        first += clear
        bits >>= clear
        pages = (~bits & (bits + 1)).bit_length() - 1
        ranges.append(str(first) if pages == 1 else f"{first}-{first + pages - 1}")
        first += pages
        bits >>= pages
    if not ranges:
        return "no dirty page"
    single = len(ranges) == 1 and "-" not in ranges[0]
    return f"dirty page{'' if single else 's'} {', '.join(ranges)}"
