# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU that is missing, dies or hangs, and one whose s2fuzz is killed: one line, and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.hardware.generator import Generator
from fuzz.hardware.qemu import VARIABLE, Qemu, QemuError
from fuzz.hardware.session import Session

from ..unit.console import ROOT, process, refused

SHARED = Path("/dev/shm")


def check(*arguments: str) -> tuple[int, str, str]:
    """``s2fuzz hardware check`` in a process of its own."""
    result = process("hardware", "check", *arguments, stdout=subprocess.PIPE)
    return result.returncode, result.stdout, result.stderr


def children(pid: int) -> list[int]:
    """The processes that one has started, from /proc."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def state(pid: int) -> str:
    """The state of a process as /proc has it; Z, a zombie, also where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def becomes(pid: int, wanted: str, seconds: float = 10) -> bool:
    """Whether a process comes into a state in time."""
    end = time.monotonic() + seconds
    while state(pid) != wanted:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def gone(pid: int) -> bool:
    """Whether a process ends soon."""
    return becomes(pid, "Z")


@pytest.fixture
def running(installed: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A long ``s2fuzz hardware check``, and the process number of its QEMU, which is at work."""
    command = [sys.executable, "-m", "fuzz", "hardware", "check", "--seconds", "600", "--out", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as child:
        try:
            end = time.monotonic() + 60
            found: list[int] = []
            while not found and time.monotonic() < end:
                time.sleep(0.05)
                found = [each for each in children(child.pid) if "qemu" in Path(f"/proc/{each}/cmdline").read_text()]
            # Well into its work.
            time.sleep(1)
            yield child, found[0]
        finally:
            child.kill()


def test_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    allowed = "allowed: an executable qemu-system-aarch64 on PATH (Debian: qemu-system-arm), or named by S2FUZZ_QEMU"
    refused(check("--out", str(tmp_path)), f"QEMU: {tmp_path}/none is not there", allowed)
    file = ROOT / "corpus" / "seeds" / "merge.s2"
    result = process("run", "--qemu", str(file), stdout=subprocess.PIPE)
    refused((result.returncode, result.stdout, result.stderr), f"QEMU: {tmp_path}/none is not there", allowed)


def fake(folder: Path, script: str) -> str:
    """A program that is no QEMU."""
    file = folder / "qemu"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "ended with exit code 3; allowed:"),
        ("echo first >&2; echo no such machine >&2; exit 1", "ended with exit code 1: no such machine; allowed:"),
        ("kill -SEGV $$", "ended by signal 11; allowed:"),
    ],
)
def test_dies_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str) -> None:
    monkeypatch.setenv(VARIABLE, fake(tmp_path, script))
    refused(check("--out", str(tmp_path)), f"QEMU: {tmp_path}/qemu {words}")


def test_cannot_be_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "qemu"
    file.write_bytes(b"\x7fELF nothing")
    file.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(file))
    refused(check("--out", str(tmp_path)), f"QEMU: {file}: Exec format error; allowed:")


def test_never_comes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fake(tmp_path, f"echo $$ >{tmp_path}/pid; exec sleep 600")
    monkeypatch.setenv(VARIABLE, file)
    with pytest.raises(QemuError, match=rf"QEMU: {file} does not answer within 0\.5 s and was killed; allowed: "):
        Qemu(patience=0.5)
    assert gone(int((tmp_path / "pid").read_text()))


def test_killed_at_work(running: tuple[subprocess.Popen[str], int]) -> None:
    child, qemu = running
    os.kill(qemu, signal.SIGKILL)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (2, "")
    lines = [line for line in err.splitlines() if "QEMU" in line]
    assert len(lines) == 1
    assert "ended by signal 9; allowed: " in lines[0]
    assert "Traceback" not in err


def test_hangs_at_work(installed: str) -> None:
    with Qemu(patience=0.5) as qemu:
        session = Session(qemu)
        tables = Generator(1).make(session.memory)
        assert session.ask([tables]) == []
        os.kill(qemu.process.pid, signal.SIGSTOP)
        assert becomes(qemu.process.pid, "T")
        with pytest.raises(QemuError, match=r"does not answer within 0\.5 s and was killed"):
            session.ask([tables])
        assert gone(qemu.process.pid)


def test_ends_with_us_however_we_end(running: tuple[subprocess.Popen[str], int]) -> None:
    """SIGKILL of s2fuzz: no process and no file is left."""
    child, qemu = running
    before = set(SHARED.iterdir())
    held = {os.readlink(link) for link in Path(f"/proc/{qemu}/fd").iterdir()}
    # The memory that they share has no name that could be left over.
    assert any(name.startswith("/memfd:s2fuzz") and name.endswith("(deleted)") for name in held)
    child.kill()
    child.wait()
    assert gone(qemu)
    assert set(SHARED.iterdir()) <= before
    assert not any("s2fuzz" in path.name for path in SHARED.iterdir())


def test_interrupted(running: tuple[subprocess.Popen[str], int]) -> None:
    """Ctrl-C: what was asked so far is told, and QEMU goes."""
    child, qemu = running
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert out.endswith("no difference\n")
    assert err.endswith("s2fuzz: interrupted\n")
    assert gone(qemu)


def test_closed_in_order(installed: str) -> None:
    """Its end of input is its end: no signal is needed."""
    qemu = Qemu()
    qemu.close()
    assert qemu.process.returncode == 0


@pytest.mark.parametrize("text", ["", "s2fuzz tables 1\nnonsense\n"])
def test_a_file_that_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.tables"
    file.write_text(text)
    refused(check(str(file)), str(file), "allowed: ")
    refused(check(str(tmp_path / "none")), "No such file or directory; allowed: a file of tables")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", "0"], "allowed: more than 0"),
        (["--translations", "x"], "allowed: a whole number from 1"),
        (["--seed", "-1"], "--seed"),
        (["--seconds", "1", "--translations", "1"], "not allowed with argument"),
        (["x.tables", "--seconds", "1"], "allowed: FILE, or --seconds or --translations"),
    ],
)
def test_usage(arguments: list[str], words: str) -> None:
    refused(check(*arguments), words)


def test_replays_a_file(installed: str, tmp_path: Path) -> None:
    file = tmp_path / "x.tables"
    file.write_text(
        "s2fuzz tables 1\n"
        "tables granule=4K ia=40 start=1 pa=48 fwb=off stage1=wb root=0x47000000\n"
        "0x47000008 0x00000080000004fd\n"
        "ask read 0x40000123\n"
        "ask fetch 0x0\n"
    )
    code, out, _ = check(str(file))
    assert code == 0
    assert "2 translations of 1 sets of tables" in out
    assert out.endswith("no difference\n")
