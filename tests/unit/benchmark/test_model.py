# SPDX-License-Identifier: GPL-2.0-only
"""The cost model is recovered from costs that it generated; programs are counted on both sides."""

import random

import pytest

from fuzz.benchmark.mix import Mix
from fuzz.benchmark.model import TERMS, fitted, grouped, least_squares, solved


def made(factors: list[float], count: int = 50) -> tuple[list[list[float]], list[float]]:
    """Return programs of random sizes, and the seconds that a model gives for them."""
    lot = random.Random(1)
    rows = [[1.0, *(float(lot.randrange(10**power)) for power in (2, 4, 5, 6))] for _ in range(count)]
    return rows, [sum(each * factor for each, factor in zip(row, factors, strict=True)) for row in rows]


def test_equations_are_solved() -> None:
    assert solved([[0.0, 2.0], [4.0, 0.0]], [6.0, 2.0]) == pytest.approx([0.5, 3.0])
    # The second unknown is twice the first: one of them suffices.
    assert solved([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0]) in ([1.0, 0.0], [0.0, 0.5])


def test_a_model_is_recovered() -> None:
    factors = [2e-4, 2e-5, 8e-7, 4e-8, 2e-8]
    found = fitted(*made(factors))
    assert [found[term] for term in TERMS] == pytest.approx([1e6 * factor for factor in factors], rel=0.01)
    assert found["fit"] == 100


def test_no_term_is_negative() -> None:
    rows, seconds = made([2e-4, 2e-5, 8e-7, -4e-9, 0.0])
    found = least_squares(rows, seconds)
    assert min(found) == 0
    assert found[2] == pytest.approx(8e-7, rel=0.05)


def test_a_fit_reports_the_share_explained() -> None:
    rows, seconds = made([2e-4, 2e-5, 8e-7, 4e-8, 2e-8])
    lot = random.Random(2)
    found = fitted(rows, [each * lot.choice((0.5, 1.5)) for each in seconds])
    assert 0 < found["fit"] < 95


def test_areas_in_groups() -> None:
    areas = {
        "pgtable port": 20.0,
        "candidate": 1.0,
        "machine": 9.0,
        "checker tlb": 30.0,
        "checkers, event dispatch": 5.0,
    }
    assert grouped({**areas, "executor": 35.0}) == {
        "kernel code": 21.0,
        "kernel layer, machine": 9.0,
        "checkers": 35.0,
        "the rest": 35.0,
    }
    assert grouped({}) == {}


def test_the_counts_of_programs_and_the_capped_mix() -> None:
    mix = Mix(40)
    mix.run(0, 40)
    rows = mix.counts()
    assert len(rows) == len(mix.spending()) == 40
    assert sum(row[1] for row in rows) == sum(len(program.operations) for program in mix.programs)
    # Both VMs have at least one table, and each creation has events.
    assert all(row[0] == 1 and row[2] > 10 and row[4] >= 1024 for row in rows)
    assert min(mix.spending()) > 0
    capped = mix.capped()
    assert 0 < capped["changed"] < 20
    assert capped["operations"] == sum(row[1] for row in rows)
