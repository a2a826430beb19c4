# SPDX-License-Identifier: GPL-2.0-only
"""Changes of a program's machine and slots."""

from dataclasses import fields, replace
from typing import Any, Final

from ..language.program import GIB, GRANULES, Backing, Program, Slot, Vm, backings, next_ipa
from ..language.repair import large_size
from ..language.validate import IPA_BITS, MANUAL
from .editor import ProgramEditor

# More of either only makes programs slower.
_CPUS: Final = range(1, 4)
_VMS: Final = range(1, 3)
_VM_FAILS: Final = (None, 1, 2, 3)
_SLOT_FIELDS: Final = (*("size", "ipa", "offset") * 2, "backing", "log", "ro", "vm", "alias")
# Hosts need long to make these: a program has none that it did not begin with.
_COSTLY: Final = ("hugetlb512m", "hugetlb1g")


def affordable(sketch: ProgramEditor) -> list[Backing]:
    """What a slot may be changed to be backed by."""
    return [backing for backing in backings(sketch.page) if backing not in _COSTLY]


def change_vm(sketch: ProgramEditor) -> None:
    """Another value for a setting of the machine."""
    vm = sketch.vm
    name = sketch.random.choice([field.name for field in fields(Vm)])
    choices: dict[str, Any] = {
        "granule": GRANULES,
        "ipa": IPA_BITS,
        "cpus": _CPUS,
        "vms": _VMS,
        "manual": MANUAL,
        "fail": _VM_FAILS,
    }
    values: dict[str, Any] = {name: sketch.other(choices.get(name, (False, True)), getattr(vm, name))}
    sketch.vm = replace(vm, **values)


def change_slot(sketch: ProgramEditor) -> None:
    """A slot is of another size, backing or flag, or lies elsewhere; a page or a block more or less most often."""
    at = sketch.random.randrange(len(sketch.slots))
    slot = sketch.slots[at]
    name = sketch.random.choice(_SLOT_FIELDS)
    value: Any = not getattr(slot, name)
    if name in ("size", "ipa", "offset"):
        value = sketch.step(getattr(slot, name))
    if name == "ipa" and sketch.chance(20):
        # To the end of what the guest can address.
        value = (1 << sketch.vm.ipa) - slot.size
    if name == "size":
        edge = sketch.random.choice(sketch.boundaries(slot))
        most = max(slot.size, min(large_size(sketch.page), 4 * sketch.block))
        value = max(sketch.page, min(edge if sketch.chance(30) else value, most))
    elif name == "offset":
        value %= GIB
    elif name == "backing":
        value = sketch.other(affordable(sketch), slot.backing)
    elif name == "vm":
        value = sketch.random.randrange(sketch.vm.vms)
    elif name == "alias":
        others = [each for each in sketch.slots[:at] if not each.alias]
        value = sketch.random.choice(others).name if others and not slot.alias else ""
    values: dict[str, Any] = {name: value}
    sketch.slots[at] = replace(slot, **values)


def add_slot(sketch: ProgramEditor) -> None:
    """One more slot behind the others, over memory of its own or of another; some operations go there."""
    name = sketch.free_name()
    if not name:
        return
    model = sketch.random.choice(sketch.slots)
    ipa = next_ipa(sketch.slots) if sketch.chance(50) else model.ipa + model.size
    vm = sketch.random.randrange(sketch.vm.vms)
    if sketch.chance(50) and not model.alias:
        slot = replace(model, name=name, ipa=ipa, vm=vm, alias=model.name, offset=0)
    else:
        size = min(model.size, 4 * sketch.block)
        slot = Slot(name, ipa, size, sketch.random.choice(affordable(sketch)), vm=vm, log=model.log)
    sketch.slots.append(slot)
    for at, operation in enumerate(sketch.operations):
        if getattr(operation, "slot", None) == model.name and sketch.chance(30):
            sketch.change(at, slot=name)


def drop_slot(sketch: ProgramEditor) -> None:
    """A slot less; what happened to it happens to the first that is left."""
    if len(sketch.slots) > 1:
        sketch.slots.pop(sketch.random.randrange(len(sketch.slots)))


def take_slots(sketch: ProgramEditor, donor: Program) -> None:
    """The slots of another program beyond as many as this one has, as far as there is room."""
    for slot in donor.slots[len(sketch.slots) :]:
        name = sketch.free_name()
        if not name:
            return
        size = max(sketch.page, slot.size // sketch.page * sketch.page)
        values: dict[str, Any] = {"name": name, "size": size, "alias": "", "vm": slot.vm % sketch.vm.vms}
        sketch.slots.append(replace(slot, **values))
