# SPDX-License-Identifier: GPL-2.0-only
"""The figures of two versions side by side, as a table for people."""

from collections.abc import Mapping
from typing import Final

from .measuring import DRAWS, Figures

# Figures of each side, keyed by the number of vCPUs.
Rows = Mapping[int, tuple[Figures, Figures]]

# For each column: its field, heading, and divisor.
COLUMNS: Final = (
    ("bytes_cleaned", "KiB cleaned", 1024),
    ("window_entries", "visits in the window", 1),
    ("window_events", "events in the window", 1),
    ("faults", "faults of others", 1),
)
# Columns of a creation, where no entry is broken and each fault is needed.
CREATE_COLUMNS: Final = COLUMNS[:1]
ABOUT: Final = {
    "create": "All vCPUs have taken a fault in the block before the first one maps it.\n",
    "rebuild": (
        "One vCPU rebuilds the block from its pages. Each other vCPU reads a page meanwhile, at a randomly drawn\n"
        f"step of the rebuild (mean of {DRAWS} draws). The window is the time in which the entry of the block is\n"
        "invalid. Visits are visits of old entries. Only the window makes the other vCPUs fault.\n"
    ),
}
LIMITS: Final = """\
This is a model of steps: it counts operations and their order, not seconds. A visit of an entry, a flush and a clean of
2M each count as one step, although hardware takes very different times for them. The order of events differs from draw
to draw; the order of memory accesses does not. vCPUs that wait for the lock are not queued, and caches are as large as
memory.
"""


def columns(workload: str) -> tuple[tuple[str, str, int], ...]:
    """Return the columns of a workload."""
    return CREATE_COLUMNS if workload == "create" else COLUMNS


def table(workload: str, block: str, names: tuple[str, str], rows: Rows) -> str:
    """Return the table, a description of the workload, and the limits of the model.

    :param names: the names of the two versions
    """
    lines = [f"{workload} of a {block} block. {ABOUT[workload]}"]
    width = max(len(name) for name in names) + 2
    shown = columns(workload)
    lines.append("vCPUs".ljust(8) + "version".ljust(width) + "".join(head.rjust(len(head) + 3) for _, head, _ in shown))
    for cpus, sides in rows.items():
        for name, figures in zip(names, sides, strict=True):
            cells = [f"{getattr(figures, field) / unit:g}".rjust(len(head) + 3) for field, head, unit in shown]
            lines.append(str(cpus).ljust(8) + name.ljust(width) + "".join(cells))
    return "\n".join([*lines, "", LIMITS])
