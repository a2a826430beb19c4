# SPDX-License-Identifier: GPL-2.0-only
"""Pairs of an operation and a state of the tables: each possible pair is generated, by count."""

import dataclasses
from collections import Counter

import pytest

import candidate
from fuzz.checkers.shadow import Shadow
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.language.operations import (
    OPERATIONS,
    HypMap,
    OnCpu,
    OnSlot,
    Operation,
    SlotCreate,
    VmEnd,
)
from reference.machine.descriptor import AF_BIT, WRITE_BIT

PROGRAMS = 2500

EMPTY, TABLE, PAGE, READ_ONLY, OLD, BLOCK = "empty", "empty in a table", "page", "page read-only", "page old", "block"
PLACES = (EMPTY, TABLE, PAGE, READ_ONLY, OLD, BLOCK)
# States of a slot or a VM as a whole.
NOTHING, PAGES, BLOCKS = "nothing mapped", "pages mapped", "blocks mapped"
WHOLES = (NOTHING, PAGES, BLOCKS)
FRESH, USED = "fresh", "used"

# Impossible pairs: nothing of a slot is mapped before the slot exists.
IMPOSSIBLE = {(SlotCreate, PAGES), (SlotCreate, BLOCKS)}


def place_state(shadow: Shadow, ipa: int) -> str:
    """Return the state of the tables for one guest address."""
    level, entry = shadow.lookup(ipa)
    if level < 0:
        lowest = any(
            table.level == 3 and table.live and table.base <= ipa < table.base + (shadow.entries << shadow.shifts[3])
            for table in shadow.by_page.values()
        )
        return TABLE if lowest else EMPTY
    if level < 3:
        return BLOCK
    if not entry & AF_BIT:
        return OLD
    return PAGE if entry & WRITE_BIT else READ_ONLY


def whole_state(shadow: Shadow, start: int, end: int) -> str:
    """Return the state of the tables for a range of guest addresses."""
    leaves = shadow.leaves_in(start, end)
    if not leaves:
        return NOTHING
    return BLOCKS if any(level < 3 for level, _, _ in leaves) else PAGES


def state_of(executor: Executor, op: Operation) -> str:
    """Return the state of the tables just before *op*."""
    side = executor.side
    if isinstance(op, HypMap):
        return USED if executor.hyp.mapped else FRESH
    if isinstance(op, VmEnd):
        return whole_state(executor.checkers.shadows[op.vm], 0, 1 << side.guests[op.vm].regime.ia_bits)
    name: str | None = getattr(op, "slot", None)
    if name is None:
        assert isinstance(op, OnCpu)
        shadow = executor.checkers.shadows[side.guest_of(op.cpu).number]
        return whole_state(shadow, 0, 1 << side.guest_of(op.cpu).regime.ia_bits)
    layout = side.by_name[name]
    shadow = executor.checkers.shadows[layout.slot.vm]
    if isinstance(op, OnSlot):
        return whole_state(shadow, layout.ipa, layout.ipa + layout.size) if layout.live else NOTHING
    offset: int = getattr(op, "offset", 0)
    return place_state(shadow, layout.ipa + offset)


def states_for(kind: type[Operation]) -> tuple[str, ...]:
    """Return the states in which a kind of operation can run."""
    if kind is HypMap:
        return FRESH, USED
    fields = {field.name for field in dataclasses.fields(kind)}
    whole = "offset" not in fields
    return tuple(state for state in (WHOLES if whole else PLACES) if (kind, state) not in IMPOSSIBLE)


@pytest.fixture(scope="module")
def pairs() -> Counter[tuple[type[Operation], str]]:
    counts: Counter[tuple[type[Operation], str]] = Counter()
    generator = Generator(1)
    for _ in range(PROGRAMS):
        program = generator.next()
        executor = Executor(candidate.get("original"), program)
        executor.create()
        for at, op in enumerate(program.operations):
            if executor.dead:
                break
            counts[type(op), state_of(executor, op)] += 1
            executor.step(at)
    return counts


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)
def test_every_pair(pairs: Counter[tuple[type[Operation], str]], kind: type[Operation]) -> None:
    met = {state: pairs[kind, state] for state in states_for(kind)}
    assert min(met.values()) >= 1, met


def test_impossible_pairs_never_occur(pairs: Counter[tuple[type[Operation], str]]) -> None:
    assert not [pair for pair in IMPOSSIBLE if pairs[pair]]
