# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz real`` with something missing, or with a QEMU that dies:

one line, exit code 2, and nothing is left behind.
"""

from pathlib import Path

import pytest

from fuzz.hardware.qemu import VARIABLE
from fuzz.real import initrd, machine

from ..console import ROOT, in_process, refused

SHARED = Path("/dev/shm")
PROGRAM = str(ROOT / "corpus/regressions/livelock-two-levels.s2")


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a file that is no kernel, an empty cache, and a compiler whose output is no program."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiler = script(tmp_path / "gcc", 'while [ "$1" != -o ]; do shift; done; echo made > "$2"')
    monkeypatch.setenv(initrd.VARIABLE, compiler)
    (tmp_path / "Image").write_bytes(b"nothing")
    return str(tmp_path / "Image")


def children() -> set[str]:
    """Return the live processes that this process has started."""
    return {each for task in Path("/proc/self/task").iterdir() for each in (task / "children").read_text().split()}


def script(path: Path, text: str) -> str:
    """Write a script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_no_kernel(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys, "real", "run")
    refused(run(PROGRAM, "--kernel", "6.12"), "no kernel 6.12, there is none in ", "`make real` fetches")
    refused(run(PROGRAM, "--kernel", "/none"), "--kernel /none: no such file; name a kernel image")
    refused(run(PROGRAM, "--model", "nonsense"), "no kernel at hand")
    refused(run(PROGRAM, "--model", "nonsense", "--kernel", image), "no version 'nonsense'")
    refused(run(str(ROOT / "none.s2"), "--kernel", image), "none.s2")


def test_no_compiler(image: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(initrd.VARIABLE, "/none/gcc")
    refused(in_process(capsys, "real", "run")(PROGRAM, "--kernel", image), "no cross compiler", "gcc-aarch64-linux-gnu")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not exist; provide an executable qemu-system-aarch64"),
        ("echo no such machine >&2; exit 1", "ended with exit code 1: no such machine; use one that runs"),
        ("kill -SEGV $$", "ended by signal 11; use one that runs"),
        ("exit 0", "ended: no output"),
        ("kill -KILL $$", "ended by signal 9; use one that runs"),
        ("exec sleep 1000", "monitor: timed out; use one that runs"),
    ],
)
def test_a_qemu_that_is_missing_or_dies(
    image: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    words: str,
) -> None:
    monkeypatch.setenv(VARIABLE, script(tmp_path / "qemu", text) if text else str(tmp_path / "none"))
    monkeypatch.setattr(machine, "PATIENCE", 1.0)
    before = set(SHARED.iterdir()), children()
    code, out, err = in_process(capsys, "real", "run")(PROGRAM, "--kernel", image)
    assert (code, out) == (2, "")
    *said, last = err.splitlines()
    assert last.startswith("s2fuzz: real: ")
    assert words in last
    assert [line for line in said if "booting" not in line] == []
    # There is no orphan, nothing in shared memory, and no half-saved machine.
    assert (set(SHARED.iterdir()), children()) == before
    assert [*(tmp_path / "cache").rglob("machines/*")] == []
