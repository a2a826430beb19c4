# SPDX-License-Identifier: GPL-2.0-only
"""The program that measures the cost of a switch."""

import candidate
from fuzz.benchmark.switching import cost, programs, run


def test_one_program_has_the_switches_and_the_other_has_none() -> None:
    version = candidate.get("original")
    switching, straight = programs()
    turns = [run(version, program, True)[1] for program in (switching, straight)]
    assert turns[0] - turns[1] == len(switching.operations[0].switches) == 16  # type: ignore[union-attr]


def test_a_switch_costs_something() -> None:
    assert 0 < cost(candidate.get("original")) < 10_000
