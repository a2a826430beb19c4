# SPDX-License-Identifier: GPL-2.0-only
"""The operands of an operation: maps any numbers to values that are in bounds in any state.

Values in bounds stay the same.
"""

from dataclasses import fields
from typing import Any, Final, NamedTuple, cast

from . import operations as ops
from .bounds import FAILS, MAX_HYP_PAGES, MAX_MAP_BLOCKS, MAX_PREFAULT_PAGES, outside, step_of
from .operations import OPERATIONS, OPTIONAL, Operation, declaration_of
from .operations.declaration import WORD
from .program import GIB, MEMFD, UNLOGGED, Slot, Vm

# The lower bits of a number are pages. The bits above these hold the remaining bytes.
PAGE_BITS: Final = 48
_PAGES: Final = (1 << PAGE_BITS) - 1
# Upper bound of the size that replaces an invalid size of a hypervisor mapping.
_HYP_PAGES: Final = 64
FIELDS: Final[dict[type[Any], list[str]]] = {
    make: [field.name for field in fields(make)] for make in (*OPERATIONS, *OPTIONAL)
}
# A block has operations, and no operands of its own.
FIELDS[ops.Par] = []


class RawOperation(NamedTuple):
    """An operation as numbers: *first* is its offset, ipa or va, *third* its pa.

    *actor*: in a par block, the number of the thread that runs it, among threads of its kind. *optional*: the mark of
    an operation that only some versions know.
    """

    kind: int
    cpu: int
    slot: int
    choice: int
    flags: int
    fail: int
    first: int
    size: int
    third: int
    actor: int = 0
    optional: int = 0


def fit(value: int, least: int, most: int, step: int = 1) -> int:
    """Round *value* down to a step from *least* on, and wrap it around beyond *most*."""
    return least + (value - least) // step % ((most - least) // step + 1) * step


class Operands:
    """Builds operations from the numbers that encode them.

    :param vm: the machine
    """

    def __init__(self, vm: Vm) -> None:
        self.vm = vm

    def build(self, make: type[Any], raw: RawOperation, slot: Slot) -> Operation:
        """Build an operation of this kind, with numbers within the bounds that hold in any state."""
        values: dict[str, object] = {}
        # The start of the range, for its size.
        start = 0
        for name in FIELDS[make]:
            if name == "slot":
                values[name] = slot.name
            elif name == "offset":
                values[name] = start = fit(self.bytes(raw.first), 0, slot.size - 1, self.step(make))
            elif name == "va" or name == "pa":
                values[name] = address = self.hyp_address(raw.first if name == "va" else raw.third)
                start = max(start, address)
            elif name == "size":
                values[name] = self.hyp_size(raw, start) if make is ops.HypMap else self.size(make, raw, slot, start)
            else:
                values[name] = self.setting(name, make, raw, slot)
        return cast(Operation, make(**values))

    def setting(self, name: str, make: type[Any], raw: RawOperation, slot: Slot) -> object:
        """Return the value of a field that is neither a place nor a size."""
        vm, flags = self.vm, raw.flags
        if name == "cpu":
            if "slot" in FIELDS[make]:
                return slot.vm * vm.cpus + raw.cpu % vm.cpus
            return raw.cpu % (vm.cpus * vm.vms)
        if name == "vm":
            return raw.choice % vm.vms
        if name == "to":
            return raw.choice % vm.cpus
        if name == "kind" or name == "prot":
            choices = ops.ACCESS_KINDS if name == "kind" else ops.HYP_PROTS if make is ops.HypMap else ops.PROTS
            return choices[raw.choice % len(choices)]
        if name == "fail":
            return raw.fail if raw.fail in FAILS else None
        if name == "ipa" and make is ops.GuestOutside:
            beyond = outside(vm)
            return fit(self.bytes(raw.first), beyond.start, beyond.stop - 1) if beyond else beyond.start
        if name == "ipa":
            return (raw.first & _PAGES) * vm.granule if flags & 4 or make is ops.SlotMove else None
        if name == "log":
            return bool(flags & 1) and slot.backing not in UNLOGGED
        if name == "ro":
            return bool(flags & 2) and slot.backing != MEMFD
        return bool(flags & 1)

    def bytes(self, raw: int) -> int:
        """Return the number of bytes that a raw number encodes: pages, plus the bytes in its top bits."""
        page = self.vm.granule
        return (raw & _PAGES) * page + (raw >> PAGE_BITS) % page

    def step(self, make: type[Any]) -> int:
        """Return the alignment of an operation's offset, in bytes."""
        return step_of(declaration_of(make).align, self.vm.granule)

    def size(self, make: type[Any], raw: RawOperation, slot: Slot, offset: int) -> int:
        """Return the size of a range in a slot, in bytes."""
        page, step = self.vm.granule, self.step(make)
        # Include the start of the page that holds the first byte.
        room = slot.size - offset // page * page
        if make is ops.TableMap:
            room = min(room, MAX_MAP_BLOCKS * page * page // 8)
        if make is ops.GuestPrefault:
            room = min(room, MAX_PREFAULT_PAGES * page)
        size = self.bytes(raw.size)
        if declaration_of(make).align == WORD:
            # The size may be no multiple only at the end of the slot.
            return min(-(-fit(size, page, room, page) // step) * step, room)
        return fit(size, step, room, step)

    def hyp_address(self, raw: int) -> int:
        """Return an address that leaves room for a page after it."""
        address = self.bytes(raw)
        return address if address < (1 << self.vm.pa) - self.vm.granule else address % GIB

    def hyp_size(self, raw: RawOperation, highest: int) -> int:
        """Return the size of a mapping in bytes, given the higher of its two addresses."""
        page = self.vm.granule
        room = min((1 << self.vm.pa) - highest - page, MAX_HYP_PAGES * page)
        size = self.bytes(raw.size)
        return size if 0 < size <= room else fit(size, 1, min(room, _HYP_PAGES * page))
