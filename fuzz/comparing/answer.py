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
    "create": "All vCPUs have taken a fault on the block before the first one maps it.\n",
    "rebuild": (
        "One vCPU makes a block of the pages again, and each other one reads a page meanwhile, at a step of it\n"
        f"that is drawn (mean of {DRAWS} draws). The window is the time in which the entry of the block is invalid:\n"
        "visits are those of old entries, and nothing but the window calls for the faults of the others.\n"
    ),
}
LIMITS: Final = """\
This is a model of steps: it counts what is done, in which order, and knows no seconds. A visit of an entry, a flush and
a clean of 2M are steps alike, for which hardware takes very different times. Orders of events differ from draw to draw;
orders of memory accesses do not. vCPUs wait for the lock in no order, and caches are as large as memory.
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
