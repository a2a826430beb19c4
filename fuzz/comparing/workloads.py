# SPDX-License-Identifier: GPL-2.0-only
"""Workloads: vCPUs that meet at one block, as programs.

They follow what the series was measured by (KVM selftest ``kvm_page_table_test``): vCPUs that all touch memory which is
not mapped yet, and vCPUs that use pages while a block takes the place of their table, since logging is off again.
"""

from collections.abc import Sequence
from typing import Final

from ..language.operations import GetLog, GuestAccess, Operation, Par, SetLog, Switch
from ..language.program import GIB, KIB, MIB, Backing, Program, Slot, Vm

PAGE: Final = 4 * KIB
# Of each size of a block, the memory behind it, and how far the pages lie apart that are mapped before a rebuild: each
# table of the block has one.
BLOCKS: Final[dict[str, tuple[int, Backing, int]]] = {
    "2M": (2 * MIB, "thp", PAGE),
    "1G": (GIB, "hugetlb1g", 2 * MIB),
}
WORKLOADS: Final = ("create", "rebuild")
_SLOT: Final = "a"
_ADDRESS: Final = 1 << 30


def create(cpus: int, block: str) -> Program:
    """All vCPUs touch the block at once: each has taken its fault before anyone has mapped it.

    :param cpus: how many
    :param block: one of `BLOCKS`
    """
    size, _, _ = BLOCKS[block]
    accesses = [GuestAccess(cpu, "write", _SLOT, cpu * PAGE % size, True) for cpu in range(cpus)]
    switches = [Switch(cpu, cpu + 1, "after", "fault", 1) for cpu in range(cpus - 1)]
    return _program(cpus, block, False, [Par(tuple(accesses), tuple(switches))])


def rebuild(cpus: int, block: str, arrivals: Sequence[Switch] = ()) -> Program:
    """vCPU 0 writes to a page, so that a block takes the place of its table; each other one reads a page of it.

    :param cpus: how many
    :param block: one of `BLOCKS`
    :param arrivals: places of the fault of vCPU 0, at each of which another vCPU reads
    """
    size, _, step = BLOCKS[block]
    pages = range(0, size, step)
    before: list[Operation] = [GuestAccess(0, "write", _SLOT, page, True) for page in pages]
    # Pages are protected again, so that the write takes a fault.
    before += [GetLog(_SLOT), SetLog(_SLOT, False)]
    accesses = [GuestAccess(0, "write", _SLOT, 0, True)]
    accesses += [GuestAccess(cpu, "read", _SLOT, pages[cpu % len(pages)], True) for cpu in range(1, cpus)]
    return _program(cpus, block, True, [*before, Par(tuple(accesses), tuple(arrivals))])


def _program(cpus: int, block: str, log: bool, operations: list[Operation]) -> Program:
    """A program of one slot. It may have more vCPUs than programs that are written have."""
    size, backing, _ = BLOCKS[block]
    return Program(Vm(cpus=cpus), (Slot(_SLOT, _ADDRESS, size, backing, log=log),), tuple(operations))
