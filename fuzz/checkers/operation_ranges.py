# SPDX-License-Identifier: GPL-2.0-only
"""Guest addresses that an operation may change, or whose mappings a fault during it may rebuild."""

from ..language import operations as ops
from ..sides.guest import Guest, walked_range


def changed_by(guest: Guest, op: ops.Operation | None) -> list[tuple[int, int]]:
    """Return the guest addresses that *op* itself may change; notifications add more."""
    if op is None:
        return whole_space(guest)
    if isinstance(op, ops.GuestReset):
        return live_slots(guest) if unmapped_by(guest, op) else []
    if isinstance(op, (ops.GuestCache, ops.GuestSetWay)):
        return live_slots(guest) if guest.has_cpu(op.cpu) else []
    if isinstance(
        op, (ops.HypMap, ops.VmEnd, ops.GuestMove, ops.GuestOutside, ops.Speculate, ops.Evict, ops.VmidRollover)
    ):
        return []
    if isinstance(op, ops.Par):
        return [each for part in op.operations for each in changed_by(guest, ops.plain(part))]
    layout = guest.side.by_name[op.slot]
    if isinstance(op, (ops.HostAge, ops.HostTestAge)):
        size = op.size if isinstance(op, ops.HostAge) else guest.granule.page_size
        start = layout.hva + op.offset
        return guest.ipa_ranges(*guest.side.aged_range(start, start + size))
    if layout.slot.vm != guest.vm:
        return []
    if isinstance(op, ops.GuestAccess):
        return mapped_around(guest, layout.ipa + op.offset) if guest.side.guest_of(op.cpu) is guest else []
    if isinstance(op, ops.GuestPrefault):
        return mapped_by(guest, op)
    if isinstance(op, (ops.TableRange, ops.TablePlace)) and guest.is_nested:
        return []
    if isinstance(op, ops.TableRange):
        return [walked_range(layout.ipa + op.offset, op.size, guest.granule.page_size)]
    if isinstance(op, ops.TablePlace):
        return [walked_range(layout.ipa + op.offset, 1, guest.granule.page_size)]
    if isinstance(op, ops.SlotMove) and op.ipa == layout.ipa:
        return []
    ranges = [(layout.ipa, layout.ipa + layout.size)]
    if isinstance(op, ops.SlotMove):
        ranges.append((op.ipa, op.ipa + layout.size))
    elif isinstance(op, ops.SlotCreate) and op.ipa is not None:
        # Another slot may have taken the slot's previous place by now.
        ranges = [(op.ipa, op.ipa + layout.size)]
    return ranges if isinstance(op, (ops.OnSlot, ops.ClearLog)) else []


def whole_space(guest: Guest) -> list[tuple[int, int]]:
    """Return all guest addresses."""
    return [(0, 1 << guest.regime.ia_bits)]


def mapped_around(guest: Guest, ipa: int) -> list[tuple[int, int]]:
    """Return the ranges that a fault at *ipa* may map: the host's page there, or the block."""
    layout = guest.layout_of(ipa)
    if layout is None:
        return []
    _, size = guest.host.unit_at(layout.hva + ipa - layout.ipa)
    size = max(size, 1 << guest.granule.shifts[2])
    return [(ipa & -size, (ipa & -size) + size)]


def mapped_by(guest: Guest, op: ops.GuestPrefault) -> list[tuple[int, int]]:
    """Return the ranges that user space may have mapped in advance by an operation: up to the blocks at its ends."""
    if guest.side.vm_of(op.cpu) is not guest:
        return []
    start = guest.side.by_name[op.slot].ipa + op.offset
    last = start + op.size - guest.granule.page_size
    ranges = [*mapped_around(guest, start), *mapped_around(guest, last)]
    return [(min(first for first, _ in ranges), max(end for _, end in ranges))] if ranges else []


def accessed_slots(guest: Guest, op: ops.Operation | None) -> list[tuple[int, int]]:
    """Return the guest addresses of the slots that an operation, or each part of a par block, accesses as a guest."""
    if isinstance(op, ops.GuestAccess):
        return accessed_slot(guest, op)
    if isinstance(op, ops.GuestPrefault):
        layout = guest.side.by_name[op.slot]
        mine = layout.live and guest.side.vm_of(op.cpu) is guest
        return [(layout.ipa, layout.ipa + layout.size)] if mine else []
    if isinstance(op, ops.Par):
        return [each for part in op.operations for each in accessed_slots(guest, ops.plain(part))]
    return []


def accessed_slot(guest: Guest, op: ops.GuestAccess) -> list[tuple[int, int]]:
    """Return the guest addresses of the slot of a guest access."""
    layout = guest.side.by_name[op.slot]
    mine = layout.live and guest.side.guest_of(op.cpu) is guest
    return [(layout.ipa, layout.ipa + layout.size)] if mine else []


def live_slots(guest: Guest) -> list[tuple[int, int]]:
    """Return the guest addresses of live slots: faults map again what a reset unmaps, including device memory."""
    return [(layout.ipa, layout.ipa + layout.size) for layout in guest.layouts if layout.live]


def unmapped_by(guest: Guest, op: ops.GuestReset) -> bool:
    """Return whether a reset unmaps this VM: the vCPU belongs to it and has run, and there is no FWB."""
    return guest.has_cpu(op.cpu) and not guest.fwb and guest.vcpus[op.cpu % guest.side.cpus].has_run_once
