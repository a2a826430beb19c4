# SPDX-License-Identifier: GPL-2.0-only
"""Workloads, in which vCPUs meet at one block, as programs.

They follow the benchmark of the series (KVM selftest ``kvm_page_table_test``): vCPUs that all touch memory which is
not mapped yet, and vCPUs that use pages while a block replaces their table, because logging is off again.
"""

from collections.abc import Sequence
from typing import Final

from ..language.operations import GetLog, GuestAccess, Operation, Par, SetLog, Switch
from ..language.program import GIB, KIB, MIB, Backing, Program, Slot, Vm

PAGE: Final = 4 * KIB
# For each block size: size, backing, and the distance of the pages that are mapped before a rebuild. Each table of the
# block has one such page.
BLOCKS: Final[dict[str, tuple[int, Backing, int]]] = {
    "2M": (2 * MIB, "thp", PAGE),
    "1G": (GIB, "hugetlb1g", 2 * MIB),
}
WORKLOADS: Final = ("create", "rebuild")
_SLOT: Final = "a"
_ADDRESS: Final = 1 << 30


def create(cpus: int, block: str) -> Program:
    """Return a program in which all vCPUs touch the block at once: all have faulted before any has mapped it.

    :param cpus: number of vCPUs
    :param block: one of `BLOCKS`
    """
    size, _, _ = BLOCKS[block]
    accesses = [GuestAccess(cpu, "write", _SLOT, cpu * PAGE % size, True) for cpu in range(cpus)]
    switches = [Switch(cpu, cpu + 1, "after", "fault", 1) for cpu in range(cpus - 1)]
    return _program(cpus, block, False, [Par(tuple(accesses), tuple(switches))])


def rebuild(cpus: int, block: str, arrivals: Sequence[Switch] = ()) -> Program:
    """Return a program in which vCPU 0 writes a page, so that a block replaces its table. The others each read a page.

    :param cpus: number of vCPUs
    :param block: one of `BLOCKS`
    :param arrivals: places in the fault of vCPU 0, at each of which another vCPU reads
    """
    size, _, step = BLOCKS[block]
    pages = range(0, size, step)
    before: list[Operation] = [GuestAccess(0, "write", _SLOT, page, True) for page in pages]
    # Collecting the log protects the pages again, so that the write takes a fault.
    before += [GetLog(_SLOT), SetLog(_SLOT, False)]
    accesses = [GuestAccess(0, "write", _SLOT, 0, True)]
    accesses += [GuestAccess(cpu, "read", _SLOT, pages[cpu % len(pages)], True) for cpu in range(1, cpus)]
    return _program(cpus, block, True, [*before, Par(tuple(accesses), tuple(arrivals))])


def _program(cpus: int, block: str, log: bool, operations: list[Operation]) -> Program:
    """Return a program with one slot. It may have more vCPUs than the written form allows."""
    size, backing, _ = BLOCKS[block]
    return Program(Vm(cpus=cpus), (Slot(_SLOT, _ADDRESS, size, backing, log=log),), tuple(operations))
