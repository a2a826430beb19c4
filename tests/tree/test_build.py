# SPDX-License-Identifier: GPL-2.0-only
"""Real trees build, give the same library in any folder, and are found in the cache."""

import ctypes
import os
import shutil
import time
from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.cache import LIBRARY, building, folder, look_up, prefix, publish
from candidate.tree.building.compiler import Compiler
from candidate.tree.building.plan import BuildSettings
from candidate.tree.building.source import MMU, PGTABLE, TreeSource
from candidate.tree.building.symbols import UNKNOWN
from candidate.tree.library import TreeError, build, make

from .trees import changed, real_tree, real_trees, small_tree

PAGES: Final = {12: 4096, 14: 16384, 16: 65536}
each_tree = pytest.mark.parametrize("name", real_trees() or ["none"])


def found(tree: Path) -> Path | None:
    """Return the cache entry of a tree."""
    return look_up(TreeSource(tree), prefix(BuildSettings(), Compiler()))


@each_tree
@pytest.mark.parametrize("granule", PAGES)
def test_each_tree_builds_with_each_granule(name: str, granule: int, common_cache: Path) -> None:
    built = make(TreeSource(real_tree(name)), BuildSettings(granule))
    assert [symbol for symbol, kind in built.record["symbols"].items() if kind == UNKNOWN] == []
    library = ctypes.CDLL(str(built.library))
    assert 1 << ctypes.c_ulong.in_dll(library, "shim_page_shift").value == PAGES[granule]
    assert built.library.is_relative_to(common_cache)


@each_tree
def test_an_unchanged_tree_is_found_at_once(name: str, common_cache: Path) -> None:
    tree = real_tree(name)
    library = build(tree)
    # The minimum of a few runs, since the machine may be busy.
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert build(tree) == library
        times.append(time.perf_counter() - began)
    assert min(times) < 0.5


def test_a_copy_elsewhere_is_found(tmp_path: Path, common_cache: Path) -> None:
    tree = real_tree()
    library = build(tree)
    same = {path: (tree / path).read_text() for path in (MMU, PGTABLE)}
    assert found(changed(tree, tmp_path / "copy", same)) == library.parent


@pytest.mark.parametrize(
    "path",
    [
        MMU,
        "include/linux/kvm_host.h",
        "arch/arm64/kvm/Kconfig",
        "arch/arm64/tools/cpucaps",
        "include/asm-generic/Kbuild",
    ],
)
def test_a_changed_file_is_noticed(path: str, tmp_path: Path, common_cache: Path) -> None:
    tree = real_tree()
    build(tree)
    copy = changed(tree, tmp_path / "copy", {path: (tree / path).read_text() + "\n"})
    assert found(copy) is None


def test_a_header_that_would_be_found_first_is_noticed(tmp_path: Path, common_cache: Path) -> None:
    """kvm_host.h of include/linux/ is read; a file of that name in arm64's folder would come first."""
    tree = real_tree()
    build(tree)
    assert found(changed(tree, tmp_path / "other", {"include/linux/of_nothing.h": ""})) is not None
    assert found(changed(tree, tmp_path / "copy", {"arch/arm64/include/linux/kvm_host.h": ""})) is None


def test_a_damaged_entry_is_rebuilt(tmp_path: Path, common_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = build(real_tree()).parent
    home = tmp_path / "cache"
    shutil.copytree(entry, home / "s2fuzz" / "trees" / entry.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    assert found(real_tree()) is not None
    record = home / "s2fuzz" / "trees" / entry.name / "record.json"
    record.write_text(record.read_text()[:1000])
    assert found(real_tree()) is None
    assert os.path.samefile(make(TreeSource(real_tree()), BuildSettings()).library.parent, record.parent)


def test_two_builds_give_the_same_bytes(
    tmp_path: Path, common_cache: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names of the folders do not matter."""
    tree = real_tree()
    second = build(changed(tree, tmp_path / "copy", {MMU: (tree / MMU).read_text()}))
    assert second.parent.parent == cache
    monkeypatch.setenv("XDG_CACHE_HOME", str(common_cache.parents[1]))
    first = build(tree)
    assert first != second
    assert first.parent.name == second.parent.name
    assert first.read_bytes() == second.read_bytes()
    assert {each.name for each in first.parent.iterdir()} == {LIBRARY, "record.json"}


@pytest.mark.parametrize(
    ("options", "symbol"),
    [
        ({"sanitize": True}, "__ubsan_handle_"),
        ({"coverage": True}, "__gcov_init"),
        ({"plain": True}, "__tsan_read8"),
    ],
)
def test_instrumented_builds_call_their_runtime(options: dict[str, bool], symbol: str, common_cache: Path) -> None:
    library = build(real_tree(), **options)  # type: ignore[arg-type]
    assert symbol.encode() in library.read_bytes()
    assert library.parent.name.startswith(f"12-O1-{next(iter(options))}-")


def test_a_tree_that_changes_during_its_build_is_not_kept(tmp_path: Path, cache: Path) -> None:
    """It is unknown which of the two contents the compiler read."""
    source = TreeSource(small_tree(tmp_path / "tree"))
    assert source.has(MMU)
    with building(source, "12-", [MMU]) as work:
        (work / LIBRARY).write_text("")
        (source.root / MMU).write_text("int x;\n")
        # Clocks of file systems are coarse, and machines are fast.
        source.since -= 1.0
        os.utime(source.root / MMU, (source.since + 0.5, source.since + 0.5))
        with pytest.raises(TreeError, match=f"tree: {MMU} changed while the tree was compiled; run it again"):
            publish(work, source, "12-", {}, [MMU])
    assert list(cache.iterdir()) == []


def test_without_a_home_there_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / ".cache" / "s2fuzz" / "trees"

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(TreeError, match=r"there is no home folder to keep built trees in; allowed: .* XDG_CACHE_HOME"):
        folder()


@pytest.mark.parametrize(
    "options",
    [{"granule": 13}, {"optimise": "-O3"}],
    ids=lambda each: next(iter(each)),
)
def test_invalid_settings(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        BuildSettings(**options)  # type: ignore[arg-type]
