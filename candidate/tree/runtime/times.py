# SPDX-License-Identifier: GPL-2.0-only
"""The CPU time that processes of kernel trees take, as Linux reports it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from .pool import POOL

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def seconds() -> tuple[float, float]:
    """Return the CPU time, in seconds, of the trees' idle processes and of children that have ended.

    :returns: user time, system time
    """
    ended = os.times()
    user, system = ended.children_user, ended.children_system
    for each in POOL.idle():
        for pid in family(each.pid):
            with suppress(OSError):
                said = Path(f"/proc/{pid}/stat").read_text()
                # After the name: utime and stime, and those of children that have ended.
                fields = said[said.rindex(")") :].split()
                user += (int(fields[12]) + int(fields[14])) / _TICKS
                system += (int(fields[13]) + int(fields[15])) / _TICKS
    return user, system


def family(pid: int) -> list[int]:
    """Return the PIDs of a process and its children."""
    with suppress(OSError):
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return [pid]
