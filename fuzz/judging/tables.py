# SPDX-License-Identifier: GPL-2.0-only
"""The maps of the two sides, compared."""

from collections.abc import Callable

from reference.machine.descriptor import describe
from reference.machine.granule import Granule
from reference.machine.stage1 import describe_stage1

from ..checkers import CheckerSuite
from ..checkers.shadow import Table


def maps_differ(left: CheckerSuite, right: CheckerSuite) -> str:
    """The first difference between what the two sides map, as text; "" if they map alike.

    There was none before this operation: tables that neither side wrote to since are alike.
    """
    for number, a in enumerate(left.shadows):
        b = right.shadows[number]
        if not a.touched and not b.touched:
            continue
        for root_a, root_b in zip(a.roots, b.roots, strict=False):
            text = compare_tables(root_a, root_b, a.granule)
            if text:
                return f"VM {a.guest.number}: {text}" if a.guest.number else text
    if not left.hyp.touched and not right.hyp.touched:
        return ""
    text = compare_tables(left.hyp.root, right.hyp.root, left.hyp.granule, describe_stage1)
    return f"hyp: {text}" if text else ""


def compare_tables(
    a: Table | None, b: Table | None, granule: Granule, show: Callable[[int, int, Granule], str] = describe
) -> str:
    """The first difference between two live tables, as text; "" if they map alike.

    :param show: decodes an entry
    """
    if a is None or b is None:
        table = a or b
        return f"only one side maps by pages from {table.base:#x}" if table is not None and table.has_leaves() else ""
    for index in sorted(a.leaves.keys() | b.leaves.keys()) if a.leaves != b.leaves else ():
        left, right = a.leaves.get(index, 0), b.leaves.get(index, 0)
        if left != right:
            ipa = a.base + (index << granule.level_shift(a.level))
            return f"{ipa:#x}, level {a.level}: {show(left, a.level, granule)}; {show(right, a.level, granule)}"
    if a.children or b.children:
        indices = sorted(a.children)
        if indices != sorted(b.children):
            indices = sorted(a.children.keys() | b.children.keys())
        for index in indices:
            text = compare_tables(a.children.get(index), b.children.get(index), granule, show)
            if text:
                return text
    return ""
