# SPDX-License-Identifier: GPL-2.0-only
"""Random schedules: legal, the same for the same random source, and of the form that a strategy promises."""

from itertools import pairwise
from random import Random
from typing import Final

import pytest

from fuzz.language.operations import (
    HARDWARE,
    HOSTS,
    USERS,
    AccessKind,
    GetLog,
    GuestAccess,
    HostAge,
    HostDiscard,
    HostMigrate,
    HostWrite,
    Par,
    Speculate,
    Switch,
    Threaded,
    is_host,
)
from fuzz.language.program import Program, Slot, Vm
from fuzz.language.text import parse, print_program
from fuzz.language.validate import validate
from fuzz.scheduling.partial_order import sampled, with_few_turns
from fuzz.scheduling.steps import STEPS
from fuzz.scheduling.strategies import (
    Strategy,
    aimed,
    any_strategy,
    beside_others,
    no_switches,
    pct,
    pos,
    random_switches,
)
from fuzz.scheduling.usual_steps import ATOMIC, UsualStep, usual_steps_of

VM: Final = Vm(cpus=3)
SLOT: Final = Slot("a", 1 << 30, 4 << 20, "anon", log=True)
STRATEGIES: Final[dict[str, Strategy]] = {
    "none": no_switches,
    "random": random_switches,
    "pct 1": pct(1),
    "pct 3": pct(3),
    "pct 9": pct(9),
    "pos": pos,
    "aimed": aimed,
    "any": any_strategy,
}
TRIES: Final = 300


def access(cpu: int, kind: AccessKind = "write", offset: int = 0) -> GuestAccess:
    return GuestAccess(cpu, kind, "a", offset)


BESIDE: Final = Par((access(1), Threaded(HOSTS[0], HostDiscard("a", 0, 4096)), access(0, "read")))
TWO: Final = Par((access(0), access(1)), (Switch(0, 1, "after", "fault", 1),))
MANY: Final = Par(
    (
        access(1),
        Threaded(HOSTS[1], HostWrite("a", 0, 4096)),
        Threaded(HOSTS[0], HostAge("a", 0, 4096)),
        Threaded(HARDWARE[0], Speculate(0, "a", 0)),
        Threaded(HOSTS[0], HostMigrate("a", 0, 4096)),
        Threaded(USERS[0], GetLog("a")),
        Threaded(HOSTS[0], HostDiscard("a", 0, 4096)),
    )
)
THREE: Final = Par((access(2), access(0, "read"), access(1), access(2, "fetch", 4096), access(2)))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("block", [TWO, THREE, BESIDE, MANY], ids=["two", "three", "beside", "many"])
def test_schedules_are_legal_and_repeatable(name: str, block: Par) -> None:
    strategy = STRATEGIES[name]
    for seed in range(TRIES):
        made = strategy(block, Random(seed))
        program = Program(VM, (SLOT,), (made,))
        validate(program)
        assert parse(print_program(program)) == program
        assert made == strategy(block, Random(seed))
        # The operations of each vCPU are unchanged.
        for cpu in block.actors:
            assert [each for each in made.operations if each.cpu == cpu] == [
                each for each in block.operations if each.cpu == cpu
            ]


def test_without_switches_there_are_none() -> None:
    assert no_switches(TWO, Random(1)) == Par(TWO.operations)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_pct_has_one_preemption_less_than_its_depth(depth: int) -> None:
    """Check that the first vCPU is preempted first, then the one that continued, and so on."""
    for seed in range(TRIES):
        made = pct(depth)(THREE, Random(seed))
        assert len(made.switches) == depth - 1
        order = made.actors
        for number, switch in enumerate(made.switches):
            assert (switch.cpu, switch.to) == (order[number % 3], order[(number + 1) % 3])


def test_pct_reaches_every_step_of_a_fault_with_every_vcpu_first() -> None:
    found = [pct(2)(TWO, Random(seed)).switches[0] for seed in range(20 * TRIES)]
    assert {(each.cpu, each.when, each.point) for each in found} == {
        (cpu, step.when, step.point) for cpu in (0, 1) for step in STEPS
    }


@pytest.mark.parametrize("block", [TWO, THREE], ids=["two", "three"])
def test_aimed_schedules_have_all_vcpus_in_a_fault(block: Par) -> None:
    points = set()
    for seed in range(TRIES):
        made = aimed(block, Random(seed))
        others = len(block.actors) - 1
        taken, rest = made.switches[:others], made.switches[others:]
        assert [(each.cpu, each.point, each.count) for each in taken] == [(cpu, "fault", 1) for cpu in made.actors[:-1]]
        assert rest[0].cpu == made.actors[-1]
        points |= {(each.when, each.point) for each in rest}
    assert {("before", "cmpxchg"), ("after", "cmpxchg"), ("after", "lookup"), ("after", "unlock")} < points


def test_schedules_with_the_host_overtake_a_look_up() -> None:
    made = [beside_others(BESIDE, Random(seed)) for seed in range(TRIES)]
    first = [each.switches[0] for each in made]
    assert {each.cpu for each in first} == {0, 1, HOSTS[0]}
    looked = [each for each in first if (each.when, each.point) in (("after", "lookup"), ("before", "lock"))]
    assert len(looked) > TRIES // 4
    assert {each.point for each in first if is_host(each.cpu)} > {"start", "change"}
    # The strategy does not apply to two vCPUs alone.
    assert beside_others(TWO, Random(1)) == random_switches(TWO, Random(1))


def test_random_schedules_differ() -> None:
    made = [random_switches(THREE, Random(seed)) for seed in range(TRIES)]
    assert {each.actors[0] for each in made} == {0, 1, 2}
    assert {len(each.switches) for each in made} == {1, 2, 3, 4}
    assert len({each.switches for each in made}) > TRIES * 9 // 10


def test_every_strategy_is_drawn() -> None:
    made = [any_strategy(TWO, Random(seed)) for seed in range(TRIES)]
    assert any(not each.switches for each in made)
    # A switch before the first access of a block is at a fault; no aimed schedule begins with one.
    assert any(each.switches and each.switches[0].point != "fault" for each in made)
    assert any(each.switches and each.switches[0].point == "fault" for each in made)


def drawn(block: Par, source: Random) -> list[list[UsualStep]]:
    """Draw the steps of each actor of a block."""
    return [usual_steps_of([each for each in block.operations if each.cpu == cpu], source) for cpu in block.actors]


def test_few_turns_keep_the_order_of_steps_that_race() -> None:
    turns = {False: 0, True: 0}
    for seed in range(TRIES):
        source = Random(seed)
        # Half of the blocks have a thread of the host.
        block = BESIDE if seed & 1 else THREE
        actors = drawn(block, source)
        order = sampled(actors, source)
        again = with_few_turns(actors, order)
        assert sorted(order) == sorted(again)
        for one in (order, again):
            for actor, steps in enumerate(actors):
                assert [index for each, index in one if each == actor] == list(range(len(steps)))
            turns[one is again] += sum(before[0] != after[0] for before, after in pairwise(one))
        place = {each: at for at, each in enumerate(again)}
        for at, (actor, index) in enumerate(order):
            for other, place_in in order[at + 1 :]:
                if other != actor and actors[actor][index].races(actors[other][place_in]):
                    assert place[actor, index] < place[other, place_in]
    assert turns[True] < turns[False] * 9 // 10


def test_partial_order_sampling_reaches_both_orders_of_steps_that_race() -> None:
    """Check that each of two exchanges of one entry comes first in many samples, and each of two locks as well."""
    firsts: dict[str, list[int]] = {"lock": [], "cmpxchg": []}
    for seed in range(TRIES):
        source = Random(seed)
        actors = drawn(TWO, source)
        order = sampled(actors, source)
        for point, found in firsts.items():
            found.append(next(actor for actor, index in order if actors[actor][index].point == point))
    for found in firsts.values():
        assert TRIES // 3 < sum(found) < TRIES * 2 // 3


def test_partial_order_sampling_knows_the_steps_of_threads() -> None:
    """Check that KVM calls and stepped operations are numbered as in a block; an operation of one step has no place."""
    by_actor = dict(zip(MANY.actors, drawn(MANY, Random(1)), strict=True))
    host = [(each.point, each.number, each.fault) for each in by_actor[HOSTS[0]]]
    call = ("lock", "load", "store", "flush", "unlock")
    change = ("change", 1, 1), ("end", 1, 1), ("lock", 1, 3), ("unlock", 1, 3)
    assert host[:5] == [(point, 1, 1) for point in call]
    assert host[5:15] == [("start", 1, 1), *[(point, 1, 2) for point in call], *change]
    assert host[15:21] == [("start", 1, 2), *[(point, 1, 4) for point in call]]
    assert [each.point for each in by_actor[USERS[0]]] == list(call)
    for actor in (HARDWARE[0], HOSTS[1]):
        assert [each.point for each in by_actor[actor]] == [ATOMIC]


def test_partial_order_sampling_changes_a_page_before_and_after_its_look_up() -> None:
    block = Par((access(1), Threaded(HOSTS[0], HostDiscard("a", 0, 4096))))
    first: list[bool] = []
    stopped = set()
    for seed in range(TRIES):
        actors = drawn(block, Random(seed))
        order = sampled(actors, Random(seed))
        points = [actors[actor][index].point for actor, index in order]
        first.append(points.index("change") < points.index("lookup"))
        stopped |= {(is_host(each.cpu), each.point) for each in pos(block, Random(seed)).switches}
    assert TRIES // 8 < sum(first) < TRIES * 7 // 8
    assert {(True, "change"), (True, "lock"), (False, "lookup"), (False, "lock")} < stopped
