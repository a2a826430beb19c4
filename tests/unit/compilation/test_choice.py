# SPDX-License-Identifier: GPL-2.0-only
"""The choice between compiled and interpreted form: it depends only on the sources."""

import sys
from argparse import Namespace
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from fuzz.command_line.messages import say_form
from fuzz.compilation.group import PLAIN, sources
from reference.compiled import choice as native

from ..console import ROOT

SUFFIX = EXTENSION_SUFFIXES[0]
# One file of each kind: needed by everything, needed by a checker, a candidate, C code compiled with them.
KERNEL, CHECKER, CANDIDATE = "reference/kernel.py", "fuzz/checkers/tlb.py", "candidate/rfc_v1.py"
C_FILE = "fuzz/compilation/short.h"


def test_an_unchanged_checkout_runs_compiled(checkout: Path) -> None:
    choice = native.choose()
    assert (choice.mypyc, choice.remark) == ("0", "")
    assert set(choice.files) == {native.module_of(source) for source in sources()} | {native.LIBRARY}


@pytest.mark.parametrize("source", [KERNEL, CHECKER, C_FILE])
@pytest.mark.parametrize("gone", [False, True])
def test_a_change_of_code_used_by_candidates_makes_all_interpreted(checkout: Path, source: str, gone: bool) -> None:
    if gone:
        (checkout / source).unlink()
    else:
        with open(checkout / source, "a") as file:
            file.write("\n")
    choice = native.choose()
    assert (choice.mypyc, choice.files, choice.remark) == ("", {}, native.OUT_OF_DATE)


@pytest.mark.parametrize("change", ["new", "changed", "gone"])
def test_a_change_of_candidates_makes_them_interpreted(checkout: Path, change: str) -> None:
    path = checkout / ("candidate/my_patch.py" if change == "new" else CANDIDATE)
    if change == "gone":
        path.unlink()
    else:
        with open(path, "a") as file:
            file.write("\n")
    choice = native.choose()
    assert choice.mypyc == "0"
    assert "candidate/ has changed" in choice.remark
    assert set(choice.files) == {
        native.module_of(source) for source in sources() if not source.startswith("candidate/")
    } | {native.LIBRARY}


def test_a_change_of_uncompiled_files_has_no_effect(checkout: Path) -> None:
    for source in (*PLAIN, "candidate/__init__.py", "fuzz/command_line/cli.py", "reference/new.py"):
        with open(checkout / source, "a") as file:
            file.write("\n")
    assert native.choose().remark == ""


@pytest.mark.parametrize("value", ["1", "yes"])
def test_plain_python_on_request(checkout: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("S2FUZZ_PURE", value)
    assert native.choose() == native.Choice()


@pytest.mark.parametrize("value", ["", "0"])
def test_no_request(checkout: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("S2FUZZ_PURE", value)
    assert native.choose().mypyc == "0"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 99}', "\x00"])
def test_a_broken_manifest(checkout: Path, text: str) -> None:
    native.MANIFEST.write_text(text)
    assert native.choose() == native.Choice(remark=native.OUT_OF_DATE)


def test_another_python(checkout: Path) -> None:
    native.MANIFEST.write_text(native.MANIFEST.read_text().replace(SUFFIX, ".other.so"))
    assert native.choose() == native.Choice(remark=native.OUT_OF_DATE)


def test_no_build(checkout: Path) -> None:
    native.MANIFEST.unlink()
    assert native.choose() == native.Choice()


def test_a_lost_module(checkout: Path) -> None:
    next((native.FOLDER / "group-0" / "fuzz" / "execution").glob("executor*")).unlink()
    assert native.choose() == native.Choice(remark=native.OUT_OF_DATE)


def test_a_library_that_does_not_load(checkout: Path) -> None:
    sys.modules.pop(native.LIBRARY, None)
    finders = sys.meta_path[:]
    assert native.activate() == native.Choice(remark=native.OUT_OF_DATE)
    assert sys.meta_path == finders


def test_the_group_contains_the_hot_modules() -> None:
    group = set(sources())
    assert {"reference/pgtable.py", "reference/mmu.py", "reference/kernel.py", "fuzz/execution/executor.py"} <= group
    assert {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "fuzz" / "checkers").glob("[a-z]*.py")
    } <= group | PLAIN
    assert native.candidate_sources() <= group
    assert not group & {*PLAIN, "fuzz/command_line/cli.py", "fuzz/engines/unit_run.py", "candidate/__init__.py"}


@pytest.mark.parametrize("command", ["run", "fuzz", "bench"])
def test_an_outdated_build_is_reported(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(native, "CHOICE", native.Choice(remark=native.OUT_OF_DATE))
    say_form(Namespace(command=command, json=True))
    assert capsys.readouterr() == ("", f"s2fuzz: {native.OUT_OF_DATE}\n")
