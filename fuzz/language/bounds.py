# SPDX-License-Identifier: GPL-2.0-only
"""The bounds of values in programs, and the rules that need no slot."""

from collections.abc import Callable
from typing import Final

from .operations import HYP_PROTS, HypMap, declaration_of
from .operations.declaration import BYTE, MAPPED, MEMORY, PAGED, RAM, WORD, Align
from .program import (
    GIB,
    GRANULES,
    HUGE_PAGES,
    MEMFD,
    RING_SIZES,
    SPLIT_SIZES,
    ManualLog,
    Vm,
    backings,
    refusal,
    show_bytes,
)

# Bits of a physical address, without FEAT_LPA and FEAT_LPA2 and with them.
PA_BITS: Final = (48, 52)
# Most bits of a guest address where vCPUs have EL2.
NESTED_IPA: Final = 40
CPUS: Final = range(1, 9)
VMS: Final = range(1, 5)
MAX_VCPUS: Final = CPUS[-1] * VMS[-1]
# In messages; a VM has fewer.
ALL_VCPUS: Final = f"cpu0 to cpu{MAX_VCPUS - 1} (the last one with cpus={CPUS[-1]} vms={VMS[-1]})"
FAILS: Final = range(1, 100)
# Allocations during the creation of a VM.
VM_FAILS: Final = range(1, 4)
# The values of resched= and contended=: the number of checks whether another task waits for the mmu lock.
RESCHEDS: Final = range(1, 100)
# The values of grace=: the number of points at which a grace period of RCU could end.
GRACES: Final = range(1, 100)
MANUAL: Final[tuple[ManualLog, ...]] = ("off", "on", "set")
MAX_SLOTS: Final = 8
MAX_SLOT_SIZE: Final = 16 * GIB
MAX_OPERATIONS: Final = 10_000
# Upper bound for one direct map call, in blocks of level 2: the memory cache
# holds no more tables.
MAX_MAP_BLOCKS: Final = 8
# KVM_CLEAR_DIRTY_LOG takes whole words of the bitmap.
CLEAR_PAGES: Final = 64
MAX_HYP_PAGES: Final = 4096
# Upper bound for one call that maps pages in advance.
MAX_PREFAULT_PAGES: Final = 4096

_PAGED: Final = ("anon", "thp")


def wanted_backings(op: type, granule: int) -> tuple[str, ...]:
    """Return the backings of a slot on which a kind of operation makes sense."""
    wanted = declaration_of(op).backings
    if wanted == PAGED:
        return _PAGED
    if wanted in (RAM, MEMORY):
        return (*_PAGED, *HUGE_PAGES[granule], *((MEMFD,) if wanted == MEMORY else ()))
    return backings(granule) if wanted == MAPPED else (*backings(granule), MEMFD)


def step_of(align: Align, page: int) -> int:
    """Return the alignment of offset and size of an operation in bytes. *page* is the page size."""
    return 1 if align == BYTE else CLEAR_PAGES * page if align == WORD else page


def within(what: str, value: int, bounds: range, show: Callable[[int], str]) -> None:
    """Check that a number lies within bounds, in their steps.

    :param what: the words in front of the number
    :param show: formats the number
    :raises ProgramError: the number is out of bounds; without file and line
    """
    if value not in bounds:
        if not bounds:
            raise refusal(what + show(value), "no value")
        steps = f" in steps of {show(bounds.step)}" if bounds.step > 1 else ""
        raise refusal(what + show(value), f"{show(bounds[0])} to {show(bounds[-1])}{steps}")


def require(fine: object, wrong: str, *allowed: str) -> None:
    """Check that something is *fine*.

    :param wrong: the description of the mistake
    :param allowed: the allowed values
    :raises ProgramError: it is not fine; without file and line
    """
    if not fine:
        raise refusal(wrong, ", ".join(allowed))


def check_vm(vm: Vm) -> None:
    """Check the part of `validate` that needs no slot. Raises a `refusal`."""
    require(vm.granule in GRANULES, f"granule={show_bytes(vm.granule)}", *map(show_bytes, GRANULES))
    require(vm.pa in PA_BITS, f"pa={vm.pa}", *map(str, PA_BITS))
    bits = ipa_bits(vm.pa)
    more = () if vm.pa == PA_BITS[-1] else (f"with pa={PA_BITS[-1]} to {PA_BITS[-1]}",)
    require(vm.ipa in bits, f"ipa={vm.ipa}", f"{bits[0]} to {bits[-1]}", *more)
    within("cpus=", vm.cpus, CPUS, str)
    within("vms=", vm.vms, VMS, str)
    if vm.fail is not None:
        within("fail=", vm.fail, VM_FAILS, str)
    if vm.resched is not None:
        within("resched=", vm.resched, RESCHEDS, str)
    if vm.contended is not None:
        within("contended=", vm.contended, RESCHEDS, str)
    if vm.grace is not None:
        within("grace=", vm.grace, GRACES, str)
    require(vm.manual in MANUAL, f"manual={vm.manual[:40]!a}", *MANUAL)
    splits = (0, *SPLIT_SIZES[vm.granule])
    require(vm.split in splits, f"split={show_bytes(vm.split)}", *map(show_bytes, splits))
    rings = ring_sizes(vm.granule)
    require(vm.ring in rings, f"ring={show_bytes(vm.ring)}", *map(show_bytes, rings))
    # A program does not mix the two ways to clear a log.
    require(not vm.ring or vm.manual == "off", f"manual={vm.manual} with ring=", "manual=off")
    require(vm.ring or vm.bitmap, "bitmap=off without ring=", "bitmap=on")
    require(not vm.nested or vm.vms == 1, f"nested=on with vms={vm.vms}", "vms=1")
    require(not vm.nested or vm.pa == PA_BITS[0], f"nested=on with pa={vm.pa}", f"pa={PA_BITS[0]}")
    # Each notification walks all of the address space that the guest hypervisor sees.
    nested = f"{bits[0]} to {NESTED_IPA}"
    require(not vm.nested or vm.ipa <= NESTED_IPA, f"nested=on with ipa={vm.ipa}", nested)
    require(vm.nested or not vm.stage2, "stage2=on without nested=on", "nested=on")


def ipa_bits(pa: int) -> range:
    """Return the possible numbers of guest address bits where physical addresses have *pa* bits."""
    return range(32, pa + 1)


def outside(vm: Vm) -> range:
    """Return the guest addresses beyond a VM's address space that a CPU can access; empty if that space is maximal."""
    return range(1 << vm.ipa, 1 << PA_BITS[-1])


def ring_sizes(granule: int) -> tuple[int, ...]:
    """Return the sizes of dirty rings in bytes: 0 for none, or at least a page."""
    return (0, *(size for size in RING_SIZES if size >= granule))


def check_fail(fail: int | None) -> None:
    """Check a value of fail=. Raises a `refusal`."""
    if fail is not None:
        within("fail=", fail, FAILS, str)


def check_hyp(vm: Vm, op: HypMap) -> None:
    """Check a map of the hypervisor. Raises a `refusal`."""
    # Limit of hypervisor addresses and of the addresses that they map to.
    end = 1 << vm.pa
    limit = range(end)
    within("va ", op.va, limit, show_bytes)
    within("pa ", op.pa, limit, show_bytes)
    room = min(end - max(op.va, op.pa) - vm.granule, MAX_HYP_PAGES * vm.granule)
    within("size ", op.size, range(1, room + 1), show_bytes)
    require(op.prot in HYP_PROTS, f"{op.prot[:40]!a}", *HYP_PROTS)
    check_fail(op.fail)
