# SPDX-License-Identifier: GPL-2.0-only
"""A bound on ranges that are worked on page by page: a few programs with large pages took a quarter of all time."""

import random
from dataclasses import replace
from typing import Final

from ..language.operations import HostShare, HostWrite, Operation, TableMap
from ..language.program import Program, Slot

# Pages of such a range, at most: those of a block of 4K pages. A block of 64K pages has sixteen times as many.
PAGES: Final = 512
# One program in so many keeps its ranges.
WHOLE: Final = 16
# Chunks that a slot is split in when its logging begins, and pages that its blocks become then: so many cost no more
# than other parts of a program.
_SPLITS: Final = 16384
# Of programs with more, one in `WHOLE` at most is split; of those with so many times more, as many times fewer.
_MANY: Final = 4096


def capped(program: Program, number: int) -> Program:
    """Return a program whose ranges are short where each page takes time; now and then, the program itself.

    Copy-on-write breaks page by page behind a share or a write by the host, and a map of what blocks cannot
    map sets an entry for each page. The ranges keep their starts, and the odd bytes of their ends.

    :param program: a valid one, without par blocks; a shorter range makes no operation behind it illegal
    :param number: of the program, with its seed: what is drawn depends on it alone
    """
    page = program.vm.granule
    slots = {slot.name: slot for slot in program.slots}
    if not any(excess(operation, slots, page) for operation in program.operations):
        return program
    if random.Random(f"whole {number}").randrange(WHOLE) == 0:
        return program
    return replace(program, operations=tuple(shortened(operation, slots, page) for operation in program.operations))


def excess(operation: Operation, slots: dict[str, Slot], page: int) -> int:
    """The pages of a range beyond `PAGES`; 0 where no page takes time of its own.

    :param slots: of the program, by name
    :param page: bytes of one
    """
    if not isinstance(operation, (HostShare, HostWrite, TableMap)):
        return 0
    if isinstance(operation, TableMap) and in_blocks(operation, slots[operation.slot], page):
        return 0
    return max(operation.size // page - PAGES, 0)


def may_split(program: Program, split: int, source: random.Random) -> bool:
    """Say whether the slots of a program may be split: the longer that takes, the fewer may.

    :param split: bytes of a chunk
    """
    most = max(splits(program, slot, split) for slot in program.slots)
    return most <= _SPLITS or source.randrange(max(WHOLE, most // _MANY)) == 0


def splits(program: Program, slot: Slot, split: int) -> int:
    """The chunks that a slot is split in, or the pages that blocks of 1G become.

    :param split: bytes of a chunk
    """
    return slot.size // (program.vm.granule if slot.backing == "hugetlb1g" else split)


def in_blocks(operation: TableMap, slot: Slot, page: int) -> bool:
    """Tell whether blocks can map a range: it and its memory begin at one, and it ends at one."""
    block = page * (page // 8)
    places = (slot.ipa + operation.offset, slot.offset + operation.offset, operation.size)
    return not any(place % block for place in places)


def shortened(operation: Operation, slots: dict[str, Slot], page: int) -> Operation:
    """The same operation, without the `excess` of its range."""
    if isinstance(operation, (HostShare, HostWrite, TableMap)):
        return replace(operation, size=operation.size - page * excess(operation, slots, page))
    return operation
