# SPDX-License-Identifier: GPL-2.0-only
"""Processes under test: started with default signal handling, and waited for by observable events, never by time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..console import ROOT

# Seconds that a loaded machine may need for work that usually takes one second.
PATIENCE: Final = 60.0
# Seconds for work that takes tens of seconds of CPU time.
LONG: Final = 600.0
# Seconds between two checks.
_LOOK_EVERY: Final = 0.02
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Children of a background job ignore SIGINT, and children of nohup ignore SIGHUP; Python then sets no handler.
_LAUNCHER: Final = """\
import os, signal, sys
ignored = sys.argv[1].split(",")
for number in signal.SIGINT, signal.SIGHUP, signal.SIGTERM:
    signal.signal(number, signal.SIG_IGN if str(int(number)) in ignored else signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execv(sys.argv[2], sys.argv[2:])
"""
_MARK: Final = "S2FUZZ_TEST_MARK"
_REGISTER: Final = """
import sys
if "fuzz" in " ".join(sys.orig_argv):
    from fuzz.judging import silence
    # Before it is the default of anything. Right code takes milliseconds.
    silence.SECONDS = 2.0
    import candidate
    from tests.good_bad import practice_silence
    for each in practice_silence.ALL:
        candidate.register(each.name, each.pgtable, each.mmu, "for a test")
"""


def interruptible(command: list[str], ignored: Collection[int] = ()) -> list[str]:
    """Return the command, wrapped so that signals act as in a terminal, however the tests were started.

    :param ignored: signals that the command ignores when it starts
    """
    numbers = ",".join(str(int(number)) for number in ignored)
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, numbers, *command]


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which all processes know the candidates of `tests.good_bad.practice_silence`.

    Kernel code counts as silent after only 2 s of CPU time.

    :param folder: an empty folder; its name marks the processes
    """
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_REGISTER)
    return {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", _MARK: str(folder)}


class Started:
    """A command that runs in *folder*, with its output in files there.

    :param folder: a scratch folder used by this command only
    :param ignored: signals that the command ignores when it starts; all others have their default action
    """

    def __init__(self, folder: Path, *arguments: str, ignored: Collection[int] = ()) -> None:
        self.folder = folder
        self.out, self.err = folder / "out", folder / "err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                interruptible([sys.executable, "-m", "fuzz", *arguments], ignored),
                env=environment(folder),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def end(self, *numbers: int, seconds: float = PATIENCE) -> tuple[int, str, str]:
        """Send signals and wait for the end: exit status, stdout, stderr; no process may be left."""
        for number in numbers:
            self.process.send_signal(number)
        try:
            code = self.process.wait(seconds)
            wait_for(lambda: not left(self.folder), "no process is left")
        finally:
            for process in left(self.folder):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self.process.wait()
        return code, self.out.read_text(), self.err.read_text()


def left(folder: Path) -> list[int]:
    """Return the live processes of a command."""
    mark, found = f"{_MARK}={folder}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
    return sorted(found)


def wait_for(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds.

    :param what: name of the condition, for the message if it never holds
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(_LOOK_EVERY)


def state(pid: int) -> str:
    """Return the state of a process as in /proc; Z (zombie) also if the process does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone or a zombie."""
    wait_for(lambda: state(pid) == "Z", f"the end of process {pid}")


def work_of(pids: Iterable[int]) -> float:
    """Return the CPU time of processes and of the children that they have waited for, in seconds."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            # utime, stime, cutime, cstime
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


def wait_for_work(pids: Callable[[], Iterable[int]], seconds: float) -> None:
    """Wait until processes have used this many more seconds of CPU time, however long that takes.

    :param pids: returns the processes; some may start or end meanwhile
    """
    most = start = work_of(pids())
    deadline = time.monotonic() + PATIENCE
    while most - start < seconds:
        assert time.monotonic() < deadline, f"processes that work, {most - start:.2f} of {seconds:.2f} s so far"
        time.sleep(_LOOK_EVERY)
        now = work_of(pids())
        # A process that has ended and that no parent has waited for is not counted.
        start -= max(0.0, most - now)
        most = now
