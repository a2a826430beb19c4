# SPDX-License-Identifier: GPL-2.0-only
"""Reduction of operations, then of slots."""

from dataclasses import replace
from itertools import combinations
from typing import Any, Final

from ..language.inside import changed_in, left_in
from ..language.operations import Operation, SetLog
from ..language.program import Program, Slot
from .ddmin import ddmin
from .legal import slot_of, slots_used
from .measure import NAMES
from .minimizer import Minimizer

# Maximum number of operations of which all pairs are tried.
_PAIRS: Final = 12


def operations(minimizer: Minimizer) -> None:
    """Delete operations: those of other slots, then chunks, single ones, and finally pairs."""
    if minimizer.best.operations:
        last = slot_of(minimizer.best.operations[-1])
        near = [each for each in minimizer.best.operations if slot_of(each) in ("", last)]
        minimizer.operations(near)
    ddmin(minimizer.best.operations, minimizer.operations)
    logged_from_the_start(minimizer)
    while len(minimizer.best.operations) <= _PAIRS and _pair(minimizer):
        pass


def logged_from_the_start(minimizer: Minimizer) -> None:
    """Let slots start with logging on, instead of turning it on by an operation."""
    for number, slot in enumerate(minimizer.best.slots):
        turned = SetLog(slot.name, True)
        if not slot.log and turned in minimizer.best.operations:
            slots = list(minimizer.best.slots)
            slots[number] = replace(slot, log=True)
            rest = [each for each in minimizer.best.operations if each != turned]
            minimizer.attempt(replace(minimizer.best, slots=tuple(slots), operations=tuple(rest)))


def _pair(minimizer: Minimizer) -> bool:
    kept = minimizer.best.operations
    return any(
        minimizer.operations([*kept[:first], *kept[first + 1 : second], *kept[second + 1 :]]) is not None
        for first, second in combinations(range(len(kept)), 2)
    )


def slots(minimizer: Minimizer) -> None:
    """Delete unused slots, then slots that another one can replace. Finally rename the rest."""
    used = slots_used(minimizer.best)
    minimizer.attempt(without(minimizer.best, {slot.name for slot in minimizer.best.slots} - used))
    # One by one: memory that no operation names may still matter.
    for slot in reversed(minimizer.best.slots):
        minimizer.attempt(without(minimizer.best, {slot.name}))
    for slot in reversed(minimizer.best.slots):
        for other in minimizer.best.slots:
            if other != slot and minimizer.attempt(
                without(renamed(minimizer.best, {slot.name: other.name}), {slot.name})
            ):
                break
    names = {slot.name: NAMES[number] for number, slot in enumerate(minimizer.best.slots)}
    minimizer.attempt(renamed(minimizer.best, names, slots_too=True))


def without(program: Program, names: set[str]) -> Program | None:
    """Return the program without some slots, their operations, and slots over their memory; None: no slot is left."""
    gone = names | {slot.name for slot in program.slots if slot.alias in names}
    rest = tuple(slot for slot in program.slots if slot.name not in gone)
    kept = left_in(program.operations, lambda each: slot_of(each) not in gone)
    return replace(program, slots=rest, operations=kept) if rest else None


def renamed(program: Program, names: dict[str, str], slots_too: bool = False) -> Program:
    """Return the program with operations on other slots; with *slots_too*, rename the slots themselves."""

    def change(each: Operation) -> Operation:
        operation: Any = each
        name = slot_of(each)
        changed: Operation = replace(operation, slot=names[name]) if name in names else each
        return changed

    slots: tuple[Slot, ...] = program.slots
    if slots_too:
        slots = tuple(
            replace(slot, name=names[slot.name], alias=names.get(slot.alias, slot.alias)) for slot in program.slots
        )
    return replace(program, slots=slots, operations=changed_in(program.operations, change))
