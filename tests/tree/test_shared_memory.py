# SPDX-License-Identifier: GPL-2.0-only
"""The memory that the driver and a tree's process share has an address outside of the simulated host's memory."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.runtime.pool import POOL
from candidate.tree.runtime.versions import TreePgtable
from fuzz.sides.side import HVA_BASE

from .trees import version

STARTS: Final = 4


def shared_end(pid: int) -> int:
    """Return the end of the shared memory in a process."""
    lines = (Path("/proc") / str(pid) / "maps").read_text().splitlines()
    return max(int(line.split()[0].partition("-")[2], 16) for line in lines if "memfd:s2fuzz-tree" in line)


def test_no_area_of_the_host_covers_the_buffers_of_user_space() -> None:
    """The system chooses other addresses each time that a process starts."""
    pgtable = candidate.get(version("6.12")).pgtable
    assert issubclass(pgtable, TreePgtable)
    for _ in range(STARTS):
        process = POOL.take(pgtable.library(12))
        assert shared_end(process.pid) < HVA_BASE
        process.close()
