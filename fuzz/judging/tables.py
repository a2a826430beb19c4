# SPDX-License-Identifier: GPL-2.0-only
"""The comparison of the two sides' maps."""

from collections.abc import Callable

from reference.last_code_places import LastCodePlaces
from reference.machine.descriptor import DBM_BIT, describe
from reference.machine.granule import Granule
from reference.machine.stage1 import describe_stage1

from ..checkers import CheckerSuite, Shadow
from ..checkers.table import Table
from .unrecorded import AgeFlags


def maps_differ(left: CheckerSuite, right: CheckerSuite, flags: AgeFlags) -> str:
    """Return the first difference between the two sides' maps, as text; "" if they map alike.

    Before this operation there was no difference, so tables to which neither side wrote since are alike.

    :param flags: the leaves whose access flag does not count
    """
    for number, a in enumerate(left.shadows):
        b = right.shadows[number]
        if not a.touched and not b.touched:
            continue
        stores = Stores(a.kernel.last, b.kernel.last, a.granule, flags, number)
        if not flags.some_differ:
            if written_alike(a, b):
                continue
            stores.written_to = (a.touched, b.touched)
        for root_a, root_b in zip(a.roots, b.roots, strict=False):
            text = compare_tables(root_a, root_b, stores)
            if text:
                return f"{a.guest.name}: {text}" if a.guest.number else text
    if not left.hyp.touched and not right.hyp.touched:
        return ""
    stores = Stores(left.hyp.kernel.last, right.hyp.kernel.last, left.hyp.granule)
    text = compare_tables(left.hyp.root, right.hyp.root, stores, describe_stage1)
    return f"hyp: {text}" if text else ""


def written_alike(a: Shadow, b: Shadow) -> bool:
    """Return whether each table that a side wrote to in this operation has an equal table on the other side.

    Then everything that was alike before is still alike.
    """
    for table in a.touched.values():
        if a.has_live(table):
            there = b.table_at(table.base, table.level)
            if there is None or not same_entries(table, there):
                return False
    for table in b.touched.values():
        if b.has_live(table):
            there = a.table_at(table.base, table.level)
            # A table that both sides wrote to was already compared.
            if there is None or (a.touched.get(there.page) is not there and not same_entries(table, there)):
                return False
    return True


def same_entries(a: Table, b: Table) -> bool:
    """Return whether two tables have the same leaves, and tables below at the same indices."""
    if a.leaves != b.leaves:
        return False
    return a.children.keys() == b.children.keys() if a.children or b.children else True


class Stores:
    """The source locations in compiled trees at which the two sides wrote their tables.

    :param reference: without any locations for a port; likewise *candidate*
    :param granule: the granule of both sides
    :param flags: the leaves whose access flag does not count; None: every difference counts
    :param vm: number of the tables' VM
    """

    def __init__(
        self,
        reference: LastCodePlaces,
        candidate: LastCodePlaces,
        granule: Granule,
        flags: AgeFlags | None = None,
        vm: int = 0,
    ) -> None:
        self.reference = reference
        self.candidate = candidate
        self.granule = granule
        self.flags = flags
        self.vm = vm
        # The tables that each side wrote to since all leaves were alike, by page; None: any table may differ.
        self.written_to: tuple[dict[int, Table], dict[int, Table]] | None = None

    def alike(self, a: Table, b: Table) -> bool:
        """Return whether the leaves of two tables are alike, by comparison or because neither side wrote to them."""
        if self.written_to is not None:
            left, right = self.written_to
            if a.page not in left and b.page not in right:
                return True
        return a.leaves == b.leaves

    def may_differ(self, level: int, ipa: int, left: int, right: int) -> bool:
        """Return whether the difference of two leaves does not count.

        DBM alone does not: without VTCR_EL2.HD it has no effect, and with HD the checkers judge what it allows.
        """
        if left ^ right == DBM_BIT:
            return True
        return self.flags is not None and self.flags.may_differ(self.vm, level, ipa, left, right)

    def entry(self, a: Table, b: Table, index: int) -> str:
        """Return where an entry was last written."""
        entries = self.granule.entries
        return self.text(
            self.reference.stored(a.page * entries + index),
            self.candidate.stored(b.page * entries + index),
        )

    def table(self, a: Table | None, b: Table | None) -> str:
        """Return where any entry of a table was last written, on the side that has the table."""
        return self.text(
            "" if a is None else self.reference.written(a.page),
            "" if b is None else self.candidate.written(b.page),
        )

    def text(self, reference: str, candidate: str) -> str:
        """Return the known locations as text."""
        found = f"; reference: written at {reference}" if reference else ""
        return f"{found}; candidate: written at {candidate}" if candidate else found


def compare_tables(
    a: Table | None, b: Table | None, stores: Stores, show: Callable[[int, int, Granule], str] = describe
) -> str:
    """Return the first difference between two live tables, as text; "" if they map alike.

    :param show: decodes an entry
    """
    granule = stores.granule
    if a is None or b is None:
        table = a or b
        if table is None or not table.has_leaves():
            return ""
        side = "reference" if b is None else "candidate"
        return f"only the {side} maps by pages from {table.base:#x}{stores.table(a, b)}"
    for index in sorted(a.leaves.keys() | b.leaves.keys()) if not stores.alike(a, b) else ():
        left, right = a.leaves.get(index, 0), b.leaves.get(index, 0)
        if left != right:
            ipa = a.base + (index << granule.level_shift(a.level))
            if stores.may_differ(a.level, ipa, left, right):
                continue
            texts = [
                "a table" if not entry and index in table.children else show(entry, a.level, granule)
                for entry, table in ((left, a), (right, b))
            ]
            if texts[0] == texts[1]:
                # They differ in bits that the text does not name, such as those for software.
                texts = [f"{text} ({entry:#x})" for text, entry in zip(texts, (left, right), strict=True)]
            both = "; ".join(texts)
            return f"{ipa:#x}, level {a.level}: {both}{stores.entry(a, b, index)}"
    if a.children or b.children:
        indices = sorted(a.children)
        if indices != sorted(b.children):
            indices = sorted(a.children.keys() | b.children.keys())
        for index in indices:
            text = compare_tables(a.children.get(index), b.children.get(index), stores, show)
            if text:
                return text
    return ""
