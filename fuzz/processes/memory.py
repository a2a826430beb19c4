# SPDX-License-Identifier: GPL-2.0-only
"""Memory use of processes, as Linux reports it."""

import os
import threading
from pathlib import Path
from typing import Final

_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") >> 10


def resident_kib(process: int | str, peak: bool = False) -> int:
    """Return the resident memory of a process in KiB; 0 if the process has ended, or the value is not available.

    :param peak: return the peak instead, which takes longer to read
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
    """Return the resident memory, in KiB, of the largest living child of this thread; 0: there is none.

    :param peak: compare and return peaks instead
    """
    path = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    try:
        pids = path.read_text().split()
    except OSError:
        return 0
    return max((resident_kib(pid, peak) for pid in pids), default=0)
