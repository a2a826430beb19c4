# SPDX-License-Identifier: GPL-2.0-only
"""The order of programs by simplicity."""

from dataclasses import fields
from typing import Final, TypeAlias

from ..language.bounds import MANUAL
from ..language.operations import ACCESS_KINDS, HYP_PROTS, MOMENTS, POINTS, PROTS, HypMap, Operation, Par, Threaded
from ..language.program import BACKINGS, GRANULES, MEMFD, Program, Slot, Vm, next_ipa

Measure: TypeAlias = tuple[int, ...]

NAMES: Final = "abcdefgh"
_PLACES: Final = ("offset", "size", "va", "pa")
_DEFAULT: Final = Vm()


def measure(program: Program) -> Measure:
    """Return non-negative numbers: the smaller tuple is the simpler program. Equal ones differ at most in their names.

    Fewer operations and slots count first, then simpler settings, then lower
    operands. There is no endless descent: numbers and their count are bounded from below.
    """
    found = [sum(map(_weight, program.operations)), len(program.slots), *_of_vm(program.vm)]
    for number, slot in enumerate(program.slots):
        found += _of_slot(program, number, slot)
    numbers = {slot.name: number for number, slot in enumerate(program.slots)}
    for operation in program.operations:
        found += _of_operation(operation, program.vm.granule, numbers)
    return tuple(found)


def _weight(operation: Operation) -> int:
    """Return the number of operations. A block counts as one plus its operations and switches."""
    return 1 + len(operation.operations) + len(operation.switches) if isinstance(operation, Par) else 1


def _of_vm(vm: Vm) -> list[int]:
    flags = [vm.fwb, vm.dic, vm.ttl, vm.range, vm.haf]
    waits = [vm.resched or 0, vm.contended or 0]
    others = [MANUAL.index(vm.manual), vm.fail or 0, *waits, abs(vm.ipa - _DEFAULT.ipa)]
    asked_for = [
        vm.split != 0,
        vm.ring != 0,
        not vm.bitmap,
        vm.grace or 0,
        vm.pa,
        vm.mte,
        vm.bbm,
        vm.nested + vm.stage2,
    ]
    return [vm.vms, vm.cpus, GRANULES.index(vm.granule), sum(flags), *others, *asked_for]


def _of_slot(program: Program, number: int, slot: Slot) -> list[int]:
    moved = slot.ipa != next_ipa(program.slots[:number])
    flags = slot.log + slot.ro + bool(slot.alias)
    place = [slot.offset, moved, slot.ipa if moved else 0]
    backing = len(BACKINGS) if slot.backing == MEMFD else BACKINGS.index(slot.backing)
    return [flags, backing, slot.vm, slot.size, *place, slot.name != NAMES[number]]


def _of_operation(operation: Operation | Threaded, granule: int, numbers: dict[str, int]) -> list[int]:
    found: list[int] = []
    if isinstance(operation, Par):
        for each in operation.operations:
            found += _of_operation(each, granule, numbers)
        for switch in operation.switches:
            moment = MOMENTS.index(switch.when), POINTS.index(switch.point)
            found += [switch.fault, switch.count, *moment, switch.cpu, switch.to]
        return found
    if isinstance(operation, Threaded):
        return [operation.cpu, *_of_operation(operation.operation, granule, numbers)]
    for field in fields(operation):
        name, value = field.name, getattr(operation, field.name)
        if name == "slot":
            found.append(numbers[value])
        elif name in _PLACES:
            found += [value % granule != 0, value]
        elif name == "kind":
            found.append(ACCESS_KINDS.index(value))
        elif name == "prot":
            found.append((HYP_PROTS if isinstance(operation, HypMap) else PROTS).index(value))
        elif name in ("mmu", "flush"):
            found.append(not value)
        elif value is None:
            found.append(0)
        elif name != "on":
            # Any value of an option is more than none.
            found.append(value + 1 if field.default is None else int(value))
    return found
