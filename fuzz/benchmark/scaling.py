# SPDX-License-Identifier: GPL-2.0-only
"""The speed-up of a campaign by more workers on this machine, with its status screen, and the growth of memory.

Sessions of one campaign with one worker and with all take turns, so that other load on the machine affects both. A
short session before them is left out, because everything in it is new.
"""

import fcntl
import os
import pty
import select
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, Final

from ..campaign.store.database import NAME
from ..distribution import home_folder
from .mix import CANDIDATE, SEED

SECONDS: Final = 30.0
TURNS: Final = 3
_WARM: Final = 15.0
# Seconds allowed for the end of a session.
_GRACE: Final = 60.0


class ScalingError(Exception):
    """Raised when a campaign does not run; the message is one line that describes its end."""


def measure(seconds: float = SECONDS, workers: int = 0, turns: int = TURNS) -> dict[str, Any]:
    """Run a campaign with one worker and with more, in turns.

    :param seconds: time of each session
    :param workers: the larger number; 0: the cores of this machine
    :raises ScalingError: it did not run
    :returns: ``candidate``, ``seconds``, ``cores``; ``workers``: for each number of workers ``programs_per_second`` and
        ``operations_per_second`` (medians of its sessions); ``times``: the ratio of ``programs_per_second``;
        ``memory``: in KiB, for each session except the first, the peak of the ``engine`` processes, and the memory
        of the ``coordinator`` at its end
    """
    more = workers or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="s2fuzz-bench-") as name:
        folder = Path(name) / "campaign"
        session(folder, more, min(_WARM, seconds))
        order = [1, more] * turns
        for number in order:
            session(folder, number, seconds)
        with closing(sqlite3.connect(folder / NAME)) as db:
            rows = db.execute(
                "SELECT workers, sum(judged) / sessions.elapsed, sum(operations) / sessions.elapsed, max(child_kib),"
                " (SELECT coordinator_kib FROM statistics WHERE session = sessions.id ORDER BY elapsed DESC LIMIT 1)"
                " FROM sessions JOIN units ON session = sessions.id WHERE sessions.id > 1 GROUP BY sessions.id"
            ).fetchall()
    rates = {}
    for number in (1, more):
        programs, operations = zip(*((row[1], row[2]) for row in rows if row[0] == number), strict=True)
        rates[str(number)] = {
            "programs_per_second": round(median(programs), 1),
            "operations_per_second": round(median(operations), 1),
        }
    one, many = (rates[str(number)]["programs_per_second"] for number in (1, more))
    return {
        "candidate": CANDIDATE,
        "seconds": seconds,
        "cores": os.cpu_count(),
        "workers": rates,
        "times": round(many / one, 2) if one else 0.0,
        "memory": {"engine": [row[3] for row in rows], "coordinator": [row[4] for row in rows]},
    }


def session(folder: Path, workers: int, seconds: float) -> None:
    """Run a campaign for a while, in a terminal of its own.

    :raises ScalingError: it did not end normally
    """
    terminal, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    command = [sys.executable, "-m", "fuzz", "campaign", str(folder), "--candidate", CANDIDATE, "--seed", str(SEED)]
    command += ["--workers", str(workers), "--hours", f"{seconds / 3600:.6f}"]
    environment = {**os.environ, "PYTHONPATH": str(home_folder()), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, cwd=folder.parent, env=environment, stdin=screen, stdout=subprocess.DEVNULL, stderr=screen
    )
    os.close(screen)
    said = b""
    deadline = time.monotonic() + seconds + _GRACE
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    said = (said + os.read(terminal, 1 << 16))[-2000:]
                except OSError:
                    # The other end is closed, so the campaign is ending.
                    process.wait(_GRACE)
        if process.poll() not in (0, 1):
            lines = said.decode(errors="replace").split("\n")
            raise ScalingError(f"a campaign ended with {process.poll()}: {(lines[-2:] or [''])[0].strip()}")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def text(result: dict[str, Any]) -> str:
    """Return the result of `measure` as text."""

    def row(label: str, values: list[str]) -> str:
        return label.ljust(40) + "".join(value.rjust(14) for value in values)

    def mib(values: list[int]) -> str:
        return " ".join(str(value // 1024) for value in values)

    rates: dict[str, dict[str, float]] = result["workers"]
    memory = result["memory"]
    both = f"engines {mib(memory['engine'])}, coordinator {mib(memory['coordinator'])}"
    lines = [
        f"a campaign on {result['candidate']}, sessions of {result['seconds']:g} s, {result['cores']} cores, screen on",
        "",
        row("workers", list(rates)),
        row("programs/s", [f"{each['programs_per_second']:.1f}" for each in rates.values()]),
        row("operations/s", [f"{each['operations_per_second']:.1f}" for each in rates.values()]),
        f"the larger number judges {result['times']} times as much",
        "",
        f"memory in MiB, one session after the other: {both}",
    ]
    return "\n".join(lines) + "\n"
