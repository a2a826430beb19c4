# SPDX-License-Identifier: GPL-2.0-only
"""Memory that processes use, as Linux reports it."""

import threading
from pathlib import Path


def resident_kib(process: int | str, peak: bool = False) -> int:
    """Resident memory of a process, in KiB; 0 if it is gone.

    :param peak: the most it ever had
    """
    key = "VmHWM:" if peak else "VmRSS:"
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
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
