# SPDX-License-Identifier: GPL-2.0-only
"""A bound on ranges that take time per page. Without it, a few programs with large pages took a quarter of all time."""

import random
from dataclasses import replace
from typing import Final

from ..language.operations import HostShare, HostWrite, Operation, TableMap
from ..language.program import Program, Slot

# Maximum number of pages of such a range: those of a block of 4K pages. A block of 64K pages has sixteen times as many.
PAGES: Final = 512
# One program in this many keeps its ranges.
WHOLE: Final = 16
# Chunks into which a slot is split when its logging begins, or pages that its blocks become. Up to this number costs no
# more than other parts of a program.
_SPLITS: Final = 16384
# Of programs with more chunks, at most one in `WHOLE` is split. Beyond this multiple, proportionally fewer are.
_MANY: Final = 4096


def capped(program: Program, number: int) -> Program:
    """Return a program with short ranges where each page takes time. Sometimes, return the program itself.

    Copy-on-write breaks page by page after a share or a write by the host, and a map that blocks cannot make
    sets an entry for each page. The ranges keep their starts, and the odd bytes of their ends.

    :param program: a valid program without par blocks. A shorter range makes no later operation illegal
    :param number: the number of the program, with its seed. All choices depend only on it
    """
    page = program.vm.granule
    slots = {slot.name: slot for slot in program.slots}
    if not any(excess(operation, slots, page) for operation in program.operations):
        return program
    if random.Random(f"whole {number}").randrange(WHOLE) == 0:
        return program
    return replace(program, operations=tuple(shortened(operation, slots, page) for operation in program.operations))


def excess(operation: Operation, slots: dict[str, Slot], page: int) -> int:
    """Return the number of pages of a range beyond `PAGES`; 0 where an operation takes no time per page.

    :param slots: the slots of the program, keyed by name
    :param page: page size in bytes
    """
    if not isinstance(operation, (HostShare, HostWrite, TableMap)):
        return 0
    if isinstance(operation, TableMap) and in_blocks(operation, slots[operation.slot], page):
        return 0
    return max(operation.size // page - PAGES, 0)


def may_split(program: Program, split: int, source: random.Random) -> bool:
    """Decide whether the slots of a program may be split: the longer that takes, the fewer are.

    :param split: bytes of a chunk
    """
    most = max(splits(program, slot, split) for slot in program.slots)
    return most <= _SPLITS or source.randrange(max(WHOLE, most // _MANY)) == 0


def splits(program: Program, slot: Slot, split: int) -> int:
    """Return the number of chunks into which a slot is split, or of pages that blocks of 1G become.

    :param split: bytes of a chunk
    """
    return slot.size // (program.vm.granule if slot.backing == "hugetlb1g" else split)


def in_blocks(operation: TableMap, slot: Slot, page: int) -> bool:
    """Tell whether blocks can map a range: the range is aligned to blocks, in guest and host memory."""
    block = page * (page // 8)
    places = (slot.ipa + operation.offset, slot.offset + operation.offset, operation.size)
    return not any(place % block for place in places)


def shortened(operation: Operation, slots: dict[str, Slot], page: int) -> Operation:
    """Return the operation without the `excess` of its range."""
    if isinstance(operation, (HostShare, HostWrite, TableMap)):
        return replace(operation, size=operation.size - page * excess(operation, slots, page))
    return operation
