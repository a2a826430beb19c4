# SPDX-License-Identifier: GPL-2.0-only
"""Changes of a program's machine and slots."""

from dataclasses import fields, replace
from typing import Any, Final

from ..language.bounds import MANUAL, NESTED_IPA, ipa_bits
from ..language.program import (
    GIB,
    GRANULES,
    SPLIT_SIZES,
    TAGLESS,
    Backing,
    Program,
    Slot,
    Vm,
    backings,
    next_ipa,
)
from ..language.repair import large_size
from .editor import ProgramEditor

# Higher numbers of CPUs or VMs only make programs slower.
_CPUS: Final = range(1, 4)
_VMS: Final = range(1, 3)
_VM_FAILS: Final = (None, 1, 2, 3)
_RESCHEDS: Final = (None, 1, 2, 3)
_CONTENDED: Final = (None, 1, 2, 3, 4, 6, 8)
# Only some versions support the last nine, so a program that does not use them stays without. The first two are drawn
# with `fail`.
_APART: Final = frozenset(
    {"resched", "contended", "split", "ring", "bitmap", "grace", "pa", "mte", "bbm", "nested", "stage2"}
)
_SLOT_FIELDS: Final = (*("size", "ipa", "offset") * 2, "backing", "log", "ro", "vm", "alias")
# Hosts need long to create these pages. A change never adds them.
_COSTLY: Final = ("hugetlb512m", "hugetlb1g")


def affordable(editor: ProgramEditor) -> list[Backing]:
    """Return the backings that a changed slot may have."""
    if editor.vm.mte:
        # Memory that has tags wherever VMs may have MTE.
        return ["anon", "thp"]
    return [backing for backing in backings(editor.page) if backing not in _COSTLY]


def change_vm(editor: ProgramEditor) -> None:
    """Change a setting of the machine."""
    vm = editor.vm
    name = editor.random.choice([field.name for field in fields(Vm) if field.name not in _APART])
    if name == "fail" and editor.chance(50):
        # All are rare.
        name = editor.random.choice(("resched", "resched", "contended"))
    choices: dict[str, Any] = {
        "granule": GRANULES,
        "ipa": ipa_bits(vm.pa),
        "cpus": _CPUS,
        "vms": _VMS,
        "manual": MANUAL,
        "fail": _VM_FAILS,
        "resched": _RESCHEDS,
        "contended": _CONTENDED,
    }
    values: dict[str, Any] = {name: editor.other(choices.get(name, (False, True)), getattr(vm, name))}
    editor.vm = legal(replace(vm, **values))


def legal(vm: Vm) -> Vm:
    """Return the machine, with the capabilities adjusted to its other settings."""
    if vm.split and vm.split not in SPLIT_SIZES[vm.granule]:
        vm = replace(vm, split=SPLIT_SIZES[vm.granule][-1])
    if vm.ring and (vm.manual != "off" or vm.ring < vm.granule):
        vm = replace(vm, ring=0, bitmap=True)
    if vm.nested and (vm.vms > 1 or vm.ipa > NESTED_IPA):
        vm = replace(vm, nested=False, stage2=False)
    return vm


def change_slot(editor: ProgramEditor) -> None:
    """Change the size, backing, a flag or the place of a slot, most often by a page or a block."""
    at = editor.random.randrange(len(editor.slots))
    slot = editor.slots[at]
    name = editor.random.choice(_SLOT_FIELDS)
    value: Any = not getattr(slot, name)
    if name in ("size", "ipa", "offset"):
        value = editor.step(getattr(slot, name))
    if name == "ipa" and editor.chance(20):
        # Place the slot at the end of the guest's address space.
        value = (1 << editor.vm.ipa) - slot.size
    if name == "size":
        edge = editor.random.choice(editor.boundaries(slot))
        most = max(slot.size, min(large_size(editor.page), 4 * editor.block))
        value = max(editor.page, min(edge if editor.chance(30) else value, most))
    elif name == "offset":
        value %= GIB
    elif name == "backing":
        value = editor.other(affordable(editor), slot.backing)
    elif name == "vm":
        value = editor.random.randrange(editor.vm.vms)
    elif name == "alias":
        others = [each for each in editor.slots[:at] if not each.alias]
        value = editor.random.choice(others).name if others and not slot.alias else ""
    values: dict[str, Any] = {name: value}
    editor.slots[at] = replace(slot, **values)


def add_slot(editor: ProgramEditor) -> None:
    """Add a slot after the others, over its own memory or that of another. Some operations move to it."""
    name = editor.free_name()
    if not name:
        return
    model = editor.random.choice(editor.slots)
    ipa = next_ipa(editor.slots) if editor.chance(50) else model.ipa + model.size
    vm = editor.random.randrange(editor.vm.vms)
    if editor.chance(50) and not model.alias:
        slot = replace(model, name=name, ipa=ipa, vm=vm, alias=model.name, offset=0)
    else:
        size = min(model.size, 4 * editor.block)
        slot = Slot(name, ipa, size, editor.random.choice(affordable(editor)), vm=vm, log=model.log)
    editor.slots.append(slot)
    for at, operation in enumerate(editor.operations):
        if getattr(operation, "slot", None) == model.name and editor.chance(30):
            editor.change(at, slot=name)


def drop_slot(editor: ProgramEditor) -> None:
    """Drop a slot. Its operations go to the first remaining slot."""
    if len(editor.slots) > 1:
        editor.slots.pop(editor.random.randrange(len(editor.slots)))


def take_slots(editor: ProgramEditor, donor: Program) -> None:
    """Add the slots of another program beyond the number of slots of this one, if there is room."""
    for slot in donor.slots[len(editor.slots) :]:
        name = editor.free_name()
        if not name:
            return
        if editor.vm.mte and slot.backing in TAGLESS:
            continue
        size = max(editor.page, slot.size // editor.page * editor.page)
        values: dict[str, Any] = {"name": name, "size": size, "alias": "", "vm": slot.vm % editor.vm.vms}
        editor.slots.append(replace(slot, **values))
