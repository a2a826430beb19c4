# SPDX-License-Identifier: GPL-2.0-only
"""The Hypothesis engine:

it makes valid programs of every kind, is repeatable, shrinks findings, and leaves no files.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings

from fuzz.command_line.cli import main
from fuzz.engines import registry
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Message, Result, Unit, UnitState
from fuzz.exit_codes import BAD_INPUT
from fuzz.findings.found import CRASH
from fuzz.language.operations import OPERATIONS, GuestAccess, Par, is_vcpu
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.language.validate import validate
from fuzz.properties.choices import Choices
from fuzz.properties.strategies import programs

from ..run_here import run_here

UNIT: Final = Unit("hypothesis", "original", "rfc-v1", 1, programs=40)
ROOT: Final = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the settings that an engine changes in this process."""
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", os.devnull)


def drawn(count: int, corpus: tuple[Program, ...] = ()) -> list[Program]:
    """Draw this many programs from the strategy."""
    made: list[Program] = []

    @seed(1)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=False,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(corpus=corpus))
    def draw(program: Program) -> None:
        made.append(program)

    draw()
    return made


def done(unit: Unit) -> Result:
    """Run a unit in this process."""
    result = Result(unit)
    run_here(unit, result.record)
    return result


def comparable(result: Result) -> list[tuple[str, str, int, int]]:
    return [(key, record.text, record.number, record.count) for key, record in sorted(result.found.items())]


def test_programs_are_valid_and_have_every_kind_of_operation() -> None:
    made = drawn(300)
    for program in made:
        validate(program)
    assert {type(operation) for program in made for operation in program.operations} == {*OPERATIONS, Par}
    assert max(len(program.operations) for program in made) > 15


def blocks_of(program: Program) -> list[Par]:
    return [each for each in program.operations if isinstance(each, Par)]


def test_some_programs_have_blocks() -> None:
    made = [block for program in drawn(300) for block in blocks_of(program)]
    assert 20 < len(made) < 100
    assert {len(block.switches) > 0 for block in made} == {True, False}
    assert {all(map(is_vcpu, block.actors)) for block in made} == {True, False}


def test_blocks_shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Omit the operations before the block to save time."""
    monkeypatch.setattr("fuzz.properties.strategies.compose", lambda builder: None)

    def beside_the_host(program: Program) -> bool:
        """Return whether somewhere a vCPU yields to an actor that is not a vCPU."""
        blocks = blocks_of(program)
        return any(is_vcpu(each.cpu) and not is_vcpu(each.to) for block in blocks for each in block.switches)

    chosen = settings(max_examples=400, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    small = find(programs(), beside_the_host, settings=chosen, random=random.Random(1))
    (block,) = blocks_of(small)
    assert len(block.operations) == 2
    assert len(block.switches) == 1
    assert any(isinstance(each, GuestAccess) for each in block.operations)


def test_changed_programs_of_a_corpus_are_valid() -> None:
    corpus = tuple(program for program in drawn(40) if len(program.operations) > 10)
    names = {slot.ipa for program in corpus for slot in program.slots}
    made = drawn(100, corpus)
    for program in made:
        validate(program)
    assert not set(made) <= set(corpus)
    assert sum(any(slot.ipa in names for slot in program.slots) for program in made) > 20


def test_choices_are_in_range() -> None:
    choices = Choices(random.Random(1))
    assert {choices.choice("abc") for _ in range(100)} == set("abc")
    assert {choices.randrange(2, 10, 3) for _ in range(100)} == {2, 5, 8}
    assert all(0 <= choices.random() < 1 for _ in range(100))
    assert sorted(choices.sample(range(5), 5)) == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def undisturbed() -> Result:
    return done(UNIT)


def test_a_unit_ends_after_its_number_of_programs(undisturbed: Result) -> None:
    assert undisturbed.state.programs == UNIT.programs
    assert undisturbed.state.ended
    assert not [record for record in undisturbed.found.values() if record.kind == CRASH]


@pytest.mark.parametrize("ci", ["true", ""])
def test_a_child_does_the_same_and_leaves_nothing(
    undisturbed: Result,
    ci: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Check that loaded modules, Hypothesis settings and the hash seed have no influence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.delenv("HYPOTHESIS_STORAGE_DIRECTORY")
    assert comparable(run_unit(UNIT)) == comparable(undisturbed)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_findings_are_shrunk_and_later_ones_still_found() -> None:
    result = run_unit(Unit("hypothesis", "original", "rfc-v1", 2, programs=120))
    sizes = [len(parse(record.text).operations) for record in result.found.values() if record.kind == "regression"]
    assert len(sizes) > 1
    assert min(sizes) == 1


def test_a_unit_ends_with_the_finding_that_it_looks_for(undisturbed: Result) -> None:
    (first, *_) = (key for key in undisturbed.found if key.startswith("regression"))
    result = done(Unit("hypothesis", "original", "rfc-v1", 1, programs=1000, until=first))
    assert first in result.found
    assert result.state.programs == result.found[first].number


def test_time_ends_a_unit() -> None:
    told: list[Message] = []
    run_here(Unit("hypothesis", "original", "rfc-v1", 1, seconds=1e-9), told.append)
    assert isinstance(told[-1], UnitState)
    assert told[-1].programs == 0


def test_programs_that_cannot_be_made_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no program")

    monkeypatch.setattr("fuzz.properties.strategies.compose", fail)
    monkeypatch.delenv("S2FUZZ_DEBUG", raising=False)
    result = done(Unit("hypothesis", "original", "rfc-v1", 1, programs=3))
    (record,) = result.found.values()
    assert (record.kind, record.count) == (CRASH, 3)
    assert "no program" in record.reason


def test_a_missing_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    out = ["--out", str(tmp_path / "out"), "--programs", "1"]
    assert main(["fuzz", "--candidate", "rfc-v1", "--engine", "hypothesis", *out]) == BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install -e '.[hypothesis]'" in line
    assert not (tmp_path / "out").exists()


def test_other_engines_do_not_import_hypothesis() -> None:
    code = "import sys, fuzz.engines.registry as r; r.engine_of('random').drive(); print('hypothesis' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
