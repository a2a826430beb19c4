# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of an operation, as guest and user space see it."""

from __future__ import annotations


class Outcome:
    """What guest and user space saw of an operation.

    :param status: ``ok``, ``io``, ``abort`` (injected), ``sigbus``, ``error``, ``stuck``, ``oops``
    :param value: version read, 1 for young, errno, a dirty log's words of 64 pages: what the status goes with
    :param faults: taken on the way; cost, not result
    :param predictable: whether the architecture says which version a load sees
    :param detail: of an oops, for people: the exception's message and where it was
    """

    def __init__(
        self, status: str, value: object = 0, faults: int = 0, predictable: bool = True, detail: str = ""
    ) -> None:
        self.status = status
        self.value = value
        self.faults = faults
        self.predictable = predictable
        self.detail = detail

    def same_as(self, other: Outcome) -> bool:
        """Whether guest and user space cannot tell the two apart."""
        if self.status != other.status:
            return False
        return self.value == other.value or not self.predictable or not other.predictable

    def value_text(self) -> str:
        """The value for people; a dirty log as ranges of pages of its slot."""
        return dirty_text(self.value) if isinstance(self.value, list) else str(self.value)

    def __str__(self) -> str:
        return f"{self.status} {self.value_text()}"


def dirty_text(words: list[int]) -> str:
    """``dirty pages 0-3, 17``: the pages of a bitmap, 64 a word."""
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
