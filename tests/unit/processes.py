# SPDX-License-Identifier: GPL-2.0-only
"""The console script as a process that a test signals, with test candidates, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from .console import ROOT

# No measure of speed: after so long something is wrong.
DEADLINE = 60.0
# For what takes tens of seconds of CPU time by its nature, on a machine that is busy.
LONG = 600.0
_MARK = "S2FUZZ_TEST_MARK"
_REGISTER = """
import sys
if "fuzz" in " ".join(sys.orig_argv):
    import candidate
    from tests.good_bad import practice_silence
    for each in practice_silence.ALL:
        candidate.register(each.name, each.pgtable, each.mmu, "for a test")
"""


def environment(folder: Path) -> dict[str, str]:
    """One in which every process of ours knows the candidates of `tests.good_bad.practice_silence`.

    :param folder: an empty one; its name marks the processes
    """
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_REGISTER)
    return {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", _MARK: str(folder)}


class Started:
    """A command that runs in *folder*, its output in files there.

    :param folder: a scratch one of its own
    :param ignored: signals that are ignored on its entry; all others have their default
    """

    def __init__(self, folder: Path, *arguments: str, ignored: Collection[int] = ()) -> None:
        self.folder = folder
        self.out, self.err = folder / "out", folder / "err"

        def signals() -> None:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fuzz", *arguments],
                env=environment(folder),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=signals,
            )

    def end(self, *numbers: int, seconds: float = DEADLINE) -> tuple[int, str, str]:
        """Send signals and wait for its end: exit code, stdout, stderr; no process may be left."""
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
    """Processes of a command that live."""
    mark, found = f"{_MARK}={folder}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
    return sorted(found)


def wait_for(true: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
