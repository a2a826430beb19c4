# SPDX-License-Identifier: GPL-2.0-only
"""The hardware's walk through leaves whose dirty state it manages (Arm ARM D8.4)."""

import pytest

from reference.machine import walk
from reference.machine.computer import Computer
from reference.machine.descriptor import AF_BIT, DBM_BIT, READ_BIT, WRITE_BIT, describe
from reference.machine.granule import Granule
from reference.machine.walk import Regime, permits

GRANULE = Granule(12)
CLEAN = 0x80000000 | DBM_BIT | 0xF << 2 | READ_BIT | 3 << 8 | AF_BIT | 3
READ_ONLY = CLEAN & ~DBM_BIT


def machine(entry: int, dirty: bool = True) -> tuple[Computer, Regime, int]:
    """Return a computer with one leaf for address 0, its regime and the index of the leaf."""
    computer = Computer(GRANULE, 2)
    arena = computer.arena
    regime = Regime(GRANULE, 21, 3, arena.grow(1))
    regime.dirty = dirty
    arena.words[regime.root] = entry
    return computer, regime, regime.root


@pytest.mark.parametrize(
    ("entry", "dirty", "fault"),
    [
        (CLEAN, True, walk.NONE),
        (CLEAN, False, walk.PERMISSION),
        (READ_ONLY, True, walk.PERMISSION),
        (READ_ONLY | WRITE_BIT, True, walk.NONE),
        (CLEAN & ~AF_BIT, True, walk.ACCESS_FLAG),
    ],
)
def test_a_write_through_a_leaf_with_dbm(entry: int, dirty: bool, fault: int) -> None:
    computer, regime, ptep = machine(entry, dirty)
    assert computer.translate(0, 1, regime, 0, walk.WRITE).fault == fault
    assert computer.arena.words[ptep] == entry
    assert regime.allows_writes(entry) == permits(entry, walk.WRITE, dirty) == (fault in (walk.NONE, walk.ACCESS_FLAG))


def test_dbm_allows_writes_only() -> None:
    entry = CLEAN & ~READ_BIT | 1 << 54
    assert [permits(entry, access, True) for access in (walk.READ, walk.WRITE, walk.FETCH)] == [False, True, False]


def test_a_write_does_not_use_a_clean_tlb_entry() -> None:
    computer, regime, ptep = machine(CLEAN)
    assert computer.translate(0, 1, regime, 0, walk.READ).ptep == ptep
    assert computer.translate(0, 1, regime, 0, walk.READ).ptep == -1
    # The TLB entry is not used, whatever memory holds by now.
    for now, fault in ((CLEAN, walk.NONE), (READ_ONLY, walk.PERMISSION), (0, walk.TRANSLATION)):
        computer.arena.words[ptep] = now
        found = computer.translate(0, 1, regime, 0, walk.WRITE)
        assert (found.ptep, found.entry, found.fault) == (ptep, now, fault)


def test_a_write_uses_a_stale_dirty_tlb_entry() -> None:
    computer, regime, ptep = machine(CLEAN | WRITE_BIT)
    computer.translate(0, 1, regime, 0, walk.WRITE)
    computer.arena.words[ptep] = CLEAN
    assert computer.translate(0, 1, regime, 0, walk.WRITE).ptep == -1
    assert computer.translate(1, 1, regime, 0, walk.WRITE).ptep == ptep


def test_a_description_names_dbm() -> None:
    assert describe(CLEAN, 3, GRANULE) == "page@0x80000000 r-x normal-wb dbm"
