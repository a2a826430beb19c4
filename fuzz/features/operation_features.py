# SPDX-License-Identifier: GPL-2.0-only
"""Raw features of operations: kinds, the entries that they meet, and the resulting shape of the tables."""

from typing import Final

from reference.machine.descriptor import AF_BIT, TYPE_BIT, VALID_BIT, WRITE_BIT

from ..checkers.shadow import Shadow
from ..checkers.table import Table
from ..language.operations import (
    Evict,
    GuestAccess,
    GuestCache,
    GuestConflict,
    GuestExternalAbort,
    GuestPrefault,
    HostAge,
    HypMap,
    OnCpu,
    Operation,
    Par,
    SetLog,
    SlotCreate,
    SlotPlace,
    SlotRange,
    Speculate,
    TableMap,
    TablePlace,
    TableRange,
    TableRelax,
    VmEnd,
    is_vcpu,
    plain,
)
from ..sides.guest import SlotLayout
from ..sides.side import Side
from .raw import MEETS, MEETS_LAST, RawFeature, bucket, compared_bits

# The bits of an entry that an operation meets: fewer than elsewhere, because there are many kinds of operations.
_MET: Final = VALID_BIT | TYPE_BIT | WRITE_BIT | AF_BIT
# Operations that have a place.
_PLACED: Final = (
    *(GuestAccess, GuestExternalAbort, GuestConflict, GuestPrefault, Speculate, Evict, SlotPlace, TableRange),
    TablePlace,
)


class OperationFeatures:
    """Collects the raw features of the operations of one side.

    :param side: the side
    :param shadows: the shadows of its VMs
    :param seen: collects the raw features
    :param program: collects those of the program itself; None: do not collect them
    """

    def __init__(
        self, side: Side, shadows: list[Shadow], seen: set[RawFeature], program: set[RawFeature] | None
    ) -> None:
        self.side = side
        self.shadows = shadows
        self.seen = seen
        self.program = program
        self.entries = side.granule.entries
        self.shifts = side.granule.shifts
        self.words = side.kernel.words

    def begin(self, op: Operation) -> None:
        """Record the raw features of an operation that begins."""
        name = type(op).__name__
        if self.program is not None:
            self.program.add(("operation", name, variant_of(op)))
        if isinstance(op, Par):
            for each in map(plain, op.operations):
                self.meet(name, each, self.side.by_name[each.slot])
            return
        if isinstance(op, (HypMap, VmEnd)) or (isinstance(op, OnCpu) and not isinstance(op, _PLACED)):
            return
        self.meet(name, op, self.side.by_name[op.slot])

    def meet(self, name: str, op: Operation, layout: SlotLayout) -> None:
        """Record the slot and the entries that an operation meets."""
        slot = layout.slot
        program = self.program
        if program is not None:
            backing = "hugetlb" if slot.backing.startswith("hugetlb") else slot.backing
            program.add(("backing", name, backing, "alias" if slot.alias else ""))
            program.add(("slot flags", name, layout.flags if layout.live else "deleted"))
        if not isinstance(op, _PLACED):
            return
        start = layout.ipa + op.offset
        shadow = self.shadows[slot.vm]
        self.met(MEETS, name, shadow, start)
        if isinstance(op, (SlotRange, TableRange, GuestPrefault)):
            end = start + op.size
            self.met(MEETS_LAST, name, shadow, end - 1)
            if program is not None:
                program.add(("edges", name, self.edge(start), self.edge(end), extent(op.size, self.shifts)))

    def edge(self, address: int) -> str:
        """Name the alignment of an address: block, page or byte."""
        if address & ((1 << self.shifts[3]) - 1):
            return "byte"
        return "page" if address & ((1 << self.shifts[2]) - 1) else "block"

    def met(self, what: str, name: str, shadow: Shadow, ipa: int) -> None:
        """Record the entry that the hardware would find for an address."""
        for root in shadow.roots:
            if root.base <= ipa < root.base + (self.entries << self.shifts[root.level]):
                table = root
                index = (ipa - table.base) >> self.shifts[table.level]
                child = table.children.get(index)
                while child is not None and child.level <= 3:
                    table = child
                    index = (ipa - table.base) >> self.shifts[table.level]
                    child = table.children.get(index)
                entry = compared_bits(self.words[table.page * self.entries + index])
                self.seen.add((what, name, "", table.level, entry & _MET))
                return

    def shape(self, shadow: Shadow) -> None:
        """Record the shape of a VM's tables: the number of tables and leaves of each level."""
        tables = [0, 0, 0, 0]
        leaves = [0, 0, 0, 0]
        for table in shadow.by_page.values():
            level = table.level
            if table.live and level <= 3:
                tables[level] += 1
                leaves[level] += len(table.leaves)
        raw: list[str | int] = ["tree"]
        for level in range(4):
            raw += [bucket(tables[level], 3), bucket(leaves[level], 5)]
        self.seen.add(tuple(raw))
        for table in shadow.touched.values():
            if table.live:
                self.seen.add(("table", table.level, self.fill(table), bucket(len(table.children), 2)))

    def fill(self, table: Table) -> str:
        """Name the number of leaves of a table."""
        leaves = len(table.leaves)
        return "full" if leaves == self.entries else str(leaves) if leaves < 2 else "some"


def extent(size: int, shifts: list[int]) -> str:
    """Name the size of a number of bytes relative to a page and a block.

    :param shifts: log2 of the bytes that an entry translates, indexed by level
    """
    if size <= 1 << shifts[3]:
        return "page"
    block = 1 << shifts[2]
    return "pages" if size < block else "block" if size == block else "more"


def variant_of(op: Operation) -> str:
    """Name the variant of an operation within its kind."""
    if isinstance(op, Par):
        vcpus = sum(map(is_vcpu, op.actors))
        others = f", {len(op.actors) - vcpus} others" if vcpus < len(op.actors) else ""
        return f"{vcpus} vCPUs{others}, {len(op.switches)} switches"
    if isinstance(op, GuestAccess):
        return f"{op.kind}{'' if op.mmu else ' mmu=off'}"
    if isinstance(op, (TableMap, TableRelax, HypMap)):
        return op.prot
    if isinstance(op, (GuestCache, SetLog)):
        return "on" if op.on else "off"
    if isinstance(op, HostAge):
        return "flush" if op.flush else "no flush"
    if isinstance(op, SlotCreate):
        return f"log={op.log:d} ro={op.ro:d}"
    return ""
