# SPDX-License-Identifier: GPL-2.0-only
"""A program being changed. It may be invalid in between, and is repaired in the end."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any, Final, TypeVar

from ..language.binary import raw_operation, raw_operations, raw_slot, raw_switches
from ..language.block_repair import repair_block
from ..language.bounds import MAX_SLOTS
from ..language.lock_rules import MAX_ACCESSES
from ..language.operands import FIELDS
from ..language.operations import HostMigrate, HostWrite, OnCpu, Operation, Par
from ..language.program import Program, ProgramError, Slot, each_of
from ..language.repair import Repair
from .builder import ProgramBuilder

T = TypeVar("T")

# Maximum number of pages of a changed operation that works page by page.
_PAGE_BY_PAGE: Final = 512


class ProgramEditor:
    """The machine, the slots and the operations of a program, to be changed.

    :param program: a valid program
    :param random: the source of choices
    """

    def __init__(self, program: Program, random: Random) -> None:
        self.vm = program.vm
        self.slots = list(program.slots)
        self.operations = list(program.operations)
        self.random = random

    def program(self, limit: int) -> Program:
        """Return the nearest valid program of at most *limit* operations.

        A program that is too long loses some consecutive operations.
        """
        excess = len(self.operations) - limit
        if excess > 0:
            start = self.random.randrange(limit + 1)
            del self.operations[start : start + excess]
        page = self.vm.granule
        repair = Repair(self.vm)
        index = {slot.name: at for at, slot in enumerate(self.slots)}
        for slot in self.slots:
            if slot.alias and slot.alias not in index:
                slot = replace(slot, alias="", offset=0)
            try:
                repair.state.declare(slot)
                repair.slots.append(slot)
            except ProgramError:
                repair.slot(raw_slot(slot, index, page))
        operations: list[Operation] = []
        for operation in self.operations:
            try:
                repair.state.check(operation)
                operations.append(operation)
            except ProgramError:
                # The operations of a slot that is gone go to the first remaining slot.
                for each in each_of([operation]):
                    index.setdefault(getattr(each, "slot", ""), 0)
                if isinstance(operation, Par):
                    raw = raw_operations(operation, index, page)[:MAX_ACCESSES]
                    operations += repair_block(repair, raw, raw_switches(operation.switches))
                else:
                    operations.append(repair.operation(raw_operation(operation, index, page)))
        # An invalid block becomes several operations.
        return Program(self.vm, tuple(repair.slots), tuple(operations[:limit]))

    # Choices.

    @property
    def page(self) -> int:
        """Page size in bytes."""
        return self.vm.granule

    @property
    def block(self) -> int:
        """The size that an entry of level 2 maps, in bytes."""
        return self.vm.granule * self.vm.granule // 8

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def other(self, choices: Iterator[T] | list[T] | tuple[T, ...] | range, than: object) -> Any:
        """Draw one of several choices except this one. Return this one if there is no other."""
        left = [choice for choice in choices if choice != than]
        return self.random.choice(left) if left else than

    def position(self) -> int:
        """Draw a position at which an operation can be inserted."""
        return self.random.randrange(len(self.operations) + 1)

    def pick(self, kinds: type | tuple[type, ...] = object) -> int:
        """Draw the index of an operation of some kinds; -1: there is none."""
        found = [at for at, operation in enumerate(self.operations) if isinstance(operation, kinds)]
        return self.random.choice(found) if found else -1

    def pick_with(self, field: str) -> int:
        """Draw the index of an operation that has a field; -1: there is none."""
        found = [at for at, operation in enumerate(self.operations) if field in FIELDS[type(operation)]]
        return self.random.choice(found) if found else -1

    def consecutive(self, most: int = 8) -> tuple[int, int]:
        """Draw [start, end) of some consecutive operations, at least one if there are any."""
        start = self.random.randrange(max(len(self.operations), 1))
        return start, min(start + self.random.randint(1, most), len(self.operations))

    def change(self, at: int, **values: Any) -> None:
        """Give the fields of an operation other values."""
        operation: Any = self.operations[at]
        self.put(at, replace(operation, **values))

    def put(self, at: int, operation: Operation) -> None:
        """Replace an operation. Operations of hosts that work page by page stay short."""
        if isinstance(operation, HostWrite | HostMigrate):
            operation = replace(operation, size=min(operation.size, _PAGE_BY_PAGE * self.page))
        self.operations[at] = operation

    def slot_of(self, operation: Operation) -> Slot | None:
        """Return the slot that an operation names."""
        name = getattr(operation, "slot", None)
        return next((slot for slot in self.slots if slot.name == name), None)

    def another_cpu(self, operation: OnCpu) -> int:
        """Draw another vCPU of the same VM, if there is one."""
        first = operation.cpu // self.vm.cpus * self.vm.cpus
        cpu: int = self.other(range(first, first + self.vm.cpus), operation.cpu)
        return cpu

    def free_name(self) -> str:
        """Return a name that no slot has; "": the number of slots is at its maximum."""
        names = {slot.name for slot in self.slots}
        free = [name for name in "abcdefghijkl" if name not in names]
        return free[0] if len(self.slots) < MAX_SLOTS else ""

    # Boundaries.

    def boundaries(self, slot: Slot) -> list[int]:
        """Return the sorted offsets in a slot where something already begins or ends.

        These are its own edges, those of operations on it, and those of the surrounding
        blocks, for both guest and host addresses.
        """
        found = {0, slot.size}
        for operation in each_of(self.operations):
            if getattr(operation, "slot", None) == slot.name:
                offset = getattr(operation, "offset", None)
                if offset is not None:
                    found |= {offset, offset + getattr(operation, "size", 0)}
        alias = next((each.offset for each in self.slots if each.name == slot.alias), 0)
        for place in list(found):
            for base in (slot.ipa, slot.offset + alias):
                start = (base + place) // self.block * self.block - base
                found |= {start, start + self.block}
        return sorted(place for place in found if 0 <= place <= slot.size)

    def near_boundary(self, slot: Slot) -> int:
        """Draw a place at a boundary of the slot, or a page before or after."""
        place = self.random.choice(self.boundaries(slot)) + self.random.choice((-1, 0, 1)) * self.page
        return max(0, min(place, slot.size))

    def step(self, value: int) -> int:
        """Return a number of bytes changed slightly: by one, a page, or a block."""
        by = self.random.choice((self.page, self.page, self.page, self.block, 1))
        return max(0, value + self.random.choice((-by, by)))

    # Generation of new operations.

    def builder(self, at: int) -> ProgramBuilder:
        """Return a builder that continues after the first *at* operations, near places that this program uses.

        The program must be valid.
        """
        builder = ProgramBuilder(self.random, 0, Program(self.vm, tuple(self.slots), tuple(self.operations[:at])))
        near = self.pick_with("offset")
        slot = self.slot_of(self.operations[near]) if near >= 0 else None
        if slot is not None:
            offset: int = getattr(self.operations[near], "offset", 0)
            builder.last = (slot, offset // self.page * self.page)
        return builder
