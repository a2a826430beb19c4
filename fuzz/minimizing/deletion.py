# SPDX-License-Identifier: GPL-2.0-only
"""Fewer operations, then fewer slots."""

from dataclasses import replace
from itertools import combinations
from typing import Any, Final

from ..language.operations import SetLog
from ..language.program import Program, Slot
from .ddmin import ddmin
from .legal import slot_of, slots_used
from .measure import NAMES
from .trial import Trial

# With more operations, pairs are too many to try them all.
_PAIRS: Final = 12


def operations(trial: Trial) -> None:
    """Operations one can do without: those of other slots, then chunks, single ones, and at last pairs."""
    if trial.best.operations:
        last = slot_of(trial.best.operations[-1])
        near = [each for each in trial.best.operations if slot_of(each) in ("", last)]
        trial.operations(near)
    ddmin(trial.best.operations, trial.operations)
    logged_from_the_start(trial)
    while len(trial.best.operations) <= _PAIRS and _pair(trial):
        pass


def logged_from_the_start(trial: Trial) -> None:
    """Slots whose logging is turned on by an operation start with it instead."""
    for number, slot in enumerate(trial.best.slots):
        turned = SetLog(slot.name, True)
        if not slot.log and turned in trial.best.operations:
            slots = list(trial.best.slots)
            slots[number] = replace(slot, log=True)
            rest = [each for each in trial.best.operations if each != turned]
            trial.attempt(replace(trial.best, slots=tuple(slots), operations=tuple(rest)))


def _pair(trial: Trial) -> bool:
    kept = trial.best.operations
    return any(
        trial.operations([*kept[:first], *kept[first + 1 : second], *kept[second + 1 :]]) is not None
        for first, second in combinations(range(len(kept)), 2)
    )


def slots(trial: Trial) -> None:
    """Slots that nothing names, then those whose part another one can play; at last their names."""
    used = slots_used(trial.best)
    trial.attempt(without(trial.best, {slot.name for slot in trial.best.slots} - used))
    # Each for itself: memory that nothing names may matter still.
    for slot in reversed(trial.best.slots):
        trial.attempt(without(trial.best, {slot.name}))
    for slot in reversed(trial.best.slots):
        for other in trial.best.slots:
            if other != slot and trial.attempt(without(renamed(trial.best, {slot.name: other.name}), {slot.name})):
                break
    names = {slot.name: NAMES[number] for number, slot in enumerate(trial.best.slots)}
    trial.attempt(renamed(trial.best, names, slots_too=True))


def without(program: Program, names: set[str]) -> Program | None:
    """The program without some slots, what is done to them, and those that share their memory; None: none is left."""
    gone = names | {slot.name for slot in program.slots if slot.alias in names}
    rest = tuple(slot for slot in program.slots if slot.name not in gone)
    kept = tuple(each for each in program.operations if slot_of(each) not in gone)
    return replace(program, slots=rest, operations=kept) if rest else None


def renamed(program: Program, names: dict[str, str], slots_too: bool = False) -> Program:
    """The program with operations on other slots; with *slots_too* it is the slots that are called otherwise."""
    operations: list[Any] = []
    for each in program.operations:
        operation: Any = each
        name = slot_of(each)
        operations.append(replace(operation, slot=names[name]) if name in names else each)
    slots: tuple[Slot, ...] = program.slots
    if slots_too:
        slots = tuple(
            replace(slot, name=names[slot.name], alias=names.get(slot.alias, slot.alias)) for slot in program.slots
        )
    return replace(program, slots=slots, operations=tuple(operations))
