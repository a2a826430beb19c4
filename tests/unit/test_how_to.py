# SPDX-License-Identifier: GPL-2.0-only
"""The pages in docs/how-to name existing files and tests, and their code works."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from fuzz.checkers.checker import Checker
from fuzz.checkers.registry import RUNS
from fuzz.checkers.shadow import Shadow
from fuzz.engines.unit import Message, Unit, UnitState
from fuzz.engines.unit_run import UnitRun
from reference.compiled import choice as native

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted((ROOT / "docs" / "how-to").glob("*.md"))
# The file that the reader creates.
OF_READER: Final = ("candidate/my_patch.py",)


def code(page: str) -> list[str]:
    """Return the Python examples of a page."""
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_named_by_a_page_exist(page: Path) -> None:
    named = re.findall(r"`((?:fuzz|tests|docs|corpus|candidate|reference)/[\w./-]+)`", page.read_text())
    assert named
    for name in named:
        if "NAME" not in name and name not in OF_READER:
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_named_by_a_page_exist(page: Path) -> None:
    known = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", page.read_text()):
        assert f"def {name}(" in known, name


@pytest.mark.skipif(bool(native.CHOICE.mypyc), reason="compiled modules keep the checkers that they were compiled with")
def test_the_checker_of_the_page_works(monkeypatch: pytest.MonkeyPatch) -> None:
    source, cases = code("checker")
    checker: dict[str, Any] = {"__name__": "fuzz.checkers.small_block", "__package__": "fuzz.checkers"}
    exec(source, checker)
    tests: dict[str, Any] = {"__name__": "tests.good_bad.test_small_block", "__package__": "tests.good_bad"}
    exec(cases, tests)
    first: list[type[Checker]] = [checker["SmallBlock"]]
    monkeypatch.setattr("fuzz.checkers.suite.RUNS", (([], [Shadow, *first]), *RUNS[1:]))
    for case in tests["CASES"]:
        assert case.all_good() == []
        assert case.first_bad() == case.signature


def test_the_engine_of_the_page_works() -> None:
    (source,) = code("engine")
    engine: dict[str, Any] = {"__name__": "fuzz.engines.short_programs", "__package__": "fuzz.engines"}
    exec(source, engine)
    told: list[Message] = []
    unit_run = UnitRun(Unit("short", "original", "rfc-v1", 1, programs=5), told.append)
    unit_run.begin()
    engine["drive"](unit_run)
    unit_run.finish()
    states = [message for message in told if isinstance(message, UnitState)]
    assert (states[-1].programs, states[-1].ended) == (5, True)
    assert 0 < states[-1].operations <= 20
