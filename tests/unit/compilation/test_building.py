# SPDX-License-Identifier: GPL-2.0-only
"""Builds: their contents, their refusals, and the files left by a build that fails."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from fuzz.compilation import build, outside
from fuzz.compilation.group import interpreted, sources
from reference.compiled import choice as native

from ..console import ROOT

SUFFIX = EXTENSION_SUFFIXES[0]
# One file of each kind: needed by everything, a candidate, C code compiled with both.
KERNEL, CANDIDATE, C_FILE = "reference/kernel.py", "candidate/rfc_v1.py", "fuzz/compilation/sparse.h"


@pytest.mark.parametrize(
    ("lacks", "said"), [("mypyc", "no mypyc"), ("compiler", "no C compiler"), ("headers", "no Python headers")]
)
def test_the_reason_why_a_build_is_impossible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacks: str, said: str
) -> None:
    monkeypatch.setattr(build, "find_spec", lambda name: None if name == lacks else object())
    monkeypatch.setattr(shutil, "which", lambda name: None if lacks == "compiler" else "/bin/cc")
    include = tmp_path / "include"
    include.mkdir()
    if lacks != "headers":
        (include / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(include))
    with pytest.raises(build.BuildError) as error:
        build.build()
    assert said in str(error.value)
    assert "plain Python" in str(error.value)
    assert "\n" not in str(error.value)


def test_code_that_runs_trees_is_compiled() -> None:
    """Check that no name in it belongs to table memory: the module would stay interpreted, and take twice the time."""
    assert not [source for source in interpreted() if source.startswith("candidate/tree/")]
    assert "candidate/tree/runtime/replay.py" in sources()


FILE = """\
from candidate import Candidate
from candidate.rfc_v2 import MmuRfcV2, PgtableRfcV2

from .helper import LIMIT


class PgtableMine(PgtableRfcV2):
    def stage2_flush_dcache(self, addr: int, size: int) -> None:
        super().stage2_flush_dcache(addr, size)


CANDIDATE = Candidate("mine", PgtableMine, MmuRfcV2, "a test")
"""


@pytest.fixture
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a candidate in a file that imports another file beside it."""
    folder = tmp_path_factory.mktemp("mine").resolve()
    (folder / "helper.py").write_text("LIMIT = 1\n")
    path = folder / "mine.py"
    path.write_text(FILE)
    return path


def compiled_with(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> native.Choice:
    """Return the choice of a process that runs these files."""
    monkeypatch.setenv(native.FILES_VARIABLE, os.pathsep.join(map(str, files)))
    return native.choose()


@pytest.fixture
def building_with(building: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the files given to the compiler of `building`; all are below the copy of the sources."""
    given: list[list[str]] = []

    def compiler(folder: Path, files: list[str], home: Path, thorough: bool = False) -> None:
        given.append(files)
        for source in [*files, f"{native.LIBRARY}.py"]:
            assert source.startswith(native.LIBRARY) or (home / source).is_file()
            made = folder / "out" / source.replace(".py", SUFFIX)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.touch()

    monkeypatch.setattr(outside, "run_compiler", compiler)
    return given


def test_a_file_joins_the_group(building_with: list[list[str]], mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.module_of_file(mine) not in compiled_with([mine], monkeypatch).files
    assert "mine.py, into " in outside.build_with(str(mine))
    (given,) = building_with
    inside = [f"{native.module_of_file(path).replace('.', '/')}.py" for path in (mine.with_name("helper.py"), mine)]
    assert sorted(given) == sorted([*sources(), *inside])
    choice = compiled_with([mine], monkeypatch)
    assert (choice.mypyc != "", choice.remark) == (True, "")
    assert {native.module_of_file(mine), native.module_of(CANDIDATE), native.LIBRARY} <= choice.files.keys()
    assert Path(choice.files[native.module_of_file(mine)]).is_file()
    assert "up to date" in outside.build_with(str(mine))
    # A process that runs another file, or none, does not use this build.
    assert native.module_of_file(mine) not in compiled_with([mine.with_name("other.py")], monkeypatch).files


@pytest.mark.parametrize("changed", ["mine.py", "helper.py", KERNEL, C_FILE])
def test_a_build_with_a_file_is_unused_after_a_change(
    building_with: list[list[str]], building: Path, mine: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.build_with(str(mine))
    path = building / changed if "/" in changed else mine.with_name(changed)
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    assert native.module_of_file(mine) not in compiled_with([mine], monkeypatch).files
    path.write_bytes(before)
    assert native.module_of_file(mine) in compiled_with([mine], monkeypatch).files


def test_few_builds_with_files_are_kept(building_with: list[list[str]], mine: Path) -> None:
    for number in range(outside.KEPT + 2):
        mine.write_text(FILE + f"# {number}\n")
        outside.build_with(str(mine))
    assert len(building_with) == outside.KEPT + 2
    assert len(list(native.FOLDER.glob(f"{native.WITH}*"))) == outside.KEPT
    assert native.MANIFEST.is_file()


def test_a_file_with_a_plain_store_is_not_compiled(building_with: list[list[str]], mine: Path) -> None:
    mine.write_text(FILE.replace("super().stage2_flush_dcache(addr, size)", "self.mem[addr] = 0"))
    with pytest.raises(build.BuildError, match=r"mine\.py:9: it may store to a table without WRITE_ONCE"):
        outside.build_with(str(mine))
    assert building_with == []


def test_a_registered_version_needs_no_other_build(building: Path) -> None:
    assert outside.build_with("rfc-v2") == "the compiled build is up to date"


def test_an_installation_builds_into_the_cache_folder(tmp_path: Path) -> None:
    """Check that it does not use site-packages, and that the folder is named by a digest without candidate/."""
    home = tmp_path / "site-packages"
    for package in ("reference", "candidate", "fuzz"):
        shutil.copytree(ROOT / package, home / package, ignore=shutil.ignore_patterns("__pycache__"))
    asked = "from reference.compiled.choice import CHECKOUT, FOLDER; print(CHECKOUT, FOLDER)"
    environment = {**os.environ, "PYTHONPATH": str(home), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def folder() -> Path:
        command = [sys.executable, "-c", asked]
        said = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        checkout, _, name = said.strip().partition(" ")
        assert checkout == "False"
        return Path(name)

    first = folder()
    assert first.parent == tmp_path / "cache" / "s2fuzz"
    (home / "candidate" / "mine.py").touch()
    assert folder() == first
    (home / "fuzz" / "compilation" / "mine.h").touch()
    second = folder()
    assert second != first
    (home / "reference" / "mine.py").touch()
    assert folder() not in (first, second)


def folders() -> list[str]:
    return sorted(path.name for path in native.FOLDER.iterdir() if path.is_dir())


def test_an_up_to_date_build_is_not_repeated(building: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.build() == "the compiled build is up to date"
    assert folders() == ["group-0"]
    assert capsys.readouterr().err == ""


C_FILES = (
    *("dictionaries.h", "lists.h", "multiply.c", "names.h", "shared.h", "short.c", "short.h", "spares.h"),
    *("sparse.h", "text.h", "words.h"),
)


@pytest.mark.parametrize("name", C_FILES)
def test_changed_c_code_is_compiled_again(building: Path, name: str) -> None:
    with open(building / "fuzz" / "compilation" / name, "a") as file:
        file.write("\n")
    assert native.choose().remark == native.OUT_OF_DATE
    assert build.build().startswith("compiled ")
    assert build.build() == "the compiled build is up to date"


def test_all_c_sources_are_known() -> None:
    assert native.c_sources() == [f"fuzz/compilation/{name}" for name in C_FILES]


def test_a_new_candidate_joins_the_group(building: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (building / "candidate" / "my_patch.py").touch()
    assert "compiled" in build.build()
    assert capsys.readouterr().err == ""
    manifest = json.loads(native.MANIFEST.read_text())
    assert "candidate/my_patch.py" in manifest["sources"]
    assert "candidate/my_patch.py" in (native.FOLDER / manifest["folder"] / "made").read_text()
    assert build.build() == "the compiled build is up to date"


PLAIN_CANDIDATE = """\
from reference.pgtable import Pgtable


class PgtableMine(Pgtable):
    def kvm_set_invalid_pte(self, ptep: int) -> None:
        self.mem[ptep] = 0
"""


def test_a_candidate_with_a_plain_store_stays_interpreted(building: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Interpret it, and versions based on it: a compiled store would bypass the list that records stores."""
    (building / "candidate" / "mine.py").write_text(PLAIN_CANDIDATE)
    (building / "candidate" / "more.py").write_text("from .mine import PgtableMine\n")
    (building / "candidate" / "most.py").write_text("from candidate import more\n")
    assert "compiled" in build.build()
    said = capsys.readouterr().err
    assert "candidate/mine.py stays interpreted: line 6 may store to a table without WRITE_ONCE\n" in said
    assert "candidate/more.py stays interpreted: it imports candidate/mine.py\n" in said
    manifest = json.loads(native.MANIFEST.read_text())
    assert set(manifest["interpreted"]) == {f"candidate/{name}.py" for name in ("mine", "more", "most")}
    assert not manifest["sources"].keys() & manifest["interpreted"].keys()
    assert CANDIDATE in manifest["sources"]
    assert build.build() == "the compiled build is up to date"
    made = native.FOLDER / manifest["folder"]
    for source in [*manifest["sources"], f"{native.LIBRARY}.py"]:
        file = made / source.replace(".py", SUFFIX)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    choice = native.choose()
    assert (choice.mypyc != "", choice.remark) == (True, "")
    assert native.module_of(CANDIDATE) in choice.files
    assert "candidate.mine" not in choice.files
    (building / "candidate" / "mine.py").write_text(PLAIN_CANDIDATE + "\n")
    assert "candidate/ has changed" in native.choose().remark


def test_only_the_last_build_is_kept_beside_the_new_one(building: Path) -> None:
    made = []
    for _ in range(3):
        build.build(force=True)
        made.append(json.loads(native.MANIFEST.read_text())["folder"])
    assert folders() == sorted(made[1:])


@pytest.mark.parametrize("error", [KeyboardInterrupt, build.BuildError])
def test_a_build_that_fails_leaves_nothing(
    building: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def stopped(folder: Path, files: list[str], home: Path, thorough: bool = False) -> None:
        (folder / "half").touch()
        raise error

    monkeypatch.setattr(build, "run_compiler", stopped)
    with pytest.raises(error):
        build.build(force=True)
    assert folders() == ["group-0"]
    assert native.choose().mypyc == "0"


@pytest.mark.parametrize("source", [KERNEL, C_FILE])
def test_a_source_that_changes_during_the_build(building: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    def change(folder: Path, files: list[str], home: Path, thorough: bool = False) -> None:
        (building / source).write_text("")

    monkeypatch.setattr(build, "run_compiler", change)
    with pytest.raises(build.BuildError, match="changed during the build"):
        build.build(force=True)
