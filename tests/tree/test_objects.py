# SPDX-License-Identifier: GPL-2.0-only
"""After a change, only files that read the changed file are compiled; the library is the same as in a full build."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from candidate.tree import library as building
from candidate.tree.building import compiler
from candidate.tree.building.compiler import CompilerJob, run_all
from candidate.tree.building.objects import MOST, ObjectCache, folder
from candidate.tree.building.plan import TREE, BuildSettings
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE, TreeSource
from candidate.tree.library import TreeError, make

from .trees import changed, real_tree, small_tree

SETTINGS: Final = BuildSettings(coverage=True, plain=True)
HEADER: Final = "include/linux/kvm_host.h"
# In a folder that is searched first.
BEFORE: Final = "arch/arm64/include/linux/kvm_host.h"
JOB: Final = CompilerJob("mmu", ["gcc", "-c", f"{TREE}/{MMU}"])


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the names of a build's compiler runs, in order."""
    names: list[str] = []

    def noted(jobs: Sequence[CompilerJob], work: Path, done: list[CompilerJob] | None = None) -> None:
        names.extend(job.name for job in jobs if "-MD" in job.command or job.name.startswith("rt_"))
        run_all(jobs, work, done)

    monkeypatch.setattr(building, "run_all", noted)
    return names


def library(tree: Path) -> bytes:
    return make(TreeSource(tree), SETTINGS).library.read_bytes()


@pytest.mark.parametrize(
    ("path", "again", "not_again"),
    [
        (MMU, {"mmu"}, set()),
        (PGTABLE, {"pgtable"}, {"mmu", "glue"}),
        (KVM_MAIN, {"glue"}, {"mmu", "pgtable"}),
        (HEADER, {"mmu", "pgtable", "glue"}, {"rbtree", "rt_serve"}),
        ("arch/arm64/include/asm/stage2_pgtable.h", {"mmu"}, {"rbtree", "interval_tree"}),
        # A header is generated from this file.
        ("arch/arm64/tools/cpucaps", set(), {"rt_serve"}),
    ],
)
def test_only_affected_files_are_compiled(
    path: str, again: set[str], not_again: set[str], tmp_path: Path, common_cache: Path, compiled: list[str]
) -> None:
    tree = real_tree()
    library(tree)
    compiled.clear()
    library(changed(tree, tmp_path / "copy", {path: (tree / path).read_text() + "\n"}))
    assert again <= set(compiled)
    assert not not_again & set(compiled)


def test_the_library_is_the_same_as_in_a_full_build(
    tmp_path: Path, common_cache: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = real_tree()
    library(tree)
    old = "int kvm_handle_guest_abort(struct kvm_vcpu *vcpu)\n{\n"
    text = (tree / MMU).read_text()
    assert old in text
    copy = changed(tree, tmp_path / "copy", {MMU: text.replace(old, f"{old}\tif (!vcpu)\n\t\treturn -EINVAL;\n")})
    compiled.clear()
    in_part = library(copy)
    assert compiled == ["mmu"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert library(copy) == in_part
    assert len(compiled) > 20


def test_objects_compiled_before_an_error_are_kept(
    tmp_path: Path, cache: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "cores", lambda: 1)
    tree = changed(real_tree(), tmp_path / "copy", {MMU: f"{(real_tree() / MMU).read_text()}int x\n"})
    with pytest.raises(TreeError, match="does not compile"):
        library(tree)
    before = compiled[: compiled.index("mmu")]
    assert "glue" in before
    compiled.clear()
    (tree / MMU).unlink()
    shutil.copy(real_tree() / MMU, tree / MMU)
    library(tree)
    assert "mmu" in compiled
    assert not set(before) & set(compiled)


class Work:
    """A build folder in which the compiler has read mmu.c and a header."""

    def __init__(self, folder: Path) -> None:
        self.tree = small_tree(folder / "tree")
        self.write(HEADER, "int x;\n")
        self.folder = folder / "work"
        self.folder.mkdir()
        (self.folder / TREE).symlink_to(self.tree)

    def write(self, path: str, text: str) -> None:
        """Change a file of the tree, some time before the next build."""
        file = self.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (1, 1))

    def cache(self) -> ObjectCache:
        """Return the objects as a new build sees them."""
        for made in self.folder.glob("mmu.*"):
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        return ObjectCache(TreeSource(self.tree), "12-", self.folder)

    def keep(self, text: str = "object", changes: bool = False) -> None:
        """Compile mmu.c and keep its object.

        :param changes: whether mmu.c changes during the compilation
        """
        cache = self.cache()
        (self.folder / "mmu.o").write_text(text)
        (self.folder / "mmu.d").write_text(f"mmu.o: {TREE}/{MMU} \\\n {TREE}/{HEADER} /usr/lib/gcc/stdarg.h\n")
        if changes:
            (self.tree / MMU).touch()
        cache.keep([JOB])

    def taken(self) -> str:
        """Return the cached object of mmu.c; "": it has to be compiled."""
        return (self.folder / "mmu.o").read_text() if self.cache().take(JOB) else ""


@pytest.fixture
def work(tmp_path: Path, cache: Path) -> Work:
    return Work(tmp_path)


def test_an_object_is_reused_while_its_inputs_are_unchanged(work: Work) -> None:
    assert not work.taken()
    work.keep()
    assert work.taken() == "object"
    assert (work.folder / "mmu.d").exists()
    assert not work.cache().take(CompilerJob("mmu", [*JOB.command, "-O2"]))
    for path in (MMU, HEADER):
        old = (work.tree / path).read_text()
        work.write(path, "int y;\n")
        assert not work.taken()
        work.write(path, old)
        assert work.taken()


def test_a_header_that_would_be_found_first_is_noticed(work: Work) -> None:
    work.keep()
    work.write(BEFORE, "")
    assert not work.taken()
    work.keep("another")
    assert work.taken() == "another"
    (work.tree / BEFORE).unlink()
    assert work.taken() == "object"


@pytest.mark.parametrize("name", ["mmu.o", "inputs.json"])
def test_a_damaged_object_is_rebuilt(work: Work, name: str) -> None:
    work.keep()
    (entry,) = folder().iterdir()
    (entry / name).write_text("{}")
    assert not work.taken()
    work.keep()
    assert work.taken() == "object"


def test_an_object_whose_source_changes_meanwhile_is_not_kept(work: Work) -> None:
    work.keep(changes=True)
    assert not work.taken()
    assert list(folder().iterdir()) == []


def test_recently_used_objects_are_kept(work: Work) -> None:
    for number in range(MOST + 3):
        work.write(MMU, f"int x{number};\n")
        work.keep(f"object {number}")
        # Clocks of file systems are coarse.
        for entry in folder().iterdir():
            os.utime(entry, (entry.stat().st_mtime - 10,) * 2)
        work.write(MMU, "int x0;\n")
        assert work.taken() == "object 0"
    assert len(list(folder().iterdir())) == MOST
    work.write(MMU, "int x1;\n")
    assert not work.taken()


def test_everything_is_compiled_without_a_folder_for_objects(work: Work) -> None:
    folder().parent.mkdir(parents=True)
    folder().write_text("no folder")
    work.keep()
    assert not work.taken()
