# SPDX-License-Identifier: GPL-2.0-only
"""The hardware's walk against cases worked out by hand from the Arm ARM."""

import pytest

from reference.machine import walk
from reference.machine.arena import BASE, POISON, Arena, unwrap, wrap
from reference.machine.computer import Computer
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


@pytest.mark.parametrize(
    ("xn", "allowed"),
    [(0, {walk.FETCH, walk.FETCH_EL0}), (1, {walk.FETCH_EL0}), (2, set()), (3, {walk.FETCH})],
)
def test_execute_never_of_kernel_and_user_space(xn: int, allowed: set[int]) -> None:
    """FEAT_XNX: two bits, so that one of the two alone may execute."""
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.tables[3]] = 0x80000000 | RW | xn << 53 | 3
    for access in (walk.FETCH, walk.FETCH_EL0):
        assert tables.walk(0, access).fault == (walk.NONE if access in allowed else walk.PERMISSION)
    assert tables.walk(0, walk.READ).fault == walk.NONE


def wide(pa_bits: int, entry: int, level: int) -> walk.Walk:
    """Address 0 read through one entry at *level* of tables with 64K pages."""
    granule = Granule(16)
    arena = Arena(granule)
    regime = Regime(granule, 48, 1, arena.grow(1), pa_bits)
    ptep = regime.root
    for _ in range(1, level):
        table = arena.grow(1)
        arena.words[ptep] = BASE + (table << 3) | 3
        ptep = table
    arena.words[ptep] = entry
    return walk.walk(arena, regime, 0, walk.READ)


def test_upper_address_bits_of_64k_pages_are_some_with_52_bits_alone() -> None:
    entry = 0x80000000 | 0xA << 12 | RW | 3
    result = wide(52, entry, 3)
    assert (result.fault, result.pa) == (walk.NONE, 0xA << 48 | 0x80000000)
    result = wide(48, entry, 3)
    assert (result.fault, result.pa) == (walk.NONE, 0x80000000)


def test_upper_address_bits_of_a_table_of_64k_pages() -> None:
    """They lead to no table memory, or do not count."""
    granule = Granule(16)
    for pa_bits, fault in ((52, walk.LOST), (48, walk.NONE)):
        arena = Arena(granule)
        regime = Regime(granule, 42, 2, arena.grow(1), pa_bits)
        arena.words[regime.root] = BASE + (arena.grow(1) << 3) | 1 << 12 | 3
        arena.words[granule.entries] = 0x80000000 | RW | 3
        assert walk.walk(arena, regime, 0, walk.READ).fault == fault


def test_upper_address_bits_stay_ignored_in_the_tlb() -> None:
    computer = Computer(Granule(16), 1)
    arena = computer.arena
    regime = Regime(Granule(16), 29, 3, arena.grow(1))
    arena.words[regime.root] = 0x80000000 | 0xA << 12 | RW | 3
    assert [computer.translate(0, 1, regime, 0, walk.READ).pa for _ in range(2)] == [0x80000000] * 2


@pytest.mark.parametrize(("pa_bits", "fault"), [(52, walk.NONE), (48, walk.TRANSLATION)])
def test_blocks_of_4t_come_with_52_bits(pa_bits: int, fault: int) -> None:
    result = wide(pa_bits, 1 << 44 | RW | 1, 1)
    assert (result.fault, result.level) == (fault, 1)
    if fault == walk.NONE:
        assert result.pa == 1 << 44


@pytest.mark.parametrize("page_shift", [12, 14])
def test_more_than_48_bits_of_output_address_are_for_64k_pages(page_shift: int) -> None:
    with pytest.raises(ValueError, match="52 bits of output address: only 64K pages have more than 48"):
        Regime(Granule(page_shift), 40, 2, 0, 52)


def test_a_root_out_of_range_is_an_address_size_fault_at_level_0() -> None:
    arena = Arena(GRANULE, 1 << 36)
    regime = Regime(GRANULE, 30, 2, arena.grow(1), 36)
    arena.words[regime.root] = 0x80000000 | RW | 1
    result = walk.walk(arena, regime, 0, walk.READ)
    assert (result.fault, result.level) == (walk.ADDRESS_SIZE, 0)
    regime.pa_bits = 40
    assert walk.walk(arena, regime, 0, walk.READ).fault == walk.NONE


def test_an_arena_may_lie_anywhere() -> None:
    base = 0x47000000
    arena = Arena(GRANULE, base)
    regime = Regime(GRANULE, 30, 2, arena.grow(1), 32)
    table = arena.grow(1)
    arena.words[regime.root] = base + (table << 3) | 3
    arena.words[table] = 0x80000000 | RW | 3
    result = walk.walk(arena, regime, 0x123, walk.READ)
    assert (result.fault, result.pa) == (walk.NONE, 0x80000000)
    assert arena.holds(base + 0x1FFF)
    assert not arena.holds(base + 0x2000)
    assert not arena.holds(base - 1)


@pytest.mark.parametrize("value", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1])
def test_wrap_at_the_sign_boundary(value: int) -> None:
    wrapped = wrap(value)
    assert -(1 << 63) <= wrapped < 1 << 63
    assert unwrap(wrapped) == value
    assert wrap(wrapped) == wrapped


def test_poison_is_no_table() -> None:
    assert unwrap(POISON) == 0xA5A5A5A5A5A5A5A5
    assert describe(POISON, 3, GRANULE).startswith("reserved")


@pytest.mark.parametrize("ptep", [-1, -512, -(1 << 43), 1 << 40])
def test_a_walk_that_goes_on_outside_of_table_memory_is_lost(ptep: int) -> None:
    arena = Arena(GRANULE)
    arena.grow(1)
    result = walk.walk_from(arena, Regime(GRANULE, 39, 1, 0), 0, walk.READ, 2, ptep)
    assert (result.fault, result.level, result.ptep) == (walk.LOST, 2, -1)


def test_the_first_word_behind_the_tables_is_outside() -> None:
    arena = Arena(GRANULE)
    arena.grow(1)
    regime = Regime(GRANULE, 39, 1, 0)
    assert walk.walk_from(arena, regime, 0, walk.READ, 2, GRANULE.entries - 1).fault == walk.TRANSLATION
    assert walk.walk_from(arena, regime, 0, walk.READ, 2, GRANULE.entries).fault == walk.LOST
