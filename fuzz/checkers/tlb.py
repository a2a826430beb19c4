# SPDX-License-Identifier: GPL-2.0-only
"""tlb: when the caller gets control back, no CPU can hold an entry that the tables do not justify.

A CPU may have cached any valid entry it could reach, whether the program
accessed it or not; an entry with the access flag clear it may not. So each
change that takes something away owes a flush, until one covers it.
"""

from reference.machine.descriptor import AF_BIT, READ_BIT, TABLE, VALID_BIT, WRITE_BIT, XN_BIT, kind
from reference.machine.walk import NONE, Walk

from ..execution.guest import Guest
from ..language.operations import Operation
from .base import GuestChecker, Outcome
from .shadow import Shadow


def takes_away(old: int, new: int) -> bool:
    """Whether a leaf of the same size grants less or elsewhere than before."""
    if not new & VALID_BIT:
        return True
    lost = old & ~new & (READ_BIT | WRITE_BIT) or new & ~old & XN_BIT
    return bool(lost) or (old ^ new) & ~(READ_BIT | WRITE_BIT | XN_BIT | AF_BIT) != 0


class Tlb(GuestChecker):
    """Keeps the flushes that are owed: (level, address) -> the old entry, and the function that took it away."""

    name = "tlb"

    def __init__(self, guest: Guest, shadow: Shadow) -> None:
        super().__init__(guest)
        self.shadow = shadow
        self.shifts = self.granule.shifts
        self.leaves: dict[tuple[int, int], tuple[int, str]] = {}
        # Tables; true where leaves below were reachable too.
        self.tables: dict[tuple[int, int], tuple[int, bool, str]] = {}
        # Leaves whose access flag was cleared: CPUs may still have them.
        self.aged: dict[tuple[int, int], int] = {}
        self.reported: set[tuple[int, int]] = set()

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if not old & VALID_BIT:
            return
        key = (level, ipa)
        function = self.kernel.walker or self.kernel.entry
        if kind(old, level, self.granule) == TABLE:
            detached = self.shadow.detached
            below = bool(detached) and detached[-1].base == ipa and detached[-1].has_leaves()
            self.tables[key] = (old, below, function)
            return
        aged = self.aged.pop(key, 0)
        if aged and takes_away(aged, new):
            self.leaves[key] = (aged, function)
        elif old & AF_BIT:
            if takes_away(old, new):
                self.leaves[key] = (old, function)
            elif not new & AF_BIT:
                self.aged[key] = old
        elif aged:
            self.aged[key] = aged

    def tlbi_vmid(self, vmid: int) -> None:
        if vmid != self.vmid:
            return
        self.leaves.clear()
        self.tables.clear()
        self.aged.clear()
        self.reported.clear()

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        if vmid != self.vmid:
            return
        hint = level & 3 if self.guest.ttl else 0
        for at in range(4):
            key = (at, ipa >> self.shifts[at] << self.shifts[at])
            if hint in (0, at):
                self.leaves.pop(key, None)
                self.aged.pop(key, None)
            if key in self.tables and (hint == 0 or at < hint) and not self.tables[key][1]:
                del self.tables[key]

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        if vmid != self.vmid:
            return
        for key in [key for key in self.leaves if self.meets(key, ipa, size)]:
            del self.leaves[key]
        for key in [key for key in self.aged if self.meets(key, ipa, size)]:
            del self.aged[key]
        for key in [key for key in self.tables if self.meets(key, ipa, size)]:
            if not self.tables[key][1] or self.covers(key, ipa, size):
                del self.tables[key]

    def meets(self, key: tuple[int, int], ipa: int, size: int) -> bool:
        """Whether an entry is used to translate an address of a range."""
        level, base = key
        return base < ipa + size and ipa < base + (1 << self.shifts[level])

    def covers(self, key: tuple[int, int], ipa: int, size: int) -> bool:
        """Whether a range covers all that an entry translates."""
        level, base = key
        return ipa <= base and base + (1 << self.shifts[level]) <= ipa + size

    def owes_table(self, entry_address: int) -> str:
        """Why the table page at this physical address may still be in a walk cache; "" if not."""
        for (level, ipa), (entry, _, _) in self.tables.items():
            if entry & (1 << 48) - self.granule.page_size == entry_address:
                return f"{self.text(entry, level)} at {ipa:#x}, level {level}, was not flushed"
        return ""

    def quiet(self, op: Operation | None, outcome: Outcome) -> None:
        for key, (entry, function) in self.leaves.items():
            self.judge(key, entry, "leaf", function)
        for key, (entry, _, function) in self.tables.items():
            self.judge(key, entry, "table", function)

    def judge(self, key: tuple[int, int], entry: int, what: str, function: str) -> None:
        """One flush still owed, unless the tables say the same again."""
        level, ipa = key
        if key in self.reported or (what == "leaf" and self.justified(level, ipa, entry)):
            return
        self.reported.add(key)
        self.report(
            f"{what} not flushed",
            level,
            f"{self.text(entry, level)} at {ipa:#x} was taken away and a CPU may still have it",
            frozenset([ipa]),
            function=function,
        )

    def justified(self, level: int, ipa: int, entry: int) -> bool:
        """Whether the live tables grant at least what *entry* grants."""
        now_level, now = self.shadow.lookup(ipa)
        return now_level == level and not takes_away(entry, now)

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        if walk.fault != NONE or walk.ptep < 0:
            return
        for level, other in self.side.computer.tlbs[self.vmid - 1][self.side.cpu_of[cpu]].overlapping(ipa, walk.level):
            self.report(
                f"two sizes for one address, the other L{level}",
                walk.level,
                f"cpu{cpu} holds {ipa:#x} by {self.text(walk.entry, walk.level)} "
                f"and by a level {level} leaf at {other:#x}",
                frozenset([ipa & -self.granule.page_size]),
            )

    def scan(self) -> None:
        """Every leaf that a CPU holds: the tables must justify it."""
        for cpu, tlb in enumerate(self.side.computer.tlbs[self.vmid - 1]):
            for level in range(4):
                for page, entry in tlb.leaves[level].items():
                    ipa = page << self.shifts[level]
                    if not self.justified(level, ipa, entry):
                        self.report("stale leaf", level, f"cpu{cpu} holds {self.text(entry, level)} at {ipa:#x}")
