# SPDX-License-Identifier: GPL-2.0-only
"""The candidates of docs/bugs-found.md: each cures its bug and adds no regression."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate import Candidate
from fuzz.generation.generator import Generator
from fuzz.judging.differential import COMMON, CURED, REGRESSION, Differential
from fuzz.judging.finding import Finding
from fuzz.language.program import Program
from fuzz.language.text import load, parse

from ..console import ROOT
from ..pages import blocks

PAGE: Final = ROOT / "docs" / "bugs-found.md"
ORIGINAL: Final = "original"
# Number of random programs for each fix.
PROGRAMS: Final = 60


class Fix(NamedTuple):
    """A proposed fix.

    :param shown: beginnings of the signatures that it cures
    :param programs: programs that show these signatures
    """

    shown: tuple[str, ...]
    programs: list[Program]


def examples(words: str) -> list[Program]:
    """Return the programs of the page that contain these words."""
    return [parse(block.text) for block in blocks(PAGE) if block.language == "s2" and words in block.text]


FIXES: Final = {
    "p1-fixed": Fix(
        ("progress: ",),
        [
            load(ROOT / "corpus" / "regressions" / f"{name}.s2")
            for name in ("livelock-two-levels", "p1-translation-fault")
        ],
    ),
    "c1-fixed": Fix(("isolation: ", "translation: "), examples("host0 discard a+0 4K")),
}


def candidates() -> dict[str, str]:
    """Return the sources of the page's candidates, by name."""
    found = [block.text for block in blocks(PAGE) if block.language == "python"]
    return {text.partition('Candidate("')[2].partition('"')[0]: text for text in found}


def test_each_candidate_is_tried() -> None:
    assert candidates().keys() == FIXES.keys()
    assert all(fix.programs for fix in FIXES.values())


@pytest.fixture(params=FIXES)
def fixed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Candidate, Fix]:
    """Return a candidate and the fix that it implements."""
    file = tmp_path / "fixed.py"
    file.write_text(candidates()[request.param])
    return candidate.get(str(file)), FIXES[request.param]


def findings(version: Candidate, program: Program) -> list[Finding]:
    """Return the findings of a version against the original."""
    return Differential(candidate.get(ORIGINAL), version).run(program).findings


def test_each_fix_cures_its_bug(fixed: tuple[Candidate, Fix]) -> None:
    version, fix = fixed
    for program in fix.programs:
        found = findings(version, program)
        kinds = {each.kind for each in found if each.signature.startswith(fix.shown)}
        assert kinds == {CURED}
        assert {each.kind for each in found} & {REGRESSION, COMMON} == set()
        # The original has the bug.
        before = findings(candidate.get(ORIGINAL), program)
        assert {each.kind for each in before if each.signature.startswith(fix.shown)} == {COMMON}


def test_each_fix_adds_no_regression(fixed: tuple[Candidate, Fix]) -> None:
    version, _ = fixed
    generator = Generator(19)
    for _ in range(PROGRAMS):
        program = generator.next()
        assert [each.signature for each in findings(version, program) if each.kind == REGRESSION] == []
