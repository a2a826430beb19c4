# SPDX-License-Identifier: GPL-2.0-only
"""Steps that may change places, and those that may not."""

from collections.abc import Hashable
from typing import Final

import pytest

from fuzz.exploring.exploring import Placed, behind, longer
from fuzz.exploring.footprints import ActorStep, independent
from fuzz.language.operations import GuestAccess, Par, Switch

BLOCK: Final = Par((GuestAccess(0, "write", "a", 0), GuestAccess(1, "write", "a", 0)))


def step(actor: int, reads: str = "", writes: str = "", everything: bool = False) -> ActorStep:
    """A step that touches things of one letter each."""
    ours: frozenset[Hashable] = frozenset(reads)
    return ActorStep(actor, 0, ours, frozenset(writes), False, everything)


@pytest.mark.parametrize(
    ("ours", "theirs", "free"),
    [
        ([step(1, "a")], [step(2, "a")], True),
        ([step(1, "a", "b")], [step(2, "a", "c")], True),
        ([step(1, "a")], [step(2, "", "a")], False),
        ([step(1, "", "a")], [step(2, "a")], False),
        ([step(1, "", "a")], [step(2, "", "a")], False),
        ([step(1, "", "a"), step(1, "b")], [step(2, "c"), step(2, "", "b")], False),
        ([step(1)], [step(2, everything=True)], False),
        ([step(1, everything=True)], [step(2)], False),
        ([], [step(2, everything=True)], True),
        ([step(1, everything=True)], [], True),
    ],
)
def test_independent(ours: list[ActorStep], theirs: list[ActorStep], free: bool) -> None:
    assert independent(ours, theirs) is free
    assert independent(theirs, ours) is free


def placed(cpu: int, at: int) -> Placed:
    return Placed(Switch(cpu, 1 - cpu, "after", "load", at), (at, at))


def test_a_place_is_behind_the_switches_of_its_own_vcpu() -> None:
    schedule = (placed(0, 3), placed(1, 5))
    assert behind(schedule, placed(0, 4))
    assert not behind(schedule, placed(0, 3))
    assert not behind(schedule, placed(1, 4))
    assert behind((), placed(1, 1))


def test_longer_schedules_are_those_that_there_are() -> None:
    """Of two schedules that are the same, the later one has not all of the further places of the first."""
    same = [(placed(0, 3),), (placed(0, 5),)]
    (batch,) = longer(BLOCK, same, [placed(0, 4), placed(0, 6)])
    assert batch.first == (placed(0, 3), placed(0, 4))
    assert list(batch.others) == [(placed(0, 3), placed(0, 6)), (placed(0, 5), placed(0, 6))]
