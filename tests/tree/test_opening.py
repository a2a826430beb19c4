# SPDX-License-Identifier: GPL-2.0-only
"""Trees are built for every page size before a session counts its time."""

import os
from pathlib import Path

import pytest

from candidate.tree import PREFIX, SANITIZE, TreeError, opening
from candidate.tree.building import cache as entries
from candidate.tree.building.compiler import Compiler
from candidate.tree.building.plan import BuildSettings
from candidate.tree.building.source import MMU, TreeSource
from candidate.tree.library import BuiltTree

from .trees import small_tree


class Builds:
    """Stands in for the builder: records requests, and fails for some page sizes.

    :param there: page sizes, as log2, that have a library
    :param fail: page sizes, as log2, for which no library can be built
    """

    def __init__(self, there: tuple[int, ...] = (), fail: tuple[int, ...] = ()) -> None:
        self.there = there
        self.fail = fail
        self.made: list[tuple[int, bool]] = []

    def is_built(self, _: TreeSource, settings: BuildSettings) -> bool:
        return settings.granule in self.there

    def make(self, source: TreeSource, settings: BuildSettings) -> None:
        self.made.append((settings.granule, settings.sanitize))
        if settings.granule in self.fail:
            raise TreeError(f"{source.name}: no such pages")


def ahead(builds: Builds, names: list[str], patch: pytest.MonkeyPatch) -> list[str]:
    """Build ahead; return the messages."""
    patch.setattr(opening, "is_built", builds.is_built)
    patch.setattr(opening, "make", builds.make)
    told: list[str] = []
    opening.build_ahead(names, told.append)
    return told


def test_each_size_of_each_tree_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{PREFIX}{small_tree(tmp_path / 'tree')}"
    builds = Builds(there=(12,))
    told = ahead(builds, [name, "original", f"{name}{SANITIZE}", name], monkeypatch)
    sizes = ("16K", "64K")
    assert told == [f"building {each} for pages of {size}" for size in sizes for each in (name, f"{name}{SANITIZE}")]
    assert builds.made == [(14, False), (14, True), (16, False), (16, True)]


def test_nothing_is_built_where_a_tree_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = Builds()
    with pytest.raises(TreeError, match="no such folder"):
        ahead(builds, [f"{PREFIX}{small_tree(tmp_path / 'tree')}", f"{PREFIX}{tmp_path / 'other'}"], monkeypatch)
    assert builds.made == []


def test_a_size_that_a_tree_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with such pages is refused when it runs; a tree that cannot be built at all is reported at once."""
    name = f"{PREFIX}{small_tree(tmp_path / 'tree')}"
    builds = Builds(fail=(14,))
    assert len(ahead(builds, [name], monkeypatch)) == 3
    assert [granule for granule, _ in builds.made] == [12, 14, 16]
    with pytest.raises(TreeError, match="no such pages"):
        ahead(Builds(fail=(12,)), [name], monkeypatch)


def built(tree: Path, granule: int) -> BuiltTree:
    """Make a cache entry which records that a library was built from mmu.c of a tree."""
    source, settings = TreeSource(tree), opening.settings_of(granule)
    assert source.has(MMU)
    start = entries.prefix(settings, Compiler())
    with entries.building(source, start, [MMU]) as work:
        (work / entries.LIBRARY).write_text("")
        source.since = 0.0
        # Make the file look old.
        os.utime(tree / MMU, (-1, -1))
        entry = entries.publish(work, source, start, {}, [MMU])
    return BuiltTree(entry / entries.LIBRARY, entries.read(entry), cached=True)


@pytest.mark.usefixtures("cache")
def test_other_page_sizes_use_the_same_source(tmp_path: Path) -> None:
    """They use the source from which the tree was opened for 4K pages, even if it has changed since."""
    tree = small_tree(tmp_path / "tree")
    first, beside = built(tree, 12), built(tree, 14)
    assert opening._beside(first, f"{PREFIX}{tree}", opening.settings_of(14)) == beside.library
    (tree / MMU).write_text("int x;\n")
    assert built(tree, 14).library != beside.library
    assert opening._beside(first, f"{PREFIX}{tree}", opening.settings_of(14)) == beside.library
    built(tree, 16)
    with pytest.raises(TreeError, match="tree has changed since it was opened; run it again"):
        opening._beside(first, f"{PREFIX}{tree}", opening.settings_of(16))
