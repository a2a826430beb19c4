# SPDX-License-Identifier: GPL-2.0-only
"""Changes of the operands of one operation of a program."""

from typing import Any

from ..language.operands import FIELDS
from ..language.operations import ACCESS_KINDS, HYP_PROTS, OPERATIONS, PROTS, GuestOutside, HypMap, Par
from .editor import ProgramEditor


def change_slot(editor: ProgramEditor) -> None:
    """Move an operation, or a few consecutive ones, to another slot."""
    at = editor.pick_with("slot")
    if at < 0:
        return
    slot = editor.slot_of(editor.operations[at])
    other = editor.other(editor.slots, slot)
    for near in range(at, at + editor.random.choice((1, 1, 3))):
        if near < len(editor.operations) and "slot" in FIELDS[type(editor.operations[near])]:
            editor.change(near, slot=other.name)


def change_page(editor: ProgramEditor) -> None:
    """Begin an operation at, before or after an existing boundary. A range may keep its end."""
    at = editor.pick_with("offset")
    slot = editor.slot_of(editor.operations[at]) if at >= 0 else None
    if slot is None:
        return
    operation: Any = editor.operations[at]
    offset = editor.step(operation.offset) if editor.chance(50) else editor.near_boundary(slot)
    offset = min(offset, slot.size - 1)
    editor.change(at, offset=offset)
    if "size" in FIELDS[type(operation)] and editor.chance(50):
        editor.change(at, size=max(1, operation.offset + operation.size - offset))


def change_size(editor: ProgramEditor) -> None:
    """End a range at, before or after an existing boundary."""
    at = editor.pick_with("size")
    if at < 0:
        return
    operation: Any = editor.operations[at]
    slot = editor.slot_of(operation)
    if slot is None or editor.chance(50):
        editor.change(at, size=max(1, editor.step(operation.size)))
    else:
        editor.change(at, size=max(1, editor.near_boundary(slot) - operation.offset))


def same_place(editor: ProgramEditor) -> None:
    """Move an operation to the place of another one."""
    at, model = editor.pick_with("offset"), editor.pick_with("offset")
    if at >= 0:
        there: Any = editor.operations[model]
        editor.change(at, slot=there.slot, offset=there.offset)
        if "size" in FIELDS[type(editor.operations[at])]:
            editor.change(at, size=getattr(there, "size", editor.page))


def change_operand(editor: ProgramEditor) -> None:
    """Change the vCPU, access, permission, flag, failure or address of an operation."""
    at = editor.pick()
    if at < 0:
        return
    operation = editor.operations[at]
    names = [name for name in FIELDS[type(operation)] if name not in ("slot", "offset", "size")]
    if names:
        name = editor.random.choice(names)
        editor.change(at, **{name: value(editor, type(operation), name, getattr(operation, name))})


def change_kind(editor: ProgramEditor) -> None:
    """Replace an operation by one of another kind at the same place."""
    at = editor.pick()
    if at < 0:
        return
    old = editor.operations[at]
    if isinstance(old, Par):
        return
    make: Any = editor.other(OPERATIONS, type(old))
    values: dict[str, Any] = {}
    for name in FIELDS[make]:
        kept = getattr(old, name, None) if name not in ("prot", "kind") else None
        values[name] = value(editor, make, name, None) if kept is None else kept
    editor.put(at, make(**values))


def value(editor: ProgramEditor, make: type, name: str, old: Any) -> Any:
    """Draw another value for a field of a kind of operation; *old* None: any."""
    random, vm = editor.random, editor.vm
    if name == "cpu":
        return editor.other(range(vm.cpus * vm.vms), old)
    if name == "vm":
        return editor.other(range(vm.vms), old)
    if name == "to":
        return editor.other(range(vm.cpus), old)
    if name in ("kind", "prot"):
        return editor.other(ACCESS_KINDS if name == "kind" else HYP_PROTS if make is HypMap else PROTS, old)
    if name == "slot":
        return random.choice(editor.slots).name
    if name == "offset":
        return editor.near_boundary(random.choice(editor.slots))
    if name == "size":
        return random.choice((editor.page, 3 * editor.page, editor.block))
    if name == "fail":
        return random.randrange(1, 4) if old is None and editor.chance(50) else None
    if name == "ipa" and make is GuestOutside:
        return editor.step(max(old or 0, 1 << vm.ipa)) + random.choice((0, 0, 1, editor.page - 1))
    if name == "ipa":
        slot = random.choice(editor.slots)
        return editor.step(slot.ipa + random.choice((0, slot.size)) if old is None or editor.chance(30) else old)
    if name in ("va", "pa"):
        others = [getattr(operation, name) for operation in editor.operations if isinstance(operation, HypMap)]
        return editor.step(random.choice(others) if others else 0)
    # All others are flags.
    return random.random() < 0.5 if old is None else not old
