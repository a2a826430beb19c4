# SPDX-License-Identifier: GPL-2.0-only
"""Memory that processes use, as Linux reports it."""

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
