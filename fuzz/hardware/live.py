# SPDX-License-Identifier: GPL-2.0-only
"""The current tables of programs, copied into memory that QEMU can read.

QEMU has no memory where the tables of a side lie, so the copy packs them
and adjusts the pointers. Our walk reads the original.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from candidate import Candidate
from reference.machine.arena import wrap
from reference.machine.descriptor import TABLE, address_field, kind
from reference.vtcr import VTCR_EL2_HA

from ..execution.executor import Executor
from ..language.program import Program
from ..sides.guest import Guest
from . import layout
from .qemu import QemuError
from .session import BATCH, Difference, QemuSession
from .setting import DS, Setting
from .tables import ADDRESS_BITS, Ask, NoRoomError, TableMemory, Tables, address_of, question

SIZE_FIELDS: Final = 7 << 16 | DS


class Copy:
    """A copy of one VM's tables.

    :param guest: the VM, with tables
    :param memory: for the copy
    :raises NoRoomError: there is no room
    """

    def __init__(self, guest: Guest, memory: TableMemory) -> None:
        granule = guest.granule
        regime = guest.regime
        setting = Setting(granule.page_shift, regime.ia_bits, regime.start_level, granule.pa_bits, guest.fwb, True)
        self.setting = setting
        self.memory = memory
        self.regime = regime
        self.arena = guest.side.computer.arena
        self.granule = granule
        # Level and first word of an original table -> first word of its copy. A table that is entered
        # at two levels has two copies, since the same entry is a table descriptor at one level and a page at the other.
        self.copies: dict[tuple[int, int], int] = {}
        self.asked: dict[int, None] = {}
        root = memory.take(setting.root_pages, granule.page_shift)
        # Ports set neither PS nor DS; they follow from the machine. HA is cleared, since a question would change the
        # tables.
        vtcr = guest.kvm.vtcr & ~(SIZE_FIELDS | VTCR_EL2_HA) | setting.vtcr() & SIZE_FIELDS
        self.tables = Tables(setting, root, vtcr, source=(self.arena, regime))
        left = [(regime.start_level, regime.root, root, 0, 1 << setting.root_bits)]
        while left:
            left += self.copy(*left.pop())
        if setting.ia_bits < ADDRESS_BITS:
            self.ask(0, setting.ia_bits)
            self.asked[question(Ask.READ, 1 << setting.ia_bits)] = None
        self.tables.questions = list(self.asked)

    def copy(self, level: int, old: int, new: int, base: int, count: int) -> list[tuple[int, int, int, int, int]]:
        """Copy one table; return the tables that it points to."""
        below: list[tuple[int, int, int, int, int]] = []
        granule, entries = self.granule, self.tables.entries
        shift = granule.level_shift(level)
        before = -1
        for index, word in enumerate(self.arena.words.part(old, count)):
            if not word:
                if before == index - 1 >= 0:
                    # Immediately after the mapped range.
                    self.ask(base + (index << shift), shift)
                continue
            before = index
            if kind(word, level, granule) != TABLE:
                entries[new + index] = word
                self.ask(base + (index << shift), shift)
                continue
            pa = self.regime.address(word)
            if not self.arena.holds(pa):
                # The pointer leads nowhere on our side, so it must do so in QEMU.
                entries[new + index] = word if pa >= layout.FREE else wrap(word | 1 << 47)
                self.ask(base + (index << shift), shift)
                continue
            table = (pa - self.arena.base) >> 3
            key = (level + 1, table)
            if key not in self.copies:
                self.copies[key] = self.memory.take(1, granule.page_shift)
                below.append((level + 1, table, self.copies[key], base + (index << shift), granule.entries))
            else:
                self.ask(base + (index << shift), shift)
            field = address_field(address_of(self.copies[key]), granule)
            entries[new + index] = wrap(word & ~granule.address_mask | field)
        return below

    def ask(self, base: int, shift: int) -> None:
        """Ask about all kinds of access at the start of an entry, and a read at its end."""
        if base + (1 << shift) > 1 << ADDRESS_BITS:
            return
        for ask in (Ask.READ, Ask.WRITE, Ask.FETCH, Ask.FETCH_EL0):
            self.asked[question(ask, base)] = None
        self.asked[question(Ask.READ, base + (1 << shift) - 1)] = None


def with_tables(guests: Iterable[Guest]) -> Iterator[tuple[int, Guest]]:
    """Yield the VMs that have tables, each after its number."""
    for number, guest in enumerate(guests):
        if guest.regime.root >= 0 and guest.kvm.pgt is not None:
            yield number, guest


class Follower:
    """Queries QEMU about the tables of one side whenever they have changed.

    :param session: session with the QEMU to query
    :param executor: the side
    """

    def __init__(self, session: QemuSession, executor: Executor) -> None:
        self.session = session
        self.executor = executor
        # For each VM, the entries last asked about.
        self.last: list[dict[int, int] | None] = [None for _ in executor.side.guests]

    def look(self) -> list[Difference]:
        """Ask about each VM whose tables have changed since the last call.

        :raises QemuError: QEMU died or does not answer, or the tables exceed its memory
        """
        found: list[Difference] = []
        for number, guest in with_tables(self.executor.side.guests):
            memory = self.session.memory
            try:
                tables = Copy(guest, memory).tables
            except NoRoomError:
                raise QemuError(
                    f"QEMU: VM {number} has too many tables; allowed: {layout.TABLES_SIZE >> 20}M of them"
                ) from None
            if tables.entries != self.last[number]:
                self.last[number] = tables.entries
                memory.load(tables.entries)
                guests = self.session.guests
                for start in range(0, len(tables.questions), BATCH):
                    found += self.session.ask([replace(tables, questions=tables.questions[start : start + BATCH])])
                self.session.guests = guests + 1
                memory.clear([tables])
            memory.next = 0
        return found


def follow(session: QemuSession, version: Candidate, program: Program) -> list[tuple[int, Difference]]:
    """Run a program on one version and ask QEMU about its tables at each quiet point.

    :returns: index of the operation (-1: creation) and the difference
    :raises QemuError: QEMU died or does not answer, or the tables exceed its memory
    """
    executor = Executor(version, program)
    try:
        follower = Follower(session, executor)
        executor.create()
        found = [(-1, difference) for difference in follower.look()]
        for at in range(len(program.operations)):
            if executor.dead:
                break
            executor.step(at)
            found += [(at, difference) for difference in follower.look()]
        executor.destroy()
    finally:
        executor.dismantle()
    return found
