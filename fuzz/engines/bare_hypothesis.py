# SPDX-License-Identifier: GPL-2.0-only
"""A peer engine for measurements: a Hypothesis state machine without knowledge of its subject.

Each rule adds an operation of plain integers, laid out as in a record of `fuzz.language.binary`;
`fuzz.language.repair` turns them into programs. The settings are Hypothesis' defaults, except those that would end a
run.
"""

import os
from typing import Any, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ..language.bounds import MAX_OPERATIONS
from ..language.operands import RawOperation
from ..language.operations import Operation
from ..language.program import Program
from ..language.repair import RawSlot, RawVm, Repair, repair_vm
from .unit_run import UnitRun

# Programs per Hypothesis seed: the data that Hypothesis keeps about them grows.
ROUND: Final = 1000

BYTE: Final = st.integers(0, 0xFF)
WORD: Final = st.integers(0, 0xFFFF_FFFF)
LONG: Final = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
VMS: Final = st.tuples(*[BYTE] * 8)
SLOTS: Final = st.tuples(*[BYTE] * 5, st.just(0), st.binary(max_size=8), LONG, WORD, WORD)
OPERATIONS: Final = st.tuples(*[BYTE] * 6, *[LONG] * 3)


class Over(BaseException):
    """The unit's budget is spent; not an `Exception`, which Hypothesis would treat as a failure."""


def machine(unit_run: UnitRun) -> type[RuleBasedStateMachine]:
    """Return the state machine whose programs this unit judges."""

    class Bare(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.repair: Repair | None = None
            self.operations: list[Operation] = []

        @initialize(vm=VMS, slots=st.lists(SLOTS, min_size=1, max_size=8))
        def start(self, vm: tuple[Any, ...], slots: list[tuple[Any, ...]]) -> None:
            self.repair = Repair(repair_vm(RawVm(*vm))[0])
            for slot in slots:
                self.repair.slot(RawSlot(*slot))

        @rule(numbers=OPERATIONS)
        def operation(self, numbers: tuple[Any, ...]) -> None:
            if self.repair is not None and len(self.operations) < MAX_OPERATIONS:
                self.operations.append(self.repair.operation(RawOperation(*numbers)))

        def teardown(self) -> None:
            if self.repair is not None:
                unit_run.judge(Program(self.repair.vm, tuple(self.repair.slots), tuple(self.operations)))
            if unit_run.over():
                raise Over

    return Bare


def drive(unit_run: UnitRun) -> None:
    """Judge the programs that Hypothesis draws from the unit's seed, until its budget is spent."""
    # Hypothesis caches data about modules in a folder. Disable that unless the user names a folder.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.devnull)
    chosen = settings(
        max_examples=ROUND,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    number = unit_run.unit.seed << 32
    try:
        while not unit_run.over():
            run_state_machine_as_test(seed(number)(machine(unit_run)), settings=chosen)
            number += 1
    except Over:
        pass
