# SPDX-License-Identifier: GPL-2.0-only
"""The state machine finds and minimises existing bugs; where there are none, it is silent."""

import io
from contextlib import redirect_stdout
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

import candidate
from fuzz.generation.disturbances import DISTURBANCES
from fuzz.judging.differential import Differential
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.properties import machine
from fuzz.properties.machine import SideBySide, WorseError

from ..good_bad.case import broken
from ..good_bad.test_leak import KeepRoot

FEW: Final = settings(
    max_examples=20,
    stateful_step_count=12,
    derandomize=False,
    database=None,
    deadline=None,
    print_blob=False,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


DIFFERENTIAL: Final = Differential(candidate.get("original"), candidate.get("rfc-v1"))


class Itself(SideBySide):
    candidate = "original"


class Fixed(SideBySide):
    candidate = "rfc-v1-fixed"


class RfcV1(SideBySide):
    candidate = "rfc-v1"


class Leaking(SideBySide):
    candidate = broken(KeepRoot)


class NotCleaned(SideBySide):
    candidate = "rfc-v1"
    # Its other mistakes, which are easier to find.
    accepted = ("regression locking: *", "regression icache: *", "regression page-reference: *")


@pytest.mark.parametrize("version", [Itself, Fixed])
def test_clean(version: type[SideBySide]) -> None:
    run_state_machine_as_test(seed(1)(version), settings=FEW)


def test_every_disturbance_has_a_rule() -> None:
    ruled = (*machine.HOST, *machine.HUGE_PAGES, *machine.AGEING, *machine.LOGGING)
    assert {*ruled, *machine.SLOTS, *machine.TABLES, *machine.CPUS} == set(DISTURBANCES)


def failure(version: type[SideBySide], chosen: settings) -> tuple[str, Program]:
    """Run the machine; return the first line of its error, and the program."""
    with redirect_stdout(io.StringIO()), pytest.raises(WorseError) as caught:
        run_state_machine_as_test(seed(3)(version), settings=chosen)
    error = str(caught.value)
    return error.splitlines()[0], parse(error[error.index("s2fuzz 1\n") :])


def test_a_leak_at_destruction_is_reported() -> None:
    """It is detected after the last step."""
    key, program = failure(Leaking, FEW)
    assert key.startswith("regression leak: ")
    assert len(program.operations) <= 1


def test_a_finding_of_rfc_v1_shrinks_to_one_operation() -> None:
    key, program = failure(RfcV1, FEW)
    assert len(program.operations) == 1
    assert key in DIFFERENTIAL.run(program).titles()


def test_missing_clean_of_rfc_v1_is_found_among_accepted_findings() -> None:
    key, program = failure(NotCleaned, settings(FEW, max_examples=300, phases=[Phase.generate]))
    assert key.startswith("regression dcache: stage2_map_walker: ")
    assert key in DIFFERENTIAL.run(program).titles()
