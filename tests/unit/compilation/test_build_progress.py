# SPDX-License-Identifier: GPL-2.0-only
"""Progress of a build: reports of the compiler's process, and the output shown to the user."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fuzz.compilation import build
from fuzz.compilation.group import sources
from fuzz.compilation.jobs import COLD, FULL, HOT, JOINED, NONE, UNTRAINED, USUAL, Job, jobs
from fuzz.compilation.progress import BuildProgress, report, tell
from fuzz.compilation.rare import marked
from reference.compiled.choice import LIBRARY


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock by one that stands still; its seconds are the only entry."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def reports(capsys: pytest.CaptureFixture[str], *states: tuple[int, float]) -> list[str]:
    for state in states:
        report(*state)
    return capsys.readouterr().out.splitlines(keepends=True)


def test_lines_for_each_quarter_without_a_terminal(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = reports(capsys, *((done, done / 8) for done in range(9)))
    shown = BuildProgress(8)
    for line in lines:
        assert shown.take(line)
        clock[0] += 10
    shown.clear()
    assert capsys.readouterr().err.splitlines() == [
        "s2fuzz: compiling 8 modules: translating them to C",
        "s2fuzz: compiled 2 of 8 modules, 60 s left",
        "s2fuzz: compiled 4 of 8 modules, 40 s left",
        "s2fuzz: compiled 6 of 8 modules, 20 s left",
        "s2fuzz: compiled 8 of 8 modules, 0 s left",
    ]


def test_a_progress_line_in_a_terminal(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    lines = reports(capsys, (0, 0), (1, 0.1), (2, 0.2), (3, 0.3))
    shown = BuildProgress(9)
    # The third report follows the second one too soon to be shown.
    for line, passed in zip(lines, (3.0, 0.1, 3.0, 0.0), strict=True):
        assert shown.take(line)
        clock[0] += passed
    shown.clear()
    assert capsys.readouterr().err.split("\r\x1b[K")[1:] == [
        "s2fuzz: compiling 9 modules: translating them to C",
        "s2fuzz: compiled 0 of 9 modules",
        "s2fuzz: compiled 1 of 9 modules, 27 s left",
        "s2fuzz: compiled 3 of 9 modules, 14 s left",
        "",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_remark_stays_visible(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    tell("there is no profile")
    line = capsys.readouterr().out
    shown = BuildProgress(3)
    assert shown.take(line)
    shown.clear()
    assert "s2fuzz: there is no profile\n" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["", "error: x", "s2fuzz-progress", "s2fuzz-progress 1 2\n", "s2fuzz-progress 1 0.5x"])
def test_other_lines_go_to_the_log(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = BuildProgress(3)
    capsys.readouterr()
    assert not shown.take(line)
    assert capsys.readouterr() == ("", "")


COMPILER = "import sys; from fuzz.compilation.progress import report\n"


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that runs a build with this Python code as the compiler's process."""
    monkeypatch.setattr(build, "LOG", tmp_path / "log")
    start = subprocess.Popen

    def run(code: str) -> None:
        def replaced(command: list[str], **options: object) -> Any:
            return start([sys.executable, "-c", COMPILER + code], **options)  # type: ignore[call-overload]

        monkeypatch.setattr(subprocess, "Popen", replaced)
        build.run_compiler(tmp_path, ["a.py", "b.py"], tmp_path)

    return run


def test_reports_are_shown_and_the_rest_is_logged(
    compiler: Callable[[str], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    compiler("report(0, 0); print('warning: x', file=sys.stderr, flush=True); report(2, 1)")
    assert (tmp_path / "log").read_text() == "warning: x\n"
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("s2fuzz: compiling 2 modules: translating them to C\ns2fuzz: compiled 2 of 2 modules")


def test_the_first_error_of_the_compiler_is_reported(compiler: Callable[[str], None], tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match=r"the compiler failed: a\.py:1: error: bad; log: "):
        compiler("report(0, 0); print('a.py:1: error: bad'); sys.exit(1)")
    with pytest.raises(build.BuildError, match="exit code 3"):
        compiler("sys.exit(3)")


@dataclass
class Extension:
    """Stands for an extension of setuptools."""

    name: str
    sources: list[str] = field(default_factory=list)


def test_jobs_have_their_optimisation_level_and_the_longest_comes_first(tmp_path: Path) -> None:
    files = {
        "__native_reference___pgtable.c": (2000, USUAL, True),
        "list_ops.c": (1000, FULL, False),
        "__native_fuzz___checkers___tlb.c": (1500, USUAL, True),
        "__native_fuzz___language___text.c": (900, NONE, True),
        "__native_s2fuzz.c": (800, NONE, False),
    }
    for name, (size, _, _) in files.items():
        (tmp_path / name).write_text("x" * size)
    shim = tmp_path / "tlb.c"
    shim.write_text("x")
    todo = jobs(
        [Extension(LIBRARY, [os.fspath(tmp_path / name) for name in files]), Extension("fuzz.tlb", [os.fspath(shim)])]
    )
    assert [Path(job.sources[0]).name for job in todo] == [
        "list_ops.c",
        "__native_reference___pgtable.c",
        "__native_fuzz___checkers___tlb.c",
        "__native_fuzz___language___text.c",
        "__native_s2fuzz.c",
        "tlb.c",
    ]
    for job in todo[:-1]:
        assert (job.level, bool(job.modules)) == files[Path(job.sources[0]).name][1:]
    assert (todo[-1].level, todo[-1].modules) == (NONE, 0)


def test_small_modules_of_one_level_are_one_job(tmp_path: Path) -> None:
    sizes = {
        "__native_fuzz___language___text.c": 500,
        "__native_fuzz___language___binary.c": JOINED[NONE] - 400,
        "__native_fuzz___language___repair.c": 300,
        "__native_fuzz___checkers___tlb.c": 400,
        "__native_fuzz___checkers___leak.c": 200,
        "__native_reference___kernel.c": 100,
        "__native_reference___pgtable.c": 100,
        "list_ops.c": 10,
        "set_ops.c": 10,
    }
    for name, size in sizes.items():
        (tmp_path / name).write_text("int x;".ljust(size))
    todo = jobs([Extension(LIBRARY, [os.fspath(tmp_path / name) for name in sizes])])
    names = {tuple(Path(source).name for source in job.sources): job for job in todo}
    small = ("__native_fuzz___language___repair.c", "__native_fuzz___language___text.c")
    usual = ("__native_fuzz___checkers___leak.c", "__native_fuzz___checkers___tlb.c")
    assert sorted(names) == sorted([small, usual, *((name,) for name in sizes if name not in small + usual)])
    assert names[small].modules == 2
    assert names[small].level == NONE
    assert Path(names[small].file(tmp_path)).read_text().splitlines() == [
        f'#include "{tmp_path / name}"' for name in small
    ]
    assert names["list_ops.c",].file(tmp_path) == os.fspath(tmp_path / "list_ops.c")


def test_wrappers_and_the_body_of_a_module_are_marked_rare() -> None:
    text = """\
PyObject *CPyPy_tlb___Tlb___seen(PyObject *self, PyObject *const *args, size_t nargs, PyObject *kwnames);
     (PyCFunction)CPyPy_tlb___Tlb___seen,
    PyObject *ret = CPyPy_tlb___Tlb_____init__(self, args, kwds);
PyObject *CPyPy_tlb___Tlb_____init__(PyObject *self, PyObject *args, PyObject *kw) {
        PyObject *CPyPy_tlb___Tlb___seen(PyObject *self, PyObject *const *args, size_t nargs, PyObject *kwnames) {
    char result = CPyDef_checkers___tlb_____top_level__();
char CPyDef_checkers___tlb_____top_level__(void) {
char CPyDef_tlb___Tlb___seen(PyObject *cpy_r_self) {
"""
    lines = text.splitlines()
    lines[4] = f"S2FUZZ_RARE {lines[4].strip()}"
    lines[6] = f"S2FUZZ_RARE {lines[6]}"
    assert marked(text).splitlines() == lines


def test_every_hot_file_exists() -> None:
    """Check that no optimised module was renamed, which would silently lose its optimisation."""
    names = [f"__native_{source.removesuffix('.py').replace('/', '___')}.c" for source in sources()]
    for part in (*HOT, *COLD, *UNTRAINED):
        assert part == "__native_s2fuzz." or any(part in name for name in names), part
    assert any(Job(Extension(LIBRARY), (name,)).level == USUAL for name in names)


@pytest.mark.parametrize(
    ("name", "usual", "thorough"),
    [
        ("reference___kernel", (USUAL, True), (USUAL, True)),
        ("fuzz___checkers___leak", (USUAL, False), (USUAL, True)),
        ("fuzz___language___text", (NONE, False), (NONE, False)),
        ("candidate___tree___runtime___replay", (FULL, False), (FULL, False)),
        ("candidate___tree___runtime___pool", (USUAL, False), (USUAL, False)),
    ],
)
def test_modules_compiled_with_a_profile(name: str, usual: tuple[str, bool], thorough: tuple[str, bool]) -> None:
    """Check that code not reached by the training run is excluded: the compiler would treat it as cold."""
    for each, found in ((False, usual), (True, thorough)):
        job = Job(Extension(LIBRARY), (f"__native_{name}.c",), each)
        assert (job.level, job.hot) == found
