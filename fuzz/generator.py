# SPDX-License-Identifier: GPL-2.0-only
"""Random programs that reach what matters.

A program is a few motifs (short sequences that lead the tables into a state
worth having: coalescing, splitting, misaligned ranges, small pages over huge
ones) among random operations on the same few pages.
"""

import random
from collections.abc import Callable
from typing import Final

from .operations import (
    AccessKind,
    GetLog,
    GuestAccess,
    GuestCache,
    GuestSetWay,
    HostAge,
    HostCollapse,
    HostDiscard,
    HostMigrate,
    HostShare,
    HostSplit,
    HostTestAge,
    HostWrite,
    Operation,
    SetLog,
)
from .program import GIB, KIB, MIB, Backing, Program, Slot, Vm

PAGE: Final = 4 * KIB
BLOCK: Final = 2 * MIB

# Guest address sizes: all of them, those with a small root more often (a large
# one takes long to destroy).
IPA_BITS: Final = (*range(32, 49), *(35, 36, 37, 38, 39, 40, 44, 45, 46, 47, 48) * 6)
SIZES: Final = (BLOCK, BLOCK, 2 * BLOCK, 2 * BLOCK, 4 * BLOCK, PAGE, 17 * PAGE, BLOCK + 5 * PAGE, 2 * BLOCK - PAGE)
BACKINGS: Final[tuple[Backing, ...]] = ("thp", "thp", "thp", "thp", "anon", "anon", "hugetlb2m", "hugetlb2m", "device")
KINDS: Final[tuple[AccessKind, ...]] = ("read", "read", "write", "write", "fetch")
# Pages of a block that are touched more often than the others.
HOT_PAGES: Final = (0, 1, 2, 5, 8, 255, 510, 511)


class Generator:
    """Makes one program after the other from a seed.

    :param seed: any integer; the same seed makes the same programs
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.number = 0

    def next(self) -> Program:
        """The next program of this seed."""
        random_ = random.Random(self.seed << 32 | self.number)
        self.number += 1
        return Draft(random_).program()


class Draft:
    """One program in the making; keeps track of what an operation may refer to."""

    def __init__(self, random_: random.Random) -> None:
        self.random = random_
        self.vm = self.draw_vm()
        self.slots: list[Slot] = []
        for _ in range(self.random.choice((1, 1, 1, 2, 2, 3))):
            self.add_slot()
        self.logged = {slot.name: slot.log for slot in self.slots}
        self.operations: list[Operation] = []
        self.last = (self.slots[0], 0)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def draw_vm(self) -> Vm:
        return Vm(
            ipa=self.random.choice(IPA_BITS),
            cpus=self.random.choice((1, 2, 2, 3)),
            fwb=self.chance(12),
            dic=self.chance(15),
            ttl=self.chance(20),
        )

    def add_slot(self) -> None:
        """A slot behind those there are; aligned, alike skewed, or skewed against the host."""
        backing = self.random.choice(BACKINGS)
        size = self.random.choice(SIZES)
        if self.chance(4):
            backing, size = "hugetlb1g", self.random.choice((GIB, GIB, GIB + BLOCK, BLOCK))
        if backing == "device":
            size = PAGE * self.random.choice((1, 4, 40))
        skew = 0
        offset = 0
        if self.chance(15 if backing == "hugetlb1g" else 35):
            skew = PAGE * self.random.choice((1, 5, 31, 256, 511))
            offset = skew if self.chance(50) else PAGE * self.random.choice((0, 1, 7, 500))
        elif self.chance(20):
            skew = offset = BLOCK * self.random.choice((1, 3, 511))
        end = max((slot.ipa + slot.size for slot in self.slots), default=0)
        start = (
            (end + GIB - 1) // GIB * GIB if self.chance(60) or not self.slots else (end + BLOCK - 1) // BLOCK * BLOCK
        )
        ipa = (start or GIB) + skew
        if ipa + size > 1 << self.vm.ipa:
            return
        self.slots.append(
            Slot(
                name="abc"[len(self.slots)],
                ipa=ipa,
                size=size,
                backing=backing,
                offset=offset % GIB,
                log=backing != "device" and self.chance(40),
                ro=self.chance(4),
            )
        )

    def program(self) -> Program:
        motifs = self.random.choice((1, 1, 2, 2, 3))
        for _ in range(motifs):
            self.noise(self.random.randrange(4))
            slot = self.pick_slot()
            self.random.choice(MOTIFS)(self, slot)
        self.noise(self.random.randrange(1, 8))
        return Program(self.vm, tuple(self.slots), tuple(self.operations))

    def pick_slot(self) -> Slot:
        slot = self.random.choice(self.slots)
        if slot.backing == "device" and self.chance(70):
            slot = self.random.choice(self.slots)
        return slot

    def add(self, *operations: Operation) -> None:
        self.operations += operations

    def block_of(self, slot: Slot) -> int:
        """Offset of a 2M host block that the slot holds, or of the slot's start."""
        if slot.size >= GIB:
            return self.random.choice((0, BLOCK))
        blocks = range(-slot.offset % BLOCK, slot.size - BLOCK + 1, BLOCK)
        return self.random.choice(blocks) if blocks else 0

    def page_in(self, slot: Slot, block: int) -> int:
        """Offset of a page in a block, within the slot."""
        page = self.random.choice(HOT_PAGES) if self.chance(85) else self.random.randrange(512)
        return min(block + page * PAGE, slot.size - PAGE)

    def place(self) -> tuple[Slot, int]:
        """A slot and a page of it, most often near the last one."""
        slot, offset = self.last
        if self.chance(40):
            slot = self.pick_slot()
            offset = self.page_in(slot, self.block_of(slot))
        elif self.chance(50):
            offset = self.page_in(slot, offset - offset % BLOCK)
        else:
            offset += PAGE * self.random.choice((-1, 0, 1))
            offset = max(0, min(offset, slot.size - PAGE))
        self.last = (slot, offset)
        return slot, offset

    def range_at(self, slot: Slot, offset: int) -> tuple[int, int]:
        """(offset, size) of a range: a page, a few, a block, or ends a page off."""
        style = self.random.randrange(10)
        if style < 3:
            size = PAGE
        elif style < 5:
            size = PAGE * self.random.choice((2, 3, 7))
        elif style < 8:
            offset = offset // BLOCK * BLOCK
            size = BLOCK
        elif style < 9:
            offset = max(0, offset // BLOCK * BLOCK + PAGE * self.random.choice((-1, 1)))
            size = BLOCK + PAGE * self.random.choice((-2, -1, 0, 1))
        else:
            size = slot.size if slot.size < GIB else BLOCK
        offset = min(offset, slot.size - PAGE)
        return offset, max(PAGE, min(size, slot.size - offset))

    def access(self, slot: Slot, offset: int, kind: AccessKind | None = None) -> None:
        drawn: AccessKind = self.random.choice(KINDS) if kind is None else kind
        self.add(
            GuestAccess(
                cpu=self.random.randrange(self.vm.cpus),
                kind=drawn,
                slot=slot.name,
                offset=offset,
                mmu=not self.chance(25),
                fail=self.random.choice((1, 2)) if self.chance(1) else None,
            )
        )
        self.last = (slot, offset)

    def log(self, slot: Slot, on: bool) -> None:
        if slot.backing != "device" and self.logged[slot.name] != on:
            self.logged[slot.name] = on
            self.add(SetLog(slot.name, on))

    def noise(self, count: int) -> None:
        """Random operations, accesses most of all."""
        for _ in range(count):
            slot, offset = self.place()
            if self.chance(55):
                self.access(slot, offset)
            else:
                self.random.choice(DISTURBANCES)(self, slot, offset)

    def host_write(self, slot: Slot, offset: int) -> None:
        if slot.backing != "device":
            # A large write breaks copy-on-write page by page: slow, and seldom worth it.
            size = min(PAGE * self.random.choice((1, 2, 5)), slot.size - offset)
            self.add(HostWrite(slot.name, *((offset, size) if self.chance(75) else self.range_at(slot, offset))))

    def collapse(self, slot: Slot, offset: int) -> None:
        if slot.backing in ("thp", "anon"):
            self.add(HostCollapse(slot.name, offset))

    def split(self, slot: Slot, offset: int) -> None:
        if slot.backing in ("thp", "anon"):
            self.add(HostSplit(slot.name, offset))

    def migrate(self, slot: Slot, offset: int) -> None:
        if slot.backing in ("thp", "anon", "hugetlb2m"):
            size = min(PAGE * self.random.choice((1, 1, 2, 5)), slot.size - offset)
            self.add(HostMigrate(slot.name, offset, size))

    def discard(self, slot: Slot, offset: int) -> None:
        if slot.backing != "device":
            self.add(HostDiscard(slot.name, *self.range_at(slot, offset)))

    def share(self, slot: Slot, offset: int) -> None:
        if slot.backing in ("thp", "anon"):
            self.add(HostShare(slot.name, *self.range_at(slot, offset)))

    def age(self, slot: Slot, offset: int) -> None:
        size = min(PAGE * self.random.choice((1, 2, 4)), slot.size - offset)
        self.add(HostAge(slot.name, offset, size, self.chance(60)))

    def test_age(self, slot: Slot, offset: int) -> None:
        self.add(HostTestAge(slot.name, offset))

    def toggle_log(self, slot: Slot, offset: int) -> None:
        self.log(slot, not self.logged[slot.name])

    def get_log(self, slot: Slot, offset: int) -> None:
        if self.logged[slot.name]:
            self.add(GetLog(slot.name))

    def caches(self, slot: Slot, offset: int) -> None:
        cpu = self.random.randrange(self.vm.cpus)
        self.add(GuestSetWay(cpu) if self.chance(30) else GuestCache(cpu, self.chance(60)))

    def coalesce(self, slot: Slot) -> None:
        """Small pages while logging, then a fault of any kind once it is off."""
        self.log(slot, True)
        block = self.block_of(slot)
        if self.chance(50) and slot.backing != "device":
            self.add(HostWrite(slot.name, block, max(PAGE, min(BLOCK, slot.size - block))))
        touched = [self.page_in(slot, block) for _ in range(self.random.randrange(1, 5))]
        for offset in touched:
            self.access(slot, offset)
        if self.chance(30):
            self.get_log(slot, 0)
        self.log(slot, False)
        # Another page: a translation fault. The same page: a permission fault.
        again = self.random.choice(touched) if self.chance(40) else self.page_in(slot, block)
        self.access(slot, again)
        self.access(slot, self.page_in(slot, block))

    def split_block(self, slot: Slot) -> None:
        """A block first, then logging, then a write into it."""
        self.log(slot, False)
        block = self.block_of(slot)
        self.access(slot, self.page_in(slot, block))
        self.log(slot, True)
        for _ in range(self.random.randrange(1, 4)):
            self.access(slot, self.page_in(slot, block), self.random.choice(KINDS))
        self.get_log(slot, 0)

    def huge_page_moves(self, slot: Slot) -> None:
        """Touch, collapse or split, touch again."""
        block = self.block_of(slot)
        for change in self.random.sample((self.collapse, self.split, self.migrate, self.share), 2):
            self.access(slot, self.page_in(slot, block))
            change(slot, self.page_in(slot, block))
            self.access(slot, self.page_in(slot, block))

    def misaligned(self, slot: Slot) -> None:
        """Ranges whose start lies inside of an entry that is a block or empty."""
        block = self.block_of(slot)
        later = min(block + BLOCK + self.random.choice((0, PAGE, 5 * PAGE)), slot.size - PAGE)
        self.access(slot, later)
        if self.chance(40):
            self.access(slot, self.page_in(slot, block))
        start = min(block + PAGE * self.random.choice((1, 9, 300)), slot.size - PAGE)
        end = max(start + PAGE, min(later + PAGE, slot.size))
        if slot.backing != "device":
            operation = (
                self.random.choice((HostDiscard, HostDiscard, HostShare))
                if slot.backing in ("thp", "anon")
                else HostDiscard
            )
            self.add(operation(slot.name, start, end - start))
        self.access(slot, later)

    def copy_on_write(self, slot: Slot) -> None:
        """Shared pages, read and then written."""
        offset = self.page_in(slot, self.block_of(slot))
        self.share(slot, offset)
        self.access(slot, offset, "read")
        self.access(slot, offset, "write")
        if self.chance(50):
            self.host_write(slot, offset)

    def ageing(self, slot: Slot) -> None:
        """Touched, aged, touched again."""
        offset = self.page_in(slot, self.block_of(slot))
        self.access(slot, offset)
        self.age(slot, offset)
        self.access(slot, offset if self.chance(60) else self.page_in(slot, offset - offset % BLOCK))
        self.test_age(slot, offset)


MOTIFS: Final[tuple[Callable[[Draft, Slot], None], ...]] = (
    *(Draft.coalesce,) * 4,
    *(Draft.split_block,) * 2,
    *(Draft.misaligned,) * 2,
    Draft.huge_page_moves,
    Draft.copy_on_write,
    *(Draft.ageing,) * 2,
)
DISTURBANCES: Final[tuple[Callable[[Draft, Slot, int], None], ...]] = (
    Draft.host_write,
    Draft.host_write,
    Draft.collapse,
    Draft.split,
    Draft.migrate,
    Draft.discard,
    Draft.discard,
    Draft.share,
    Draft.age,
    Draft.test_age,
    Draft.toggle_log,
    Draft.toggle_log,
    Draft.get_log,
    Draft.caches,
)
