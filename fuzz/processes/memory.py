# SPDX-License-Identifier: GPL-2.0-only
"""Memory that processes use, as Linux reports it."""

import os
import threading
from pathlib import Path
from typing import Final

_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") >> 10


def resident_kib(process: int | str, peak: bool = False) -> int:
    """Resident memory of a process, in KiB; 0 if it is gone, or nothing tells it.

    :param peak: the most it ever had, which takes longer to find
    """
    try:
        if peak:
            return _peak_kib(process)
        with open(f"/proc/{process}/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _PAGE_KIB
    except (OSError, ValueError, IndexError):
        return 0


def _peak_kib(process: int | str) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def children_kib(peak: bool = False) -> int:
    """The most resident memory, in KiB, of a process that this thread started and that lives; 0: there is none.

    :param peak: the most that it ever had
    """
    path = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    try:
        pids = path.read_text().split()
    except OSError:
        return 0
    return max((resident_kib(pid, peak) for pid in pids), default=0)
