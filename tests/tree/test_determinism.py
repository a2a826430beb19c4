# SPDX-License-Identifier: GPL-2.0-only
"""A tree's run depends only on the program, not on the addresses of memory or the options of the compiler."""

from functools import partial
from pathlib import Path

import pytest

import candidate
from candidate.tree import PREFIX, opening
from candidate.tree.building.plan import BuildSettings
from candidate.tree.runtime.pool import POOL
from candidate.tree.runtime.versions import TreePgtable
from fuzz.generation.generator import Generator

from .fidelity import Stream, difference
from .trees import changed, real_tree, version

TREE = "6.12"
PROGRAMS = 25


def streams(name: str) -> list[Stream]:
    """Return the runs of a version on some random programs, in a process that ran nothing before."""
    POOL.forget()
    generator = Generator(5)
    return [Stream(name, generator.next()) for _ in range(PROGRAMS)]


def library(name: str) -> str:
    """Return the name of the cache entry of the build that a version runs."""
    pgtable = candidate.get(name).pgtable
    assert issubclass(pgtable, TreePgtable)
    return pgtable.library(12).parent.name


def test_address_randomisation() -> None:
    name = version(TREE)
    one, other = streams(name), streams(name)
    assert [difference(*each) for each in zip(one, other, strict=True)] == [""] * PROGRAMS
    assert sum(map(len, one)) > 1000


def test_optimisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = changed(real_tree(TREE), tmp_path / "tree", {})
    name, other_name = version(TREE), f"{PREFIX}{copy}"
    # The library of a version is chosen once, when it is opened.
    one = streams(name)
    settings = partial(BuildSettings, coverage=True, plain=True, optimise="-O2")
    monkeypatch.setattr(opening, "settings_of", lambda granule, sanitize: settings(granule, sanitize=sanitize))
    other = streams(other_name)
    assert library(name) != library(other_name)
    assert [difference(*each) for each in zip(one, other, strict=True)] == [""] * PROGRAMS


def test_earlier_programs() -> None:
    """A program runs the same in a process that served others as in one of its own."""
    name = version(TREE)
    generator = Generator(6)
    programs = [generator.next() for _ in range(PROGRAMS)]
    POOL.forget()
    one = [Stream(name, program) for program in programs]
    for program, before in zip(programs, one, strict=True):
        POOL.forget()
        assert difference(before, Stream(name, program)) == ""
