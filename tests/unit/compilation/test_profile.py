# SPDX-License-Identifier: GPL-2.0-only
"""Hot files: compiled with the profile of a training run, or without a profile if there is none."""

import json
import shutil
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from fuzz.compilation import compile as compiling
from fuzz.compilation import profile, training
from fuzz.compilation.jobs import FULL, MORE, Job, jobs
from fuzz.compilation.profile import supported, trained
from fuzz.language.operations import Par
from fuzz.language.program import Program
from reference.compiled import choice as native
from reference.compiled.choice import LIBRARY

from .test_ahead import Extension

needs_build = pytest.mark.skipif(not native.choose().mypyc, reason="no compiled build: run `s2fuzz build`")
HOT, USUAL = "__native_reference___kernel", "__native_fuzz___checkers___leak"


class Compiler:
    """Records the files that it compiles, and the kind of profile."""

    compiler_so = ("false",)
    include_dirs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.compiled: list[tuple[str, str]] = []

    def compile(self, sources: list[str], extra_postargs: Sequence[str], **_: Any) -> list[str]:
        kind = "".join(each for each in extra_postargs if each in ("-fprofile-arcs", "-fprofile-use"))
        made = Path(sources[0]).stem
        self.compiled.append((made, kind))
        return [f"{made} {kind}"]


@dataclass
class Command:
    """Stands for ``build_ext``: the linker records the files that it links, and where."""

    extensions: list[Extension]
    build_temp: str
    build_lib: str
    compiler: Compiler = field(default_factory=Compiler)
    linked: list[tuple[str, list[str], list[str]]] = field(default_factory=list)

    def link(self) -> None:
        (library,) = self.extensions
        self.linked.append((Path(self.build_lib).name, sorted(library.extra_objects), library.extra_link_args))


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Make a build of one hot file and one other file."""
    sources = [tmp_path / f"{name}.c" for name in (HOT, USUAL)]
    for source in sources:
        source.write_text("int x;\n")
    extension = Extension(LIBRARY, [str(source) for source in sources])
    return Command([extension], str(tmp_path / "objects"), str(tmp_path / "out"))


def run(command: Command, monkeypatch: pytest.MonkeyPatch, counts: bool, wrong: str = "") -> None:
    """Build with a compiler that supports counting or not, and a training run that fails with *wrong*."""
    monkeypatch.setattr(compiling, "supported", lambda *_: counts)
    monkeypatch.setattr(compiling, "trained", lambda _: wrong)
    compiling.build_all(command, jobs(command.extensions), command.link, [], {})


def test_hot_files_are_compiled_with_the_profile(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(command, monkeypatch, counts=True)
    assert sorted(command.compiler.compiled) == [(USUAL, ""), (HOT, "-fprofile-arcs"), (HOT, "-fprofile-use")]
    assert command.linked == [
        ("trial", [f"{USUAL} ", f"{HOT} -fprofile-arcs"], [profile.LINKED]),
        ("out", [f"{USUAL} ", f"{HOT} -fprofile-use"], []),
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "s2fuzz-progress 2 1"
    assert all(line.startswith("s2fuzz-progress ") for line in lines)


@pytest.mark.parametrize(("counts", "wrong"), [(False, ""), (True, "the training run failed: exit code 1")])
def test_everything_is_compiled_even_without_a_profile(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], counts: bool, wrong: str
) -> None:
    run(command, monkeypatch, counts, wrong)
    assert command.linked[-1] == ("out", [f"{USUAL} ", f"{HOT} "], [])
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("s2fuzz-progress")]
    assert len(said) == 1
    assert said[0].startswith("s2fuzz-remark compiled without a profile")
    assert wrong in said[0]


def test_only_compilers_that_support_gcc_options_get_them() -> None:
    hot, usual = (Job(Extension(LIBRARY, []), (f"{name}.c",)) for name in (HOT, USUAL))
    assert (list(profile.PLAIN.options(hot)), list(profile.PLAIN.options(usual))) == ([FULL], [])
    for part in (profile.COUNTED, profile.AGAIN, profile.PROFILED):
        assert list(part.options(usual)) == list(MORE)
        assert list(part.options(hot))[: len(MORE)] == list(MORE)


def compiler_of_this_machine() -> str:
    """Return the C compiler; "" if there is none."""
    name = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return shutil.which(name) or ""


@pytest.mark.skipif(not compiler_of_this_machine(), reason="no C compiler")
@pytest.mark.parametrize("refused", ["-fprofile-arcs", "-shared", "-fprofile-use", MORE[0]])
def test_a_compiler_that_lacks_a_part_makes_no_profile(tmp_path: Path, refused: str) -> None:
    command = compiler_of_this_machine()
    lacking = tmp_path / "cc"
    lacking.write_text(f'#!/bin/sh\nfor each; do [ "$each" = {refused} ] && exit 1; done\nexec {command} "$@"\n')
    lacking.chmod(0o755)
    assert not supported([str(lacking)], tmp_path / "trial")
    lacking.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    whole = supported([command], tmp_path / "trial")
    assert supported([str(lacking)], tmp_path / "trial") == whole


def test_a_failed_training_run_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with a folder without library; as in `fuzz.compilation.build.run_compiler`, no other one is loaded."""
    monkeypatch.setenv("S2FUZZ_PURE", "1")
    assert trained(tmp_path) == "the training run failed: exit code 1"


def test_a_training_run_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "LIMIT", 0.01)
    assert "took more than" in trained(tmp_path)


@pytest.mark.skipif(native.choose().mypyc != "", reason="compiled code calls no method that a test has put in place")
@pytest.mark.parametrize("par", [False, True])
def test_the_training_run_covers_all_granules_and_versions(par: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from fuzz.judging.differential import Differential

    judged: list[tuple[str, Program]] = []
    judge = Differential.run

    def seen(self: Differential, program: Program) -> Any:
        judged.append((self.candidate.name, program))
        return judge(self, program)

    monkeypatch.setattr(Differential, "run", seen)
    monkeypatch.setattr(training, "PROGRAMS", dict.fromkeys(training.PROGRAMS, 4))
    assert training.train(par) == len(judged)
    assert {name for name, _ in judged} == set(training.VERSIONS)
    assert {program.vm.granule for _, program in judged} == {4096, 16384, 65536}
    blocks = [any(isinstance(each, Par) for each in program.operations) for _, program in judged]
    assert any(blocks) == par


def test_extension_modules_are_found_by_name(tmp_path: Path) -> None:
    suffix = EXTENSION_SUFFIXES[0]
    for name in (f"{LIBRARY}{suffix}", f"reference/machine/tlb{suffix}", "reference/other.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert training.modules_in(tmp_path) == {
        LIBRARY: str(tmp_path / f"{LIBRARY}{suffix}"),
        "reference.machine.tlb": str(tmp_path / f"reference/machine/tlb{suffix}"),
    }


@needs_build
def test_no_counter_is_left_in_the_build() -> None:
    """Check for counters, which would be written beside the deleted object files and cost time."""
    folder = native.FOLDER / json.loads(native.MANIFEST.read_bytes())["folder"]
    library = (folder / f"{LIBRARY}{EXTENSION_SUFFIXES[0]}").read_bytes()
    assert b".gcda" not in library
