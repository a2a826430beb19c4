# SPDX-License-Identifier: GPL-2.0-only
"""Planted bugs: each shows on a small program, with its own signature first, and not on its base version."""

import json
import re
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.bugs import BUGS, Bug
from fuzz.benchmark.effort import NOTHING
from fuzz.command_line import cli
from fuzz.judging.differential import Differential
from fuzz.language.program import Program
from fuzz.language.text import load, parse
from reference.mmu import Mmu
from reference.pgtable import Pgtable

PROGRAMS: Final = Path(__file__).parent.parent / "data" / "bugs"
each_bug = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)


def program(bug: Bug) -> Program:
    """Return the small program that shows a bug."""
    return load(PROGRAMS / f"{bug.name}.s2")


@each_bug
def test_shows_its_signature_as_a_regression(bug: Bug) -> None:
    """All other findings are regressions too: further effects of the bug."""
    found = Differential(candidate.get(bug.base), candidate.get(bug.name)).run(program(bug)).titles()
    assert found[0] == f"regression {bug.signature}"
    assert all(kind.startswith("regression ") for kind in found)


@each_bug
def test_shows_nothing_on_its_base(bug: Bug) -> None:
    base = candidate.get(bug.base)
    assert Differential(base, base).run(program(bug)).titles() == []


@each_bug
def test_shows_nothing_in_the_first_program_of_a_trial(bug: Bug) -> None:
    assert Differential(candidate.get(bug.base), candidate.get(bug.name)).run(parse(NOTHING)).titles() == []


@each_bug
def test_is_small_and_planted_in_its_base(bug: Bug) -> None:
    """A planted bug overrides one function of one of the three files."""
    base = candidate.get(bug.base)
    assert bug.pgtable.__bases__ == (base.pgtable,)
    assert bug.mmu.__bases__ == (base.mmu,)
    assert bug.tlb is base.tlb or bug.tlb.__bases__ == (base.tlb,)
    own = {**vars(bug.pgtable), **vars(bug.mmu), **(vars(bug.tlb) if bug.tlb is not base.tlb else {})}
    changed = [name for name, value in own.items() if callable(value) and not hasattr(object, name)]
    assert len(changed) == 1, changed


def test_each_has_a_program_of_its_own() -> None:
    assert sorted(path.stem for path in PROGRAMS.iterdir()) == sorted(bug.name for bug in BUGS)


def test_is_found_by_name_only() -> None:
    """Code that iterates over all versions does not see the bugs."""
    for bug in BUGS:
        assert candidate.get(bug.name).mmu is bug.mmu
        assert bug.base in candidate.names()
        assert re.fullmatch(r"bug-[a-z]+(-[a-z]+)*", bug.name)
    assert not {bug.name for bug in BUGS} & set(candidate.names())
    with pytest.raises(ValueError, match="already"):
        candidate.register(BUGS[0].name, Pgtable, Mmu, "taken")
    with pytest.raises(candidate.UnknownCandidateError, match=r"^no version 'bug-x'; there are: bug-"):
        candidate.get("bug-x")


def test_listed_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    assert "bug-" not in capsys.readouterr().out
    assert cli.main(["list", "--bugs"]) == 0
    shown = capsys.readouterr().out
    for bug in BUGS:
        assert f"{bug.name} " in shown
        assert f"--reference {bug.base}: {bug.signature}" in shown
    assert cli.main(["list", "--bugs", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["signature"]) for each in answer["bugs"]] == [(bug.name, bug.signature) for bug in BUGS]
