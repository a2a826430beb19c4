# SPDX-License-Identifier: GPL-2.0-only
"""The repair of par blocks, from any numbers to a valid one: its operations one by one, then its switches.

* An operation that blocks do not run becomes a guest access.
* A switch is between two actors of the block, at a point of the first one. A switch that is impossible, or that
  repeats the place of an earlier one, is left out.
* Where no valid block is possible (one actor, two vCPUs on one CPU), its operations follow each other.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, NamedTuple, cast

from .lock_rules import COUNTS, FAULTS, MAX_ACCESSES, MAX_SWITCHES, RULE_OF
from .operands import RawOperation, fit
from .operations import (
    MOMENTS,
    ONLY_AFTER,
    POINTS,
    STEPS_OF_HOST,
    Concurrent,
    GuestAccess,
    Operation,
    Par,
    Switch,
    Threaded,
    actors_of,
    fail_of,
    plain,
    points_of,
)
from .program import ProgramError
from .repair import Repair

# A switch whose number is out of range gets one from 1 to this: few calls make so many steps of a kind.
_DRAWN: Final = 999
# The maximum number of records of a block.
RECORDS: Final = MAX_ACCESSES + MAX_SWITCHES


class RawSwitch(NamedTuple):
    """A switch as numbers: actors are those of `Switch`, *point* and *when* indices of `POINTS` and `MOMENTS`."""

    point: int
    cpu: int
    to: int
    when: int
    number: int
    fault: int


def repair_block(repair: Repair, operations: list[RawOperation], switches: Iterable[RawSwitch]) -> list[Operation]:
    """Return the block that operations and switches encode, or else its operations one after the other.

    :param repair: the repair of the preceding statements
    :param operations: no more than `MAX_ACCESSES`
    """
    if len(operations) < 2:
        return [repair.operation(raw) for raw in operations]
    state = repair.state
    before = state.snapshot()
    taken = tuple(_concurrent(repair, raw) for raw in operations)
    state.restore(before)
    block = scheduled(Par(taken), switches)
    try:
        state.check(block)
    except ProgramError:
        alone = [plain(each) for each in taken]
        for each in alone:
            state.check(each)
        return list(alone)
    return [block]


def _concurrent(repair: Repair, raw: RawOperation) -> Concurrent:
    """Return the operation that numbers encode, or the nearest that is legal now and in a block."""
    for operation in repair.attempts(raw):
        each = by_actor(operation, raw.actor)
        if each is None:
            continue
        try:
            repair.state.check(plain(each))
        except ProgramError:
            continue
        return each
    raise AssertionError("a guest access is always legal")


def by_actor(operation: Operation, number: int) -> Concurrent | None:
    """Return an operation as one of a block; None: blocks do not run it.

    :param number: the number of the thread that runs it, among threads of its kind
    """
    rule = RULE_OF.get(type(operation))
    if rule is None or not rule.allowed:
        return None
    if isinstance(operation, GuestAccess):
        return operation if operation.fail is None else replace(operation, fail=None)
    done: Any = operation if fail_of(operation) is None else replace(cast(Any, operation), fail=None)
    actors = actors_of(done)
    assert actors is not None
    return Threaded(actors[number % len(actors)], done)


def scheduled(block: Par, switches: Iterable[RawSwitch]) -> Par:
    """Return the block with the switches that numbers encode, the first at each place."""
    found: dict[tuple[int, str, str, int, int], Switch] = {}
    for raw in switches:
        switch = _switch(raw, block.actors)
        if switch is not None:
            found.setdefault(switch.anchor, switch)
    return replace(block, switches=tuple(found.values())[:MAX_SWITCHES])


def _switch(raw: RawSwitch, cpus: tuple[int, ...]) -> Switch | None:
    """Return the switch that numbers encode, from one of the given actors to another; None: there is none."""
    cpu = raw.cpu if raw.cpu in cpus else cpus[raw.cpu % len(cpus)]
    others = [each for each in cpus if each != cpu]
    points = points_of(cpu)
    if not others or not points:
        return None
    to = raw.to if raw.to in others else others[raw.to % len(others)]
    point: Any = POINTS[raw.point % len(POINTS)]
    if point not in points:
        point = points[raw.point % len(points)]
    when: Any = "after" if point in ONLY_AFTER else MOMENTS[raw.when % len(MOMENTS)]
    of_block = point == "fault" or point in STEPS_OF_HOST
    count = raw.number
    if count not in (FAULTS if of_block else COUNTS):
        count = fit(raw.number, 1, FAULTS[-1] if of_block else _DRAWN)
    return Switch(cpu, to, when, point, count, 1 if of_block else fit(raw.fault, 1, FAULTS[-1]))
