# SPDX-License-Identifier: GPL-2.0-only
"""A tree's run depends on the program alone: not on where memory lies, nor on how it was compiled."""

from functools import partial
from pathlib import Path

import pytest

from candidate.tree import PREFIX, opening
from candidate.tree.building.plan import BuildSettings
from candidate.tree.runtime import process
from fuzz.generation.generator import Generator

from .fidelity import Stream, difference
from .trees import changed, real_tree, version

TREE = "6.12"
PROGRAMS = 25


def streams(name: str) -> list[Stream]:
    """Return the run of a version on some random programs, in a process that ran nothing before."""
    process.forget()
    generator = Generator(5)
    return [Stream(name, generator.next()) for _ in range(PROGRAMS)]


def test_address_randomisation() -> None:
    name = version(TREE)
    one, other = streams(name), streams(name)
    assert [difference(*each) for each in zip(one, other, strict=True)] == [""] * PROGRAMS
    assert sum(map(len, one)) > 1000


def test_optimisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = changed(real_tree(TREE), tmp_path / "tree", {})
    settings = partial(BuildSettings, coverage=True, plain=True, optimise="-O2")
    monkeypatch.setattr(opening, "settings_of", lambda granule, sanitize: settings(granule, sanitize=sanitize))
    one, other = streams(version(TREE)), streams(f"{PREFIX}{copy}")
    assert [difference(*each) for each in zip(one, other, strict=True)] == [""] * PROGRAMS


def test_programs_before() -> None:
    """A program runs the same in a process that served others as in one of its own."""
    name = version(TREE)
    generator = Generator(6)
    programs = [generator.next() for _ in range(PROGRAMS)]
    process.forget()
    one = [Stream(name, program) for program in programs]
    for program, before in zip(programs, one, strict=True):
        process.forget()
        assert difference(before, Stream(name, program)) == ""
