# SPDX-License-Identifier: GPL-2.0-only
"""QEMU is missing, dies or hangs, or s2fuzz is killed: one line of output, and nothing is left behind."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.hardware.generator import TablesGenerator
from fuzz.hardware.qemu import VARIABLE, Qemu, QemuError
from fuzz.hardware.session import QemuSession

from ..unit.console import ROOT, process, refused
from ..unit.processes import PATIENCE, interruptible, state, wait_for, wait_for_end, wait_for_work

SHARED = Path("/dev/shm")


def check(*arguments: str) -> tuple[int, str, str]:
    """Run ``s2fuzz hardware check`` in a process of its own."""
    result = process("hardware", "check", *arguments, stdout=subprocess.PIPE)
    return result.returncode, result.stdout, result.stderr


def children(pid: int) -> list[int]:
    """Return the child processes of a process, from /proc."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


@pytest.fixture
def running(installed: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a long ``s2fuzz hardware check``; yield it, and the process number of its running QEMU."""
    command = [sys.executable, "-m", "fuzz", "hardware", "check", "--seconds", "600", "--out", str(tmp_path)]
    # Its stderr is a file, which can be read before the end.
    with (
        open(tmp_path / "err", "w+") as err,
        subprocess.Popen(
            interruptible(command), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=err, start_new_session=True
        ) as child,
    ):
        try:
            wait_for(lambda: "CPython" in (tmp_path / "err").read_text(), "the line that says in which form it runs")
            (qemu,) = [each for each in children(child.pid) if "qemu" in Path(f"/proc/{each}/cmdline").read_text()]
            # Wait until the check is well under way.
            wait_for_work(lambda: [child.pid], 0.3)
            yield child, qemu
        finally:
            child.kill()


def ended(child: subprocess.Popen[str], tmp_path: Path) -> tuple[int, str, str]:
    """Wait for the end of a process; return its exit code, stdout and stderr."""
    out, _ = child.communicate(timeout=PATIENCE)
    return child.returncode, out, (tmp_path / "err").read_text()


def test_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    wanted = "provide an executable qemu-system-aarch64 on PATH (Debian: qemu-system-arm), or named by S2FUZZ_QEMU"
    refused(check("--out", str(tmp_path)), f"QEMU: {tmp_path}/none does not exist", wanted)
    file = ROOT / "corpus" / "seeds" / "merge.s2"
    result = process("run", "--qemu", str(file), stdout=subprocess.PIPE)
    refused((result.returncode, result.stdout, result.stderr), f"QEMU: {tmp_path}/none does not exist", wanted)


def fake(folder: Path, script: str) -> str:
    """Make a program that is not QEMU; return its path."""
    file = folder / "qemu"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "ended with exit code 3; use one"),
        ("echo first >&2; echo no such machine >&2; exit 1", "ended with exit code 1: no such machine; use one"),
        ("kill -SEGV $$", "ended by signal 11; use one"),
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
    refused(check("--out", str(tmp_path)), f"QEMU: {file}: Exec format error; provide an executable")


def test_never_comes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fake(tmp_path, "exec sleep 600")
    monkeypatch.setenv(VARIABLE, file)
    started: list[subprocess.Popen[bytes]] = []

    def start(qemu: Qemu, memory: int) -> subprocess.Popen[bytes]:
        started.append(real(qemu, memory))
        return started[-1]

    real = Qemu.start
    monkeypatch.setattr(Qemu, "start", start)
    with pytest.raises(
        QemuError, match=rf"QEMU: {file} does not answer within 0\.5 s and was killed; use one that is fast enough"
    ):
        Qemu(patience=0.5)
    assert [process.poll() for process in started] == [-signal.SIGKILL]


def test_killed_while_running(running: tuple[subprocess.Popen[str], int], tmp_path: Path) -> None:
    child, qemu = running
    os.kill(qemu, signal.SIGKILL)
    code, out, err = ended(child, tmp_path)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if "QEMU" in line]
    assert len(lines) == 1
    assert "ended by signal 9; use one that runs " in lines[0]
    assert "Traceback" not in err


def test_hangs_while_running(installed: str) -> None:
    with Qemu() as qemu:
        session = QemuSession(qemu)
        tables = TablesGenerator(1).make(session.memory)
        assert session.ask([tables]) == []
        os.kill(qemu.process.pid, signal.SIGSTOP)
        wait_for(lambda: state(qemu.process.pid) == "T", "a QEMU that is stopped")
        qemu.patience = 0.5
        with pytest.raises(QemuError, match=r"does not answer within 0\.5 s and was killed"):
            session.ask([tables])
        wait_for_end(qemu.process.pid)


def test_ends_when_s2fuzz_is_killed(running: tuple[subprocess.Popen[str], int]) -> None:
    """After SIGKILL of s2fuzz, no process and no file is left."""
    child, qemu = running
    before = set(SHARED.iterdir())
    held = {os.readlink(link) for link in Path(f"/proc/{qemu}/fd").iterdir()}
    # The shared memory has no name that could be left over.
    assert any(name.startswith("/memfd:s2fuzz") and name.endswith("(deleted)") for name in held)
    child.kill()
    child.wait()
    wait_for_end(qemu)
    # Other processes create and remove files too.
    wait_for(lambda: set(SHARED.iterdir()) <= before, "no file that is left")
    assert not any("s2fuzz" in path.name for path in SHARED.iterdir())


def test_interrupted(running: tuple[subprocess.Popen[str], int], tmp_path: Path) -> None:
    """After Ctrl-C, the results so far are reported, and QEMU ends."""
    child, qemu = running
    child.send_signal(signal.SIGINT)
    code, out, err = ended(child, tmp_path)
    assert code == 130
    assert out.endswith("no difference\n")
    assert err.endswith("s2fuzz: interrupted\n")
    wait_for_end(qemu)


def test_closed_in_order(installed: str) -> None:
    """QEMU ends at the end of its input: no signal is needed."""
    qemu = Qemu()
    qemu.close()
    assert qemu.process.returncode == 0


@pytest.mark.parametrize("text", ["", "s2fuzz tables 1\nnonsense\n"])
def test_a_file_that_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.tables"
    file.write_text(text)
    refused(check(str(file)), str(file), "allowed: ")
    refused(check(str(tmp_path / "none")), "No such file or directory; name a file of tables")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", "0"], "allowed: more than 0"),
        (["--translations", "x"], "allowed: a whole number from 1"),
        (["--seed", "-1"], "--seed"),
        (["--seconds", "1", "--translations", "1"], "not allowed with argument"),
        (["x.tables", "--seconds", "1"], "give FILE, or --seconds or --translations"),
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


def test_no_memory_for_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    (tmp_path / "qemu").touch(0o755)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "qemu"))
    monkeypatch.setattr(os, "memfd_create", fails)
    with pytest.raises(QemuError, match="no memory or files for it: Too many open files; free some"):
        Qemu()
