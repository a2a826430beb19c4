# SPDX-License-Identifier: GPL-2.0-only
"""The hardware's walk against cases worked out by hand from the Arm ARM."""

import pytest

from reference.machine import walk
from reference.machine.arena import BASE, POISON, Arena, unwrap, wrap
from reference.machine.computer import Computer
from reference.machine.descriptor import (
    AF_BIT,
    READ_BIT,
    RESERVED,
    WRITE_BIT,
    XN_BIT,
    address_bits,
    address_field,
    describe,
    kind,
)
from reference.machine.granule import Granule
from reference.machine.walk import Regime

GRANULE = Granule(12)
RW = 0xF << 2 | READ_BIT | WRITE_BIT | 3 << 8 | AF_BIT


class Tables:
    """A root and one table per level below it, linked for address 0."""

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


def test_a_table_outside_of_table_memory_is_lost() -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.root] = 0x80000000 | 3
    assert tables.walk(0).fault == walk.LOST


@pytest.mark.parametrize(
    ("xn", "allowed"),
    [(0, {walk.FETCH, walk.FETCH_EL0}), (1, {walk.FETCH_EL0}), (2, set()), (3, {walk.FETCH})],
)
def test_execute_never_of_kernel_and_user_space(xn: int, allowed: set[int]) -> None:
    """Check FEAT_XNX: two bits, so that kernel or user space alone may execute."""
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.tables[3]] = 0x80000000 | RW | xn << 53 | 3
    for access in (walk.FETCH, walk.FETCH_EL0):
        assert tables.walk(0, access).fault == (walk.NONE if access in allowed else walk.PERMISSION)
    assert tables.walk(0, walk.READ).fault == walk.NONE


def wide(pa_bits: int, entry: int, level: int) -> walk.Walk:
    """Read address 0 through one entry at *level* of tables with 64K pages."""
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


def test_upper_address_bits_of_64k_pages_count_with_52_bits_only() -> None:
    entry = 0x80000000 | 0xA << 12 | RW | 3
    result = wide(52, entry, 3)
    assert (result.fault, result.pa) == (walk.NONE, 0xA << 48 | 0x80000000)
    result = wide(48, entry, 3)
    assert (result.fault, result.pa) == (walk.NONE, 0x80000000)


def test_upper_address_bits_of_a_table_of_64k_pages() -> None:
    """Check that they lead outside of table memory with 52 bits, and are ignored with 48."""
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
def test_blocks_of_4t_need_52_bits(pa_bits: int, fault: int) -> None:
    result = wide(pa_bits, 1 << 44 | RW | 1, 1)
    assert (result.fault, result.level) == (fault, 1)
    if fault == walk.NONE:
        assert result.pa == 1 << 44


@pytest.mark.parametrize("page_shift", [12, 14])
def test_52_bits_need_descriptors_that_have_them(page_shift: int) -> None:
    with pytest.raises(ValueError, match="52 bits of output address in descriptors for 48"):
        Regime(Granule(page_shift), 40, 2, 0, 52)
    assert Regime(Granule(page_shift, 52), 40, 2, 0).pa_bits == 52
    with pytest.raises(ValueError, match="no descriptors for addresses of 50 bits"):
        Granule(page_shift, 50)


# Bits 51 and 49 of an address: bits 9 and 49 of a descriptor.
HIGH_FIELD = 1 << 9 | 1 << 49


def lpa2(page_shift: int, entry: int, level: int, pa_bits: int = 52, start: int = 1) -> walk.Walk:
    """Read address 0 through one entry at *level* of tables of FEAT_LPA2."""
    granule = Granule(page_shift, 52)
    arena = Arena(granule)
    regime = Regime(granule, 48, start, arena.grow(1))
    regime.pa_bits = pa_bits
    ptep = regime.root
    for _ in range(start, level):
        table = arena.grow(1)
        arena.words[ptep] = BASE + (table << 3) | HIGH_FIELD | 3
        ptep = table
    arena.words[ptep] = wrap(entry)
    return walk.walk(arena, regime, 0, walk.READ)


# Normal memory, readable and writable; no shareability.
WIDE_RW = RW & ~(3 << 8)


@pytest.mark.parametrize("page_shift", [12, 14])
def test_lpa2_page(page_shift: int) -> None:
    result = lpa2(page_shift, 0x80000000 | HIGH_FIELD | WIDE_RW | 3, 3)
    assert (result.fault, result.level, result.pa) == (walk.NONE, 3, 0xA << 48 | 0x80000000)
    assert len(result.tables) == 2
    # Each of the four bits has its place.
    for bit, place in ((51, 9), (50, 8), (49, 49), (48, 48)):
        assert lpa2(page_shift, 0x80000000 | 1 << place | WIDE_RW | 3, 3).pa == 1 << bit | 0x80000000


@pytest.mark.parametrize(
    ("page_shift", "level", "size", "fault"),
    [
        (12, 2, 21, walk.NONE),
        (12, 1, 30, walk.NONE),
        (12, 0, 39, walk.NONE),
        (14, 2, 25, walk.NONE),
        (14, 1, 36, walk.NONE),
        (14, 0, 47, walk.TRANSLATION),
    ],
)
def test_lpa2_blocks(page_shift: int, level: int, size: int, fault: int) -> None:
    """Check that FEAT_LPA2 has blocks one level further up."""
    result = lpa2(page_shift, HIGH_FIELD | 1 << size | WIDE_RW | 1, level, start=0)
    assert (result.fault, result.level) == (fault, level)
    if fault == walk.NONE:
        assert result.pa == 0xA << 48 | 1 << size


def test_without_lpa2_these_bits_are_shareability_or_ignored() -> None:
    tables = Tables(40, 1, 2)
    tables.arena.words[tables.tables[3]] = 0x80000000 | HIGH_FIELD | RW | 3
    assert tables.walk(0).pa == 0x80000000
    assert kind(0x80000000 | RW | 1, 0, GRANULE) == RESERVED


def test_lpa2_table_elsewhere() -> None:
    granule = Granule(12, 52)
    arena = Arena(granule)
    regime = Regime(granule, 30, 2, arena.grow(1))
    arena.words[regime.root] = BASE + (arena.grow(1) << 3) | 3
    # Without its upper bits the entry points to memory that is no table.
    assert walk.walk(arena, regime, 0, walk.READ).fault == walk.LOST
    arena.words[regime.root] |= HIGH_FIELD
    assert walk.walk(arena, regime, 0, walk.READ).fault == walk.TRANSLATION


@pytest.mark.parametrize(
    ("page_shift", "size", "ds", "bits"),
    [
        (12, 6, 1, 52),
        (12, 6, 0, 48),
        (12, 5, 1, 48),
        (14, 6, 0, 48),
        (16, 6, 0, 52),
        (16, 5, 0, 48),
        (12, 2, 0, 40),
        (16, 0, 0, 32),
    ],
)
def test_vtcr_determines_the_size_of_an_address(page_shift: int, size: int, ds: int, bits: int) -> None:
    regime = Regime(Granule(page_shift, 52), 40, 2, 0)
    regime.apply_vtcr(0)
    assert regime.pa_bits == 52
    regime.apply_vtcr(1 << 31 | size << 16 | ds << 32)
    assert regime.pa_bits == bits


def test_a_root_above_what_vtcr_allows() -> None:
    result = lpa2(12, 0x80000000 | HIGH_FIELD | WIDE_RW | 3, 3, pa_bits=48)
    assert (result.fault, result.level) == (walk.ADDRESS_SIZE, 0)


@pytest.mark.parametrize("pa_bits", [48, 52])
@pytest.mark.parametrize("page_shift", [12, 14, 16])
def test_address_bits_reverses_address_field(page_shift: int, pa_bits: int) -> None:
    granule = Granule(page_shift, pa_bits)
    for bit in range(page_shift, pa_bits):
        field = address_field(1 << bit, granule)
        assert field & ~granule.address_mask == 0
        assert address_bits(field, granule) == 1 << bit
    assert address_bits(-1, granule) >> pa_bits == (0xF if page_shift == 16 and pa_bits == 48 else 0)


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
def test_a_walk_that_continues_outside_of_table_memory_is_lost(ptep: int) -> None:
    arena = Arena(GRANULE)
    arena.grow(1)
    result = walk.walk_from(arena, Regime(GRANULE, 39, 1, 0), 0, walk.READ, 2, ptep)
    assert (result.fault, result.level, result.ptep) == (walk.LOST, 2, -1)


def test_the_first_word_after_the_tables_is_outside() -> None:
    arena = Arena(GRANULE)
    arena.grow(1)
    regime = Regime(GRANULE, 39, 1, 0)
    assert walk.walk_from(arena, regime, 0, walk.READ, 2, GRANULE.entries - 1).fault == walk.TRANSLATION
    assert walk.walk_from(arena, regime, 0, walk.READ, 2, GRANULE.entries).fault == walk.LOST
