# SPDX-License-Identifier: GPL-2.0-only
"""Memory growth of engines: the memory of each installed engine is sampled, and growth is distinguished from noise."""

import pytest

from fuzz.benchmark.growth import measure, measure_engine, sample_at, slope, text


def test_the_slope_of_a_line() -> None:
    assert slope([(at / 2, 1000 + 3 * at) for at in range(10)]) == pytest.approx(6.0)
    assert slope([(at, 1000 + 50 * (at % 2)) for at in range(200)]) == pytest.approx(0, abs=0.1)
    # The last samples have large programs.
    large = {80: 100_000, 95: 100_000, 98: 100_000}
    assert slope([(at, 1000 + 3 * at + large.get(at, 0)) for at in range(100)]) == pytest.approx(3.0)
    assert slope([(1.0, 5)]) == slope([(1.0, 5), (1.0, 6)]) == 0


def test_the_memory_of_an_engine_is_sampled_while_it_runs() -> None:
    found = measure_engine("random", 2.0)
    assert found["missing"] == ""
    assert found["programs"] > 0
    assert len(found["looks"]) >= 2
    # A process with all checkers, and this process.
    assert all(engine > 10_000 and own > 10_000 for _, engine, own in found["looks"])
    shown = text({"seconds": 2.0, "candidate": "rfc-v1", "python": "3", "engines": {"random": found}})
    assert f"random ({found['programs']})" in shown


def test_one_engine_alone() -> None:
    found = measure(0.5, ["random"])
    assert list(found["engines"]) == ["random"]
    assert found["engines"]["random"]["programs"] > 0


def test_an_engine_that_is_not_installed_is_named() -> None:
    engines = {"atheris": {"programs": 0, "missing": "atheris: no such package", "looks": [], "growth": 0.0}}
    shown = text({"seconds": 2.0, "candidate": "rfc-v1", "python": "3", "engines": engines})
    assert shown.endswith("atheris: no such package\n")


def test_the_last_sample_before_a_time() -> None:
    looks = [(1.0, 10, 1), (2.0, 20, 1), (3.0, 30, 1)]
    assert [sample_at(looks, seconds)[1] for seconds in (0.5, 1.0, 2.9, 9.0)] == [10, 10, 20, 30]
    assert sample_at([], 1.0) == (0.0, 0, 0)
