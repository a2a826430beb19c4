# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz real`` on a machine that lacks something, or whose QEMU dies: one line, exit code 2, and nothing is left."""

from pathlib import Path

import pytest

from fuzz.hardware.qemu import VARIABLE
from fuzz.real import initrd

from ..console import ROOT, in_process, refused

PROGRAM = str(ROOT / "corpus/regressions/livelock-two-levels.s2")


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file that is no kernel; the cache is empty, and a compiler makes what is no program."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiler = script(tmp_path / "gcc", 'while [ "$1" != -o ]; do shift; done; echo made > "$2"')
    monkeypatch.setenv(initrd.VARIABLE, compiler)
    (tmp_path / "Image").write_bytes(b"nothing")
    return str(tmp_path / "Image")


def script(path: Path, text: str) -> str:
    """A program that is a script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_no_kernel(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys, "real", "run")
    refused(run(PROGRAM, "--kernel", "6.12"), "no kernel 6.12, there is none in ", "`make real` fetches")
    refused(run(PROGRAM, "--kernel", "/none"), "--kernel /none: no such file; name a kernel image")
    refused(run(PROGRAM, "--model", "nonsense"), "no kernel at hand")
    refused(run(PROGRAM, "--model", "nonsense", "--kernel", image), "no candidate 'nonsense'")
    refused(run(str(ROOT / "none.s2"), "--kernel", image), "none.s2")


def test_no_compiler(image: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(initrd.VARIABLE, "/none/gcc")
    refused(in_process(capsys, "real", "run")(PROGRAM, "--kernel", image), "no cross compiler", "gcc-aarch64-linux-gnu")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not there; provide an executable qemu-system-aarch64"),
        ("echo no such machine >&2; exit 1", "ended with exit code 1: no such machine; use one that runs"),
        ("kill -SEGV $$", "ended by signal 11; use one that runs"),
        ("exit 0", "ended: and said nothing"),
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
    code, out, err = in_process(capsys, "real", "run")(PROGRAM, "--kernel", image)
    assert (code, out) == (2, "")
    *before, last = err.splitlines()
    assert last.startswith("s2fuzz: real: QEMU: ") or text == "exit 0"
    assert words in last
    assert [line for line in before if "booting" not in line] == []
