# SPDX-License-Identifier: GPL-2.0-only
"""The base of checkers that judge each leaf when the hardware can reach it, by its own store or with its table."""

from reference.machine.descriptor import LEAF, TABLE, VALID_BIT, kind

from ..sides.guest import Guest
from .checker import GuestChecker, Peers
from .shadow import Shadow
from .table import Table


class VisibleLeaves(GuestChecker):
    """A checker whose `mapped` is called for each leaf that becomes visible to the hardware.

    Parameters are those of `GuestChecker`.
    """

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.shifts = self.granule.shifts

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if not new & VALID_BIT:
            return
        what = kind(new, level, self.granule)
        if what == TABLE:
            child = self.shadow.table_at(ipa, level + 1)
            if child is not None:
                self.linked(child)
        elif what == LEAF:
            self.mapped(ipa, level, new)

    def linked(self, table: Table) -> None:
        """Judge what becomes visible when a table is linked; stop after one wrong leaf."""
        before = len(self.found)
        for index, leaf in table.leaves.items():
            self.mapped(table.base + (index << self.shifts[table.level]), table.level, leaf)
            if len(self.found) > before:
                return
        for child in table.children.values():
            self.linked(child)

    def mapped(self, ipa: int, level: int, new: int) -> None:
        """Judge a leaf that became visible to the hardware."""
        raise NotImplementedError
