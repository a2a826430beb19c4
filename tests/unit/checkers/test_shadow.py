# SPDX-License-Identifier: GPL-2.0-only
"""The tables as reconstructed from stores: found by address, and compared with memory."""

from typing import Final

import pytest

import candidate
from fuzz.checkers.shadow import Shadow
from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from reference.machine.descriptor import WRITE_BIT

PAGE: Final = 4096
BLOCK: Final = 2 << 20
# A block, pages of the next 2M, nothing, and pages far away.
PROGRAM: Final = """s2fuzz 1
vm granule=4K
slot a size=6M backing=thp
slot b size=4M backing=anon
host write a+0 2M
cpu0 write a+0
cpu0 write b+0
cpu0 read b+8K
cpu0 write b+2M
"""


def shadow_of() -> tuple[Shadow, int, int]:
    """Run the program; return its reconstructed tables, and the addresses of both slots."""
    executor = Executor(candidate.get("original"), parse(PROGRAM))
    executor.create()
    for at in range(len(executor.program.operations)):
        assert executor.step(at)[1] == []
    names = executor.side.by_name
    return executor.checkers.shadows[0], names["a"].ipa, names["b"].ipa


def test_leaves_are_found_from_the_table_before() -> None:
    shadow, block, pages = shadow_of()
    places = [pages, pages + 2 * PAGE, pages + PAGE, block, block + PAGE, block + BLOCK, pages + BLOCK, pages, 0]
    near = None
    levels = []
    for ipa in places:
        near = shadow.lookup_near(near, ipa)
        assert near is not None
        index = (ipa - near.base) >> shadow.shifts[near.level]
        level, leaf = shadow.lookup(ipa)
        assert near.leaves.get(index, 0) == leaf
        levels.append(level)
    assert levels == [3, 3, -1, 2, 2, -1, 3, 3, -1]
    assert shadow.lookup_near(near, 1 << 60) is None


def test_look_ups_follow_changes_of_the_tables() -> None:
    """Check that a look-up that begins in the table of the last one has the result of one from the root."""
    text = (
        "vm cpus=1\nslot a size=2M backing=thp log=on\nhost write a+0 2M\ncpu0 read a+0\ncpu0 write a+4K\n"
        "table unmap a+0 4K\nlog a off\ncpu0 read a+8K\ncpu0 write a+0\nlog a on\ncpu0 write a+12K\n"
        "slot a delete\nslot a create\ncpu0 read a+8K\n"
    )
    executor = Executor(candidate.get("original"), parse(f"s2fuzz 1\n{text}"))
    executor.create()
    shadow, ipa = executor.checkers.shadows[0], executor.side.by_name["a"].ipa
    seen: set[int] = set()
    for at in range(len(executor.program.operations)):
        executor.step(at)
        for place in (ipa, ipa + PAGE, ipa + 2 * PAGE):
            table = shadow.lookup_near(None, place)
            assert table is not None
            leaf = table.leaves.get((place - table.base) >> shadow.shifts[table.level], 0)
            level, found = shadow.lookup(place)
            assert (found, shadow.nearest) == (leaf, table)
            seen.add(level)
    assert seen == {-1, 2, 3}


def test_few_indices_and_many() -> None:
    shadow, _, pages = shadow_of()
    table = shadow.table_at(pages, 3)
    assert table is not None
    assert sorted(table.leaves) == [0, 2]
    assert shadow.indices_in(table, pages, pages + BLOCK) == [0, 2]
    assert shadow.indices_in(table, pages + PAGE, pages + 9 * PAGE) == [2]
    assert shadow.indices_in(table, pages + PAGE, pages + 3 * PAGE) == [1, 2]
    assert shadow.indices_in(table, pages + BLOCK, pages + 2 * BLOCK) == []


def test_memory_matches_the_stores() -> None:
    shadow_of()[0].scan()


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("level", [2, 3])
@pytest.mark.parametrize("change", [0, 2, WRITE_BIT | 3])
def test_a_change_of_memory_without_a_store_is_noticed(level: int, index: int, change: int) -> None:
    """Change an entry in memory: cleared, invalid but not zero, or another leaf."""
    shadow, _, pages = shadow_of()
    table = shadow.table_at(pages, level)
    assert table is not None
    at = table.page * shadow.entries + (pages - table.base >> shadow.shifts[level]) + index
    if shadow.kernel.words[at] == change:
        change = 1
    shadow.kernel.words[at] = change
    with pytest.raises(AssertionError, match="is not what memory holds"):
        shadow.scan()
