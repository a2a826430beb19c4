# SPDX-License-Identifier: GPL-2.0-only
"""Operations that par blocks may contain are generated there, and are known to the tables that concern blocks alone.

docs/how-to/operation.md tells a contributor what to do when a test here fails.
"""

from dataclasses import fields
from random import Random
from typing import Any, Final, cast

import pytest

from fuzz.execution.order import changes_slots, takes_logs, writes
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.language import operations as ops
from fuzz.language.lock_rules import LOCK_RULES
from fuzz.language.operations import Par, Threaded, actors_of, plain
from fuzz.scheduling.usual_steps import ATOMIC, usual_steps_of

ALLOWED: Final = tuple(kind for rule in LOCK_RULES if rule.allowed for kind in rule.kinds)
THREADED: Final = tuple(kind for kind in ALLOWED if kind is not ops.GuestAccess)
# Operations that the generator does not put into blocks: programs that people write may contain them.
NOT_GENERATED: Final = (ops.HostWriteback, ops.ClearLog)
PROGRAMS: Final = 1000
# Operations without steps of their own in a block: they neither notify KVM nor call it for ages or logs.
SINGLE_STEP: Final = (
    *(ops.HostWrite, ops.HostWriteback, ops.Speculate, ops.Evict),
    *(ops.SlotCreate, ops.SlotDelete, ops.SlotMove),
)
# Every other operation of these blocks leaves the contents of pages, the pages, the logs and the slots as they were.
WRITES: Final = (ops.HostWrite, ops.HostWriteback, ops.HostDiscard, ops.HostReap)
TAKES_AWAY: Final = (ops.HostUnmap, ops.HostPoison)
CHANGES_LOG: Final = (ops.SetLog, ops.GetLog, ops.ClearLog)
CHANGES_SLOT: Final = (ops.SlotCreate, ops.SlotDelete, ops.SlotMove)
KEEPS: Final = (
    *(ops.HostCollapse, ops.HostSplit, ops.HostMigrate, ops.HostShare, ops.HostMerge, ops.HostAge, ops.HostTestAge),
    *(ops.Speculate, ops.Evict),
)
VALUES: Final[dict[str, Any]] = {"slot": "a", "offset": 0, "size": 4096, "cpu": 0, "ipa": 1 << 30, "prot": "r"}


def one_of(kind: type) -> Threaded:
    """Return an operation of a class, run by an actor that may run it."""
    operation = kind(**{field.name: VALUES.get(field.name, False) for field in fields(kind)})
    return Threaded((actors_of(operation) or range(1))[0], cast("ops.ByThread", operation))


@pytest.fixture(scope="module")
def generated() -> frozenset[type]:
    generator = Generator(1, offers=Offers(par=True))
    made = (each for _ in range(PROGRAMS) for each in generator.next().operations)
    return frozenset(type(plain(each)) for block in made if isinstance(block, Par) for each in block.operations)


@pytest.mark.parametrize("kind", THREADED, ids=lambda kind: kind.__name__)
def test_the_generator_puts_it_into_blocks(kind: type, generated: frozenset[type]) -> None:
    assert (kind in generated) != (kind in NOT_GENERATED), (
        f"{kind.__name__}: no block among {PROGRAMS} programs has one: add a function to MAKES in "
        "fuzz/generation/threads.py, or put it into NOT_GENERATED of this file, which names only such operations"
    )


@pytest.mark.parametrize("kind", THREADED, ids=lambda kind: kind.__name__)
def test_its_usual_steps_are_known(kind: type) -> None:
    single = [step.point for step in usual_steps_of([one_of(kind)], Random(1))] == [ATOMIC]
    assert single == (kind in SINGLE_STEP), (
        f"{kind.__name__}: if it notifies KVM, or asks for ages, put it into _NOTIFYING or _AGEING of "
        "fuzz/scheduling/usual_steps.py; otherwise into SINGLE_STEP of this file"
    )


@pytest.mark.parametrize("kind", THREADED, ids=lambda kind: kind.__name__)
def test_what_it_leaves_behind_is_known(kind: type) -> None:
    groups = (WRITES, TAKES_AWAY, CHANGES_LOG, CHANGES_SLOT, KEEPS)
    assert sum(kind in group for group in groups) == 1, (
        f"{kind.__name__}: what depends on the order of a block that has one? Put it into one of WRITES, TAKES_AWAY, "
        "CHANGES_LOG, CHANGES_SLOT and KEEPS of this file; unless into KEEPS, also into fuzz/execution/order.py or "
        "fuzz/execution/unsettled.py"
    )
    each = one_of(kind)
    block = Par((each,))
    assert writes(each.operation) == (kind in WRITES), f"{kind.__name__}: writes() of fuzz/execution/order.py"
    assert takes_logs(block) == (kind in CHANGES_LOG + CHANGES_SLOT), (
        f"{kind.__name__}: takes_logs() of fuzz/execution/order.py"
    )
    assert bool(changes_slots(block)) == (kind in CHANGES_SLOT), (
        f"{kind.__name__}: changes_slots() of fuzz/execution/order.py"
    )
