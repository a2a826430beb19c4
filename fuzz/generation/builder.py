# SPDX-License-Identifier: GPL-2.0-only
"""A random program under construction: its machine, its slots, and the places that operations share."""

import random
from typing import Final

from reference.compiled.annotations import mypyc_attr

from ..language.bounds import MAX_SLOT_SIZE
from ..language.operations import AccessKind, GuestAccess, Operation
from ..language.program import DEVICES, GIB, HUGE_PAGES, HUGE_SHIFT, KIB, Backing, Program, ProgramError, Slot, Vm
from ..language.validation_state import ValidationState

GRANULES: Final = (*(4 * KIB,) * 6, 16 * KIB, 64 * KIB)
# Guest address sizes: all of them, more often those with a small root (a large
# one takes long to destroy).
IPA_BITS: Final[dict[int, tuple[int, ...]]] = {
    4 * KIB: tuple(list(range(32, 49)) + [35, 36, 37, 38, 39, 40, 44, 45, 46, 47, 48] * 6),
    16 * KIB: tuple(list(range(32, 49)) + [36, 37, 38, 39, 40, 47, 48] * 6),
    64 * KIB: tuple(list(range(32, 49)) + [38, 39, 40, 41, 42, 43, 48] * 6),
}
BACKINGS: Final[tuple[Backing, ...]] = ("thp", "thp", "thp", "thp", "anon", "anon", "device")
KINDS: Final[tuple[AccessKind, ...]] = ("read", "read", "write", "write", "fetch")
NAMES: Final = "abcd"
# Maximum number of pages of a block of device memory.
_FEW: Final = 512
# Percentage of slots of device memory that user space maps by blocks; the same where a block has more pages.
_BY_BLOCKS: Final = 50
_BY_MANY_PAGES: Final = 8


@mypyc_attr(allow_interpreted_subclasses=True)
class ProgramBuilder:
    """Keeps track of the slots that an operation may refer to, and leaves out illegal operations.

    :param random_: the source of choices
    :param granule: page size; 0: any
    :param begun: a valid program to be continued, with its page size
    """

    def __init__(self, random_: random.Random, granule: int = 0, begun: Program | None = None) -> None:
        self.random = random_
        if begun is not None:
            granule = begun.vm.granule
        self.page = granule or random_.choice(GRANULES)
        # Entries of a table, pages of a block.
        self.entries = self.page // 8
        self.block = self.page * self.entries
        # Slot sizes in pages around the limits of one flush instruction: powers of 2, and one page less or more.
        at_once = [pages for pages in (64, 2048, 65536) if pages * self.page <= GIB // 4]
        self.limits = [pages + beside for pages in at_once for beside in (-1, 0, 1)]
        # Pages of a block that are touched more often than the others.
        self.hot = (0, 1, 2, 5, 8, self.entries // 2 - 1, self.entries - 2, self.entries - 1)
        self.vm = self.draw_vm() if begun is None else begun.vm
        self.state = ValidationState(self.vm)
        self.slots: list[Slot] = []
        self.operations: list[Operation] = []
        if begun is None:
            for _ in range(random_.choice((1, 1, 1, 2, 2, 3)) + (self.vm.vms > 1)):
                self.add_slot()
        else:
            self.continue_from(begun)
        self.last = (self.slots[0], 0)

    def continue_from(self, begun: Program) -> None:
        """Add the slots and operations of a valid program."""
        for slot in begun.slots:
            self.state.declare(slot)
            self.slots.append(slot)
        for operation in begun.operations:
            self.state.check(operation)
            self.operations.append(operation)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def draw_vm(self) -> Vm:
        return Vm(
            granule=self.page,
            ipa=self.random.choice(IPA_BITS[self.page]),
            cpus=self.random.choice((1, 2, 2, 3)),
            vms=2 if self.chance(12) else 1,
            fwb=self.chance(12),
            dic=self.chance(15),
            ttl=self.chance(30),
            range=self.chance(30),
            haf=self.chance(15),
            manual=self.random.choice(("off", "off", "off", "off", "on", "set")),
        )

    def program(self) -> Program:
        return Program(self.vm, tuple(self.slots), tuple(self.operations))

    def add(self, *operations: Operation) -> None:
        """Append operations, except those that are not legal here."""
        for operation in operations:
            try:
                self.state.check(operation)
            except ProgramError:
                continue
            self.operations.append(operation)

    def draw_backing(self) -> tuple[Backing, int]:
        """Draw the backing of a slot, and its size."""
        page, block, choice = self.page, self.block, self.random.choice
        sizes = (block, block, 2 * block, 2 * block, 4 * block, page, 17 * page, block + 5 * page, 2 * block - page)
        if self.chance(20):
            backing = choice(HUGE_PAGES[page])
            huge = 1 << HUGE_SHIFT[backing]
            if huge == GIB:
                return backing, choice((GIB, GIB, GIB + block, block))
            return backing, choice((huge, 2 * huge, huge + page, *sizes))
        backing = choice(BACKINGS)
        if backing == "device":
            # Mapped page by page when the slot is created: sometimes as large as a block, where a block has few pages.
            blocks = (block, block + page, 2 * block) if self.entries <= _FEW and self.chance(25) else ()
            return self.by_blocks(choice(blocks) if blocks else page * choice((1, 4, 40)))
        if self.chance(4):
            return backing, page * choice(self.limits)
        return backing, choice(sizes)

    def by_blocks(self, size: int) -> tuple[Backing, int]:
        """Draw whether user space maps device memory by blocks, and the size if it does.

        :param size: the size in bytes otherwise
        """
        # Drawn separately, so that programs without such a slot do not change.
        # Settings that the builder does not draw do not change the program.
        vm = str(self.vm).replace(", bbm=False, nested=False, stage2=False", "")
        apart = random.Random(f"devicehuge {vm} {self.slots} {size}")
        if apart.randrange(100) >= (_BY_BLOCKS if self.entries <= _FEW else _BY_MANY_PAGES):
            return "device", size
        block, page = self.block, self.page
        more = (2 * block, 2 * block, block + 5 * page, 2 * block - page, 40 * page) if self.entries <= _FEW else ()
        return "devicehuge", apart.choice((block, block, *more))

    def add_slot(self) -> None:
        """Add a slot after the others: aligned, equally skewed in guest and host, or skewed against the host."""
        vm = self.random.randrange(self.vm.vms)
        if self.slots and self.chance(50 if self.vm.vms > 1 else 6):
            self.add_alias(self.random.choice(self.slots), vm)
            return
        backing, size = self.draw_backing()
        size = min(size, MAX_SLOT_SIZE, 1 << (self.vm.ipa - 2))
        if self.chance(4):
            # The slot ends with the guest's address space.
            top = (1 << self.vm.ipa) - size
            self.declare(backing, top, size, top % GIB if self.chance(60) else 0, vm, "")
            return
        skew = 0
        offset = 0
        if self.chance(15 if size >= GIB else 35):
            skew = self.page * self.random.choice((1, 5, 31, self.entries // 2, self.entries - 1))
            offset = skew if self.chance(50) else self.page * self.random.choice((0, 1, 7, self.entries - 12))
        elif self.chance(20):
            skew = offset = self.block * self.random.choice((1, 3))
        self.declare(backing, self.free_ipa() + skew, size, offset % GIB, vm, "")

    def add_alias(self, other: Slot, vm: int) -> None:
        """Add a slot over part of the memory of another one."""
        if other.alias:
            other = self.slots[[slot.name for slot in self.slots].index(other.alias)]
        pages = other.size // self.page
        first = self.random.choice((0, 0, 1, pages // 2)) if pages > 2 else 0
        size = (pages - first if self.chance(60) else max(1, (pages - first) // 2)) * self.page
        skew = 0 if self.chance(60) else self.page
        self.declare(other.backing, self.free_ipa() + skew, size, first * self.page, vm, other.name)

    def free_ipa(self) -> int:
        """Return a guest address after all slots, aligned to 1G or a block."""
        top = 1 << self.vm.ipa
        end = max((slot.ipa + slot.size for slot in self.slots if slot.ipa + slot.size < top), default=0)
        unit = GIB if self.chance(60) or not self.slots else self.block
        return -(-end // unit) * unit or min(GIB, 1 << (self.vm.ipa - 2))

    def declare(self, backing: Backing, ipa: int, size: int, offset: int, vm: int, alias: str) -> None:
        """Add a slot, unless it does not fit."""
        log = backing not in DEVICES and self.chance(40)
        slot = Slot(NAMES[len(self.slots)], ipa, size, backing, offset, log, self.chance(4), vm, alias)
        try:
            self.state.declare(slot)
        except ProgramError:
            if self.slots:
                return
            slot = Slot("a", 0, self.page, "anon")
            self.state.declare(slot)
        self.slots.append(slot)

    def pick_slot(self) -> Slot:
        slot = self.random.choice(self.slots)
        if slot.backing in DEVICES and self.chance(70):
            slot = self.random.choice(self.slots)
        return slot

    def is_logged(self, slot: Slot) -> bool:
        return slot.name in self.state.logged

    def block_of(self, slot: Slot) -> int:
        """Return the offset of a block of host memory within the slot, or 0."""
        if slot.size >= GIB:
            return self.random.choice((0, self.block))
        blocks = range(-slot.offset % self.block, slot.size - self.block + 1, self.block)
        return self.random.choice(blocks) if blocks else 0

    def page_in(self, slot: Slot, block: int) -> int:
        """Return the offset of a page in a block, within the slot."""
        page = self.random.choice(self.hot) if self.chance(85) else self.random.randrange(self.entries)
        return min(block + page * self.page, slot.size - self.page)

    def place(self) -> tuple[Slot, int]:
        """Draw a slot and a page of it, most often near the last one."""
        slot, offset = self.last
        if self.chance(40):
            slot = self.pick_slot()
            offset = self.page_in(slot, self.block_of(slot))
        elif self.chance(50):
            offset = self.page_in(slot, offset - offset % self.block)
        else:
            offset += self.page * self.random.choice((-1, 0, 1))
            offset = max(0, min(offset, slot.size - self.page))
        self.last = (slot, offset)
        return slot, offset

    def range_at(self, slot: Slot, offset: int) -> tuple[int, int]:
        """Draw (offset, size) of a range: a page, a few pages, a block, or a range that misses a block by a page."""
        style = self.random.randrange(10)
        block, page = self.block, self.page
        if style < 3:
            size = page
        elif style < 5:
            size = page * self.random.choice((2, 3, 7))
        elif style < 8:
            offset = offset // block * block
            size = block
        elif style < 9:
            offset = max(0, offset // block * block + page * self.random.choice((-1, 1)))
            size = block + page * self.random.choice((-2, -1, 0, 1))
        else:
            size = slot.size if slot.size < GIB else block
        offset = min(offset, slot.size - page)
        return offset, max(page, min(size, slot.size - offset))

    def cpu_of(self, slot: Slot) -> int:
        """Draw a vCPU of the slot's VM."""
        return slot.vm * self.vm.cpus + self.random.randrange(self.vm.cpus)

    def cpus_of(self, slot: Slot, count: int) -> list[int]:
        """Draw different vCPUs of the slot's VM."""
        first = slot.vm * self.vm.cpus
        return self.random.sample(range(first, first + self.vm.cpus), count)

    def any_cpu(self) -> int:
        return self.random.randrange(self.vm.cpus * self.vm.vms)

    def access(self, slot: Slot, offset: int, kind: AccessKind | None = None) -> None:
        drawn: AccessKind = self.random.choice(KINDS) if kind is None else kind
        fail = self.random.choice((1, 2)) if self.chance(1) else None
        self.add(GuestAccess(self.cpu_of(slot), drawn, slot.name, offset, not self.chance(25), fail))
        self.last = (slot, offset)
