# SPDX-License-Identifier: GPL-2.0-only
"""Table entries that a CPU may still hold after they changed: their keys, leaves and tables."""

from typing import Final

from reference.machine.descriptor import AF_BIT, DBM_BIT, READ_BIT, SOFTWARE_BITS, VALID_BIT, WRITE_BIT, XN_BIT

from .table import Table

# Guest address of an entry in bytes, with its level in the low bits (LEVEL), which are clear in an address. One
# number is faster than two, and each store and flush looks some up.
Key = int
LEVEL: Final = 7


def key_of(level: int, ipa: int) -> Key:
    """Return the key of an entry."""
    return ipa | level


def level_of(key: Key) -> int:
    """Return the level of an entry."""
    return key & LEVEL


def address_of(key: Key) -> int:
    """Return the guest address of an entry."""
    return key & ~LEVEL


# Fields of a valid leaf that may change with no effect on what a CPU holds, if no right is removed.
_HARMLESS: Final = READ_BIT | WRITE_BIT | XN_BIT | AF_BIT | DBM_BIT | SOFTWARE_BITS


def takes_away(old: int, new: int) -> bool:
    """Return whether a leaf of the same size grants less than before, or maps elsewhere."""
    if not new & VALID_BIT:
        return True
    lost = old & ~new & (READ_BIT | WRITE_BIT) or new & ~old & XN_BIT
    return bool(lost) or (old ^ new) & ~_HARMLESS != 0


def breaks(old: int, new: int) -> bool:
    """Return whether more than permissions and the access flag of a leaf was removed."""
    return not new & VALID_BIT or (old ^ new) & ~_HARMLESS != 0


class OwedLeaf:
    """A leaf that a CPU may still hold.

    :param entry: the leaf before the change
    :param function: the kernel function that removed it
    :param broken: whether it is gone, not only less permissive
    :param below: whether it was removed with a table above it, and walk caches have been flushed since
    :param actor: the actor that removed it (`Kernel.actor`)
    :param published: the number of barriers for table walks by then: a TLBI must come after the next one

    *dropped*: whether the mmu lock was dropped since, in the same operation;
    *reported*: whether it was reported as not flushed.
    """

    def __init__(self, entry: int, function: str, broken: bool, below: bool, actor: int, published: int) -> None:
        self.actor = actor
        self.published = published
        self.entry = entry
        self.function = function
        self.broken = broken
        self.below = below
        self.dropped = False
        self.reported = False


class OwedTable:
    """A table that was cut off and that a walk cache may still hold.

    :param entry: the entry that named it
    :param function: the kernel function that removed it
    :param table: the table and all tables below, before the change; None: not known
    :param aged: leaves below that CPUs may hold although their access flag is clear
    :param pages: the table pages that a walk may reach through it
    :param actor: as in `OwedLeaf`; likewise *published*

    *dropped* and *reported*: as in `OwedLeaf`.
    """

    def __init__(
        self,
        entry: int,
        function: str,
        table: Table | None,
        aged: dict[Key, int],
        pages: list[int],
        actor: int,
        published: int,
    ) -> None:
        self.actor = actor
        self.published = published
        self.entry = entry
        self.function = function
        self.table = table
        self.aged = aged
        self.pages = pages
        self.dropped = False
        self.reported = False


class Late:
    """A flush of a ``leaf`` or ``table`` that came after the mmu lock was dropped."""

    def __init__(self, what: str, key: Key, entry: int, function: str) -> None:
        self.what = what
        self.level, self.ipa = level_of(key), address_of(key)
        self.entry = entry
        self.function = function


def pages_of(table: Table) -> list[int]:
    """Return the page of a table and of all tables below it."""
    found = [table.page]
    for child in table.children.values():
        found += pages_of(child)
    return found
