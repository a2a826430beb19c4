# SPDX-License-Identifier: GPL-2.0-only
"""Steps that may be reordered, and steps that may not."""

from collections.abc import Hashable
from itertools import product
from random import Random
from typing import Final

import pytest

from fuzz.exploring.actor_steps import ActorStep, StepSequence
from fuzz.exploring.exploring import Batch, PlacedSwitch
from fuzz.language.operations import GuestAccess, Par, Switch

BLOCK: Final = Par((GuestAccess(0, "write", "a", 0), GuestAccess(1, "write", "a", 0)))


def step(actor: int, reads: str = "", writes: str = "", everything: bool = False) -> ActorStep:
    """Make a step that accesses objects named by one letter each."""
    ours: frozenset[Hashable] = frozenset(reads)
    return ActorStep(actor, 0, ours, frozenset(writes), False, everything)


@pytest.mark.parametrize(
    ("ours", "theirs", "free"),
    [
        ([step(1, "a")], step(2, "a"), True),
        ([step(1, "a", "b")], step(2, "a", "c"), True),
        ([step(1, "a")], step(2, "", "a"), False),
        ([step(1, "", "a")], step(2, "a"), False),
        ([step(1, "", "a")], step(2, "", "a"), False),
        ([step(1, "", "a"), step(1, "b")], step(2, "", "b"), False),
        ([step(1)], step(2, everything=True), False),
        ([step(1, everything=True)], step(2), False),
        ([], step(2, everything=True), True),
    ],
)
def test_steps_that_may_be_moved_before_others(ours: list[ActorStep], theirs: ActorStep, free: bool) -> None:
    stretch = StepSequence()
    for each in ours:
        stretch.add(each)
    assert stretch.independent_of(theirs) is free


def placed(cpu: int, at: int) -> PlacedSwitch:
    return PlacedSwitch(Switch(cpu, 1 - cpu, "after", "load", at), (at, at))


def counted(batch: Batch) -> int:
    """Count the schedules one by one."""
    return sum(
        all(
            before.at[1] < after.at[1]
            for at, before in enumerate(schedule)
            for after in schedule[at + 1 :]
            if before.switch.cpu == after.switch.cpu
        )
        for schedule in product(*batch.places)
    )


def test_only_schedules_with_ordered_places_of_a_vcpu_are_counted() -> None:
    source = Random(1)
    for _ in range(200):
        places = tuple(
            tuple(placed(cpu, at) for at in sorted(source.sample(range(12), source.randint(1, 6))))
            for cpu in source.choices((0, 1), k=source.randint(0, 4))
        )
        batch = Batch(BLOCK, places)
        assert batch.schedules() == counted(batch)
        left = batch.ordered()
        # No schedule is lost, and the judged schedule is a single one.
        assert batch.schedules() == (left.schedules() if left.places or not places else 0)
        if left.places:
            assert counted(Batch(BLOCK, tuple((each,) for each in left.first))) == 1
