# SPDX-License-Identifier: GPL-2.0-only
"""The path of a walk that does not round its cursor down when it steps past a leaf (bug B05 of the original)."""

from ..checkers.guest_pages import Range
from ..checkers.shadow import Shadow
from ..checkers.table import Table


def stepped_through(shadow: Shadow, start: int, end: int) -> list[Range]:
    """Return the ranges that a walk of [start, end) reaches if it does not round its cursor down."""
    found: list[Range] = []
    addr, shifts = start, shadow.shifts
    for root in shadow.roots:
        if addr < end and addr >> shifts[root.level] < (root.base >> shifts[root.level]) + shadow.entries:
            addr = step(shadow, root, addr, end, found)
    return found


def step(shadow: Shadow, table: Table, addr: int, end: int, found: list[Range]) -> int:
    """Do the same as `stepped_through` in one table; return the cursor."""
    shift, entries = shadow.shifts[table.level], shadow.entries
    index = (addr >> shift) & (entries - 1)
    children = sorted(table.children)
    while index < entries and addr < end:
        child = table.children.get(index)
        if child is not None and child.level <= 3:
            addr = step(shadow, child, addr, end, found)
            index += 1
            continue
        # Up to the next table, each entry moves the cursor by its size.
        behind = next((other for other in children if other > index), entries)
        steps = min(behind - index, ((end - addr - 1) >> shift) + 1)
        base = table.base + (index << shift)
        found.append((base, base + (steps << shift)))
        addr += steps << shift
        index += steps
    return addr
