# SPDX-License-Identifier: GPL-2.0-only
"""Trees, compilers and caches that cannot be used: exit code 2, one line names the problem, nothing is left behind."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from candidate.tree.building.compiler import Compiler
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE

from ..unit.console import refused
from .tree_check import check, fake, left
from .trees import small_tree


class Way(NamedTuple):
    """One way to be wrong.

    :param make: prepares a folder; returns the argument TREE
    :param words: parts of the line
    """

    name: str
    make: Callable[[Path], Path]
    words: tuple[str, ...]


def without(path: str) -> Callable[[Path], Path]:
    """Return a function that makes a small tree without a file or folder."""

    def make(folder: Path) -> Path:
        tree = small_tree(folder / "tree")
        (tree / path).rename(folder / "gone")
        return tree

    return make


def file(folder: Path) -> Path:
    made = folder / "file"
    made.write_text("x\n")
    return made


def loop(folder: Path) -> Path:
    made = folder / "loop"
    made.symlink_to(made)
    return made


def empty(folder: Path) -> Path:
    made = folder / "empty"
    made.mkdir()
    return made


WAYS: Final = (
    Way("no tree", lambda folder: folder / "none", ("none: no such folder; allowed: the top folder of a Linux tree",)),
    Way("a file", file, ("file is not a folder; allowed: the top folder of a Linux tree",)),
    Way("a loop of links", loop, ("loop",)),
    Way("another folder", empty, ("empty is not a kernel tree: it has no folder include",)),
    Way("without arm64", without("arch/arm64"), ("tree is a kernel tree without arm64: it has no folder arch/arm64",)),
    Way("too old", without(PGTABLE), (f"tree has no {PGTABLE}: it is older than Linux 5.10, or has moved it",)),
    Way("without mmu.c", without(MMU), (f"tree has no {MMU}",)),
    Way("without kvm_main.c", without(KVM_MAIN), (f"tree has no {KVM_MAIN}; allowed: a complete tree",)),
    Way("without a folder", without("include/uapi"), ("tree has no folder include/uapi; allowed: a complete tree",)),
    Way("without a header", without("include/linux/kconfig.h"), ("tree has no include/linux/kconfig.h",)),
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_wrong_tree_is_refused(way: Way, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message is printed as text, and on request as JSON too."""
    tree = way.make(tmp_path)
    code, out, err = check(tree, capsys, "--json")
    answer = json.loads(out)
    assert (answer["exit_code"], answer["error"]["kind"]) == (2, "candidate")
    assert err == f"s2fuzz: {answer['error']['message']}\n"
    refused((code, "", err), f"s2fuzz: {tmp_path}/", *way.words)
    assert check(tree, capsys) == (code, "", err)
    assert left(cache) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none-gcc", "no C compiler: none-gcc was not found"),
        ("none-gcc -m64", "no C compiler: none-gcc was not found"),
        ("gcc -m32", "gcc -m32 does not compile for x86-64"),
        ("gcc 'quoted", "CC=gcc 'quoted: No closing quotation"),
        ("true", "is not gcc"),
    ],
)
def test_no_compiler(
    name: str,
    words: str,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CC", name)
    refused(check(small_tree(tmp_path / "tree"), capsys), words, "allowed: gcc for x86-64", "apt-get install gcc")
    assert left(cache) == []


def test_a_compiler_with_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "gcc")
    plain = Compiler()
    monkeypatch.setenv("CC", "env gcc -pipe")
    assert (Compiler().identity, Compiler().headers()) == (plain.identity, plain.headers())


def test_no_compiler_in_path(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(check(small_tree(tmp_path / "tree"), capsys), "no C compiler: gcc was not found", "apt-get install gcc")
    assert left(cache) == []


def test_a_compiler_for_another_machine(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compiler = tmp_path / "other-gcc"
    compiler.write_text("#!/bin/sh\necho '#define __GNUC__ 12'\necho '#define __aarch64__ 1'\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    refused(check(small_tree(tmp_path / "tree"), capsys), "other-gcc does not compile for x86-64")


def test_another_machine(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    refused(
        check(small_tree(tmp_path / "tree"), capsys), "a kernel tree runs on x86-64 only, and this machine is aarch64"
    )


def test_a_cache_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = file(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    result = check(small_tree(tmp_path / "tree"), capsys)
    refused(result, f"cannot write to the cache folder {home}/s2fuzz/trees: Not a directory", "named by XDG_CACHE_HOME")


def test_a_cache_that_is_read_only(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make = os.mkdir

    def refuse(path: str, mode: int = 0o777) -> None:
        if Path(path).parent == cache:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", refuse)
    result = check(small_tree(tmp_path / "tree"), capsys)
    refused(result, f"cannot write to the cache folder {cache}: Read-only file system", "named by XDG_CACHE_HOME")
    assert left(cache) == []


def test_a_compiler_that_is_killed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", str(fake(tmp_path, "kill -9 $$")))
    refused(check(small_tree(tmp_path / "tree"), capsys), "cannot be built: it was killed by signal 9")
    assert left(cache) == []


def test_a_script_of_the_tree_that_fails(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = small_tree(tmp_path / "tree")
    (tree / "arch/arm64/tools").mkdir()
    (tree / "arch/arm64/tools/gen-sysreg.awk").write_text(
        'BEGIN { print "no such register" > "/dev/stderr"; exit 1 }\n'
    )
    (tree / "arch/arm64/tools/sysreg").write_text("")
    refused(check(tree, capsys), "its script fails: `awk -f arch/arm64/tools/gen-sysreg.awk", "no such register")
    assert left(cache) == []
