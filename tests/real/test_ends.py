# SPDX-License-Identifier: GPL-2.0-only
"""Machines that die, hang or do not boot, and a killed s2fuzz: one error line, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fuzz.real import session as sessions
from fuzz.real.errors import RealError, RealSilentError
from fuzz.real.folder import entry
from fuzz.real.kernels import RealKernel
from fuzz.real.session import RealSession

from ..unit.console import ROOT
from ..unit.processes import PATIENCE, interruptible, state, wait_for, wait_for_end
from .test_run import P1

SHARED = Path("/dev/shm")


def children(pid: int) -> list[int]:
    """Return the QEMUs that a process has started, according to /proc."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return [each for each in found if "\0-machine\0" in Path(f"/proc/{each}/cmdline").read_text()]


@pytest.fixture
def running(newest: RealKernel, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a running ``s2fuzz real run`` of many programs, and the process ID of its QEMU."""
    with RealSession(newest):
        # Boot and save the machine.
        pass
    command = [sys.executable, "-m", "fuzz", "real", "run", *[str(ROOT / P1)] * 50, "--kernel", newest.name, "--json"]
    with subprocess.Popen(
        interruptible(command),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            wait_for(lambda: children(child.pid), "a QEMU")
            yield child, children(child.pid)[0]
        finally:
            child.kill()


def test_qemu_killed_while_it_runs(running: tuple[subprocess.Popen[str], int]) -> None:
    child, qemu = running
    os.kill(qemu, signal.SIGKILL)
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert "QEMU: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_qemu_and_no_memory_is_left(running: tuple[subprocess.Popen[str], int], number: signal.Signals) -> None:
    child, qemu = running
    held = set()
    for link in Path(f"/proc/{qemu}/fd").iterdir():
        # QEMU opens and closes other descriptors in the meantime.
        with suppress(FileNotFoundError):
            held.add(os.readlink(link))
    # Their shared memory has no name, so no file can be left over.
    assert any(name.startswith("/memfd:s2fuzz-real") and name.endswith("(deleted)") for name in held)
    child.send_signal(number)
    child.communicate(timeout=PATIENCE)
    assert child.returncode in (128 + number, -number)
    wait_for_end(qemu)
    assert not any("s2fuzz" in path.name for path in SHARED.iterdir())


def test_a_machine_is_restored_quickly(newest: RealKernel) -> None:
    """An undisturbed machine takes a third of a second."""
    with RealSession(newest) as session:
        began = time.monotonic()
        session.start()
        assert time.monotonic() - began < 5.0


def test_qemu_hangs_while_it_runs(newest: RealKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    with RealSession(newest) as session:
        assert session.machine is not None
        process = session.machine.process
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: state(process.pid) == "T", "a QEMU that is stopped")
        monkeypatch.setattr(sessions, "PLAY_PATIENCE", 0.5)
        with pytest.raises(RealSilentError, match=r"did not answer within 0\.5 s and was killed"):
            session.play(["v 40 1 1 0 0 0x8000000 0xa000000 0"])
        wait_for_end(process.pid)


def test_a_kernel_that_panics_while_it_boots(newest: RealKernel) -> None:
    with pytest.raises(RealError, match=r"the kernel of the emulated machine ended: .*panic.* while .* booted; use a"):
        RealSession(newest, "rdinit=/none", progress=lambda _: None)


def test_a_file_that_is_no_kernel(newest: RealKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Image").write_bytes(b"no kernel" * 10_000)
    monkeypatch.setattr(sessions, "BOOT_PATIENCE", 3.0)
    with pytest.raises(RealError, match=r"Image booted; use a kernel for arm64 with a serial console"):
        RealSession(RealKernel(tmp_path / "Image", "Image"), progress=lambda _: None)


def test_a_damaged_saved_machine(newest: RealKernel) -> None:
    """The machine has its own kernel parameter, so that no other test uses it."""
    told: list[str] = []
    with RealSession(newest, "quiet", progress=told.append) as session:
        saved = entry(sessions.PART, session.name())
        assert saved is not None
        session.close()
        (saved / sessions.STATE).write_bytes(b"nothing")
        with pytest.raises(RealError, match=r"the saved machine .* cannot be used: .*; remove that folder"):
            session.start()
        for each in saved.iterdir():
            each.unlink()
        saved.rmdir()
