# SPDX-License-Identifier: GPL-2.0-only
"""The hardware's walk against cases worked out by hand from the Arm ARM."""

import pytest

from reference.machine import walk
from reference.machine.arena import BASE, POISON, Arena, unwrap, wrap
from reference.machine.descriptor import AF_BIT, READ_BIT, WRITE_BIT, XN_BIT, describe
from reference.machine.granule import Granule
from reference.machine.walk import Regime

GRANULE = Granule(12)
RW = 0xF << 2 | READ_BIT | WRITE_BIT | 3 << 8 | AF_BIT


class Tables:
    """A root and, below it, one table a level, wired for address 0."""

    def __init__(self, ia_bits: int, start_level: int, roots: int = 1) -> None:
        self.arena = Arena(GRANULE)
        self.root = self.arena.grow(roots)
        self.tables = {start_level: self.root}
        above = self.root
        for level in range(start_level + 1, 4):
            table = self.arena.grow(1)
            self.arena.words[above] = BASE + (table << 3) | 3
            self.tables[level] = above = table
        self.regime = Regime(GRANULE, ia_bits, start_level, self.root)

    def walk(self, ipa: int, access: int = walk.READ) -> walk.Walk:
        return walk.walk(self.arena, self.regime, ipa, access)


def test_page() -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.tables[3] + 5] = 0x80005000 | RW | 3
    result = tables.walk(0x5123)
    assert (result.fault, result.level, result.pa) == (walk.NONE, 3, 0x80005000)
    assert [level for level, _, _ in result.tables] == [1, 2]


@pytest.mark.parametrize(("level", "size"), [(1, 1 << 30), (2, 2 << 20)])
def test_block(level: int, size: int) -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.tables[level]] = 4 * size | RW | 1
    result = tables.walk(size - 1)
    assert (result.fault, result.level, result.pa) == (walk.NONE, level, 4 * size + size - 4096)


def test_concatenated_root_has_a_wider_index() -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.root + 1023] = 1 << 30 | RW | 1
    assert tables.walk((1 << 40) - 1).fault == walk.NONE
    assert tables.walk((1 << 39) - 1).fault == walk.TRANSLATION


def test_address_beyond_the_regime_faults_at_level_0() -> None:
    result = Tables(40, 1, 2).walk(1 << 40)
    assert (result.fault, result.level) == (walk.TRANSLATION, 0)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_invalid_entry_faults_at_its_level(level: int) -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.tables[level]] = 0x80000000 | RW
    result = tables.walk(0)
    assert (result.fault, result.level) == (walk.TRANSLATION, level)


def test_reserved_encodings_are_translation_faults() -> None:
    tables = Tables(48, 0)
    tables.arena.words[tables.tables[3]] = 0x80000000 | RW | 1
    assert tables.walk(0).fault == walk.TRANSLATION
    tables.arena.words[tables.root] = RW | 1
    result = tables.walk(0)
    assert (result.fault, result.level) == (walk.TRANSLATION, 0)


def test_access_flag_ranks_before_permission() -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.tables[3]] = 0x80000000 | RW & ~AF_BIT & ~WRITE_BIT | 3
    assert tables.walk(0, walk.WRITE).fault == walk.ACCESS_FLAG


def test_address_size_ranks_before_access_flag() -> None:
    tables = Tables(40, 1, 2)
    tables.regime.pa_bits = 36
    tables.arena.words[tables.tables[3]] = 1 << 36 | RW & ~AF_BIT | 3
    # The tables themselves lie above 2^36, so look at the leaf alone.
    entry = tables.arena.words[tables.tables[3]]
    assert walk.check_leaf(entry, 3, walk.READ, tables.regime) == walk.ADDRESS_SIZE


@pytest.mark.parametrize(
    ("clear", "xn", "allowed"),
    [
        (0, 0, {walk.READ, walk.WRITE, walk.FETCH}),
        (WRITE_BIT, 0, {walk.READ, walk.FETCH}),
        (READ_BIT, XN_BIT, {walk.WRITE}),
        (0, XN_BIT, {walk.READ, walk.WRITE}),
    ],
)
def test_permissions(clear: int, xn: int, allowed: set[int]) -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.tables[3]] = 0x80000000 | RW & ~clear | xn | 3
    for access in (walk.READ, walk.WRITE, walk.FETCH):
        expected = walk.NONE if access in allowed else walk.PERMISSION
        assert tables.walk(0, access).fault == expected


def test_a_table_that_is_no_table_memory_is_lost() -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.root] = 0x80000000 | 3
    assert tables.walk(0).fault == walk.LOST


@pytest.mark.parametrize("value", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1])
def test_wrap_at_the_sign_boundary(value: int) -> None:
    wrapped = wrap(value)
    assert -(1 << 63) <= wrapped < 1 << 63
    assert unwrap(wrapped) == value
    assert wrap(wrapped) == wrapped


def test_poison_is_no_table() -> None:
    assert unwrap(POISON) == 0xA5A5A5A5A5A5A5A5
    assert describe(POISON, 3, GRANULE).startswith("reserved")
