# SPDX-License-Identifier: GPL-2.0-only
"""Fast paths of compiled code (fuzz/compilation/short.h, sparse.h, text.h) have the results of the slow paths."""

import gc
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, cast

import pytest

import candidate
from fuzz.checkers.context import Context
from fuzz.checkers.owed_entries import pages_of
from fuzz.checkers.table import Table
from fuzz.execution.executor import Executor
from fuzz.judging.tables import same_entries
from fuzz.language.text import parse
from reference.compiled import choice as native
from reference.events import EVENT_NAMES, Observer
from reference.kernel import Kernel
from reference.machine.descriptor import AF_BIT, describe
from reference.machine.granule import Granule
from reference.machine.hardware import Hardware
from reference.machine.memory import Memory
from reference.machine.spans import Spans
from reference.machine.sparse import STRETCH, SparseWords
from reference.observers import Observers

needs_build = pytest.mark.skipif(not native.choose().mypyc, reason="no compiled build: run `s2fuzz build`")


class Stores(Observer):
    """Records the stores."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.seen.append(new)


class Other:
    """A class that is no observer."""


class Both(Other, Stores):
    """An observer through its second base class."""


def a_kernel() -> Kernel:
    """Return a kernel with one table page."""
    kernel = Kernel(Granule(12), Hardware(Granule(12)))
    kernel.arena.grow(1)
    return kernel


def test_a_constructor_takes_its_arguments_by_position_or_name() -> None:
    kind: Any = Granule
    granules = kind(12), kind(12, 52), kind(page_shift=12), kind(12, pa_bits=52), kind(pa_bits=52, page_shift=12)
    assert [each.page_size for each in granules] == [4096] * 5
    assert [each.lpa2 for each in granules] == [False, True, False, True, True]


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((12, 52, 1), {}), ((12,), {"page_shift": 12}), ((12,), {"to": 1})]
)
def test_a_constructor_refuses_other_arguments(given: tuple[int, ...], named: dict[str, int]) -> None:
    kind: Any = Granule
    with pytest.raises(TypeError):
        kind(*given, **named)


@pytest.mark.parametrize("kind", [Stores, Both])
def test_an_observer_may_derive_through_any_base(kind: type[Stores]) -> None:
    kernel, observer = a_kernel(), kind()
    kernel.observe(observer)
    kernel.WRITE_ONCE(5, 7)
    assert observer.seen == [7]


@needs_build
def test_an_object_that_is_no_observer_is_refused() -> None:
    kernel = a_kernel()
    kernel.on_store.append(cast(Observer, Other()))
    with pytest.raises(TypeError):
        kernel.WRITE_ONCE(5, 7)


def test_the_lists_of_observers_are_in_the_order_of_the_events() -> None:
    observers = Observers()
    assert [observers.named(name) for name in EVENT_NAMES] == observers.all
    assert all(observers.named(name) is getattr(observers, name) for name in EVENT_NAMES)


@pytest.mark.parametrize("count", [1, 8, 9, 100])
def test_a_list_may_grow_while_it_is_cleared(count: int) -> None:
    observers, last = Observers(), Stores()

    class Leaving(Stores):
        def __del__(self) -> None:
            observers.store.append(last)

    for _ in range(count):
        observers.add(Leaving())
    observers.clear()
    assert observers.store == [last] * count
    observers.clear()
    assert observers.store == []


def test_observers_of_a_dismissed_kernel_get_no_events_of_others() -> None:
    gone, early, late = a_kernel(), Stores(), Stores()
    gone.observe(early)
    lists = gone.on
    gone.dismiss_all()
    gone.dismiss_all()
    kernels = [a_kernel(), a_kernel()]
    assert kernels[0].on is lists
    assert kernels[1].on is not lists
    kernels[1].observe(late)
    kernels[0].WRITE_ONCE(5, 7)
    kernels[1].WRITE_ONCE(5, 8)
    assert early.seen == []
    assert late.seen == [8]


def test_runs_can_be_removed_and_inserted() -> None:
    """Remove elements from lists, at the end and before it, and insert them again."""
    spans, plain = Spans(), [0] * 64
    spans.grow(64, 0)
    for step in range(200):
        start, end = step * 37 % 60, step * 37 % 60 + step % 9
        spans.fill(start, end, step % 3)
        plain[start:end] = [step % 3] * len(plain[start:end])
        assert [spans[index] for index in range(64)] == plain[:64]


@pytest.mark.parametrize(
    "value", [0, 1, 255, 256, 257, -1, -5, -6, (1 << 30) - 1, 1 << 30, (1 << 60) - 1, 1 << 60, 1 << 62]
)
def test_stored_numbers_are_unchanged(value: int) -> None:
    words = SparseWords()
    words.grow(STRETCH)
    for _ in range(2):
        words.put(3, value)
        assert words[3] == value
        assert words.stretches[0][3] == value


def test_freed_numbers_do_not_affect_others() -> None:
    words, plain = SparseWords(), [0] * STRETCH
    words.grow(STRETCH)
    sizes = (9, 29, 30, 31, 59, 60, 61, 63)
    for step in range(3000):
        size, index = sizes[step * 5 % len(sizes)], step * 37 % STRETCH
        value = ((1 << size) - 1 - step) * (-1 if step % 7 == 0 else 1)
        words.put(index, value)
        plain[index] = value
        if not step % 100:
            assert words.part(0, STRETCH) == plain
    assert words.part(0, STRETCH) == plain


def test_freed_lists_do_not_affect_others() -> None:
    """Compare, which makes and drops lists of tuples: returned lists stay intact, also under garbage collection."""
    spans, plain = Spans(), [index * index // 3 % 2 for index in range(64)]
    spans.grow(64, 0)
    for index, value in enumerate(plain):
        spans.fill(index, index + 1, value)
    kept: list[tuple[int, int, list[tuple[int, int, int]]]] = []
    for step in range(1000):
        first, other, length = step * 7 % 40, step * 11 % 40, step % 24
        assert spans.alike(first, other, length) == (plain[first : first + length] == plain[other : other + length])
        if not step % 3:
            kept.append((first, length, spans.runs(first, first + length)))
        if not step % 100:
            gc.collect()
    for first, length, found in kept:
        assert [value for start, end, value in found for _ in range(start, end)] == plain[first : first + length]
        assert [start for start, _, _ in found] == ([first] if length else []) + [end for _, end, _ in found[:-1]]


class Level(IntEnum):
    """Integers of a derived class, which has attributes after the digits."""

    NONE = 0
    SOME = 7
    MANY = 1 << 40


@pytest.mark.parametrize("level", Level)
def test_numbers_of_a_derived_class_are_numbers(level: Level) -> None:
    kernel, observer = a_kernel(), Stores()
    kernel.observe(observer)
    kernel.WRITE_ONCE(5, level)
    kernel.WRITE_ONCE(6, level + 1)
    assert observer.seen == [int(level), int(level) + 1]


@pytest.mark.parametrize(
    "keys",
    [
        range(300),
        # Most of these keys have the same place in the hash table.
        range(0, 1 << 20, 1 << 12),
        # Keys of one, two and three digits; several have the same hash.
        [0, 1, (1 << 30) - 1, 1 << 30, (1 << 60) - 1, 1 << 60, (1 << 61) - 1, 1 << 61, 1 << 90],
        [-1, -2, -(1 << 30), 1, 2, 1 << 30],
    ],
)
def test_numbers_are_looked_up_by_their_value(keys: Sequence[int]) -> None:
    memory = Memory(Granule(12))
    for count in (1, 2, 3):
        for key in keys:
            memory.hold(key)
        assert memory.holds == dict.fromkeys(keys, count)
    for _ in range(3):
        for key in keys[::2]:
            memory.drop_hold(key)
    assert memory.holds == dict.fromkeys(keys[1::2], 3)
    for key in keys:
        memory.hold(key)
    assert memory.holds == dict.fromkeys(keys[::2], 1) | dict.fromkeys(keys[1::2], 4)


@pytest.mark.parametrize("key", [True, 4.0, Level.SOME, Level.MANY])
def test_a_key_is_found_by_any_equal_object(key: Any) -> None:
    memory = Memory(Granule(12))
    memory.holds[key] = 5
    memory.hold(int(key))
    assert memory.holds == {key: 6}


@pytest.mark.parametrize(
    ("mine", "theirs", "same"),
    [
        ({}, {}, True),
        ({1: 2, 3: 1 << 40}, {1: 2, 3: 1 << 40}, True),
        ({1: 2, 3: 4}, {3: 4, 1: 2}, True),
        ({1: 1 << 80, 2: -3}, {1: 1 << 80, 2: -3}, True),
        ({1: True}, {1: 1}, True),
        ({1: 2, 3: 4}, {1: 2}, False),
        ({1: 2, 3: 4}, {1: 2, 4: 4}, False),
        ({1: 2, 3: 4}, {1: 2, 3: 4 + (1 << 30)}, False),
        ({1: 2, 3: 4}, {1: 2, 3: -4}, False),
        ({1: 1 << 80}, {1: 1 << 81}, False),
    ],
)
def test_tables_with_the_same_entries_are_equal(mine: dict[int, int], theirs: dict[int, int], same: bool) -> None:
    one, other = Table(0, 3, 0, True), Table(1, 3, 0, True)
    # The first entries have been removed since.
    one.leaves.update({1000: 1, 1001: 1})
    one.leaves.update(mine)
    del one.leaves[1000], one.leaves[1001]
    other.leaves = theirs
    assert same_entries(one, other) == same_entries(other, one) == same


@pytest.mark.parametrize("gone", [[], [0], [7], [2, 3, 4], list(range(8))])
def test_tables_below_are_visited_in_order(gone: list[int]) -> None:
    table = Table(100, 1, 0, True)
    for index in range(8):
        table.children[index] = Table(index, 2, 0, True)
    for index in gone:
        del table.children[index]
    left = [index for index in range(8) if index not in gone]
    assert pages_of(table) == [100, *left]
    copied = table.copy()
    assert list(copied.children) == left
    assert [child.page for child in copied.children.values()] == left


@pytest.mark.parametrize("index", [STRETCH, 2 * STRETCH, 1 << 70, -STRETCH - 1])
def test_there_is_no_word_outside(index: int) -> None:
    words = SparseWords()
    words.grow(STRETCH)
    with pytest.raises(IndexError):
        words[index]


def test_negative_indices_are_from_the_end() -> None:
    words = SparseWords()
    words.grow(2 * STRETCH)
    words.put(2 * STRETCH - 1, 9)
    assert words[-1] == 9
    assert words[-2] == 0


@pytest.mark.parametrize("shift", range(4, 64, 4))
@pytest.mark.parametrize("digit", [2, 0xE])
def test_numbers_are_written_in_hexadecimal(digit: int, shift: int) -> None:
    word = digit << shift
    assert describe(word, 3, Granule(12)) == f"invalid[0x{format(word, 'x')}]"


@pytest.mark.parametrize(("age", "old"), [(0, " old"), (AF_BIT, "")])
def test_text_is_inserted_unchanged_beside_numbers(age: int, old: str) -> None:
    assert describe(0x7000 | age | 3, 3, Granule(12)) == f"page@0x7000 --x device-nGnRnE{old}"


@pytest.mark.parametrize("tge", [False, True])
def test_a_truth_value_beside_numbers_is_no_integer(tge: bool) -> None:
    executor = Executor(candidate.get("original"), parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\n"))
    context, cpu = executor.checkers.peers.of(Context), executor.side.computer.processors[0]
    cpu.tge = tge
    cpu.vttbr, cpu.sctlr = 0x17000, 1
    context.returned()
    found = executor.checkers.take(0)
    assert f"VTTBR_EL2 0x17000 (VMID 0 in effect), TGE {tge}, TCR_EL1 0x" in found[0].reason
