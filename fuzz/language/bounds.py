# SPDX-License-Identifier: GPL-2.0-only
"""The bounds of what stands in programs, and the rules that need no slot."""

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

# Bits of a physical address: without FEAT_LPA and FEAT_LPA2, and with them.
PA_BITS: Final = (48, 52)
CPUS: Final = range(1, 9)
VMS: Final = range(1, 5)
MAX_VCPUS: Final = CPUS[-1] * VMS[-1]
FAILS: Final = range(1, 100)
# Allocations that make a VM.
VM_FAILS: Final = range(1, 4)
# The values of resched= and contended=: numbers of questions whether another task waits for the mmu lock.
RESCHEDS: Final = range(1, 100)
# The values of grace=: numbers of points at which a grace period of RCU could end.
GRACES: Final = range(1, 100)
MANUAL: Final[tuple[ManualLog, ...]] = ("off", "on", "set")
MAX_SLOTS: Final = 8
MAX_SLOT_SIZE: Final = 16 * GIB
MAX_OPERATIONS: Final = 10_000
# The most that one direct call maps, in blocks of level 2: the memory cache
# holds tables for no more.
MAX_MAP_BLOCKS: Final = 8
# KVM_CLEAR_DIRTY_LOG takes whole words of the bitmap.
CLEAR_PAGES: Final = 64
MAX_HYP_PAGES: Final = 4096

_PAGED: Final = ("anon", "thp")


def wanted_backings(op: type, granule: int) -> tuple[str, ...]:
    """The backings of a slot on which a kind of operation makes sense."""
    wanted = declaration_of(op).backings
    if wanted == PAGED:
        return _PAGED
    if wanted in (RAM, MEMORY):
        return (*_PAGED, *HUGE_PAGES[granule], *((MEMFD,) if wanted == MEMORY else ()))
    return backings(granule) if wanted == MAPPED else (*backings(granule), MEMFD)


def step_of(align: Align, page: int) -> int:
    """The number of bytes that offset and size of an operation are multiples of, with pages of so many bytes."""
    return 1 if align == BYTE else CLEAR_PAGES * page if align == WORD else page


def within(what: str, value: int, bounds: range, show: Callable[[int], str]) -> None:
    """Check that a number lies within bounds, in their steps.

    :param what: the words in front of it
    :param show: its written form
    :raises ProgramError: it does not; without file and line
    """
    if value not in bounds:
        if not bounds:
            raise refusal(what + show(value), "nothing here")
        steps = f" in steps of {show(bounds.step)}" if bounds.step > 1 else ""
        raise refusal(what + show(value), f"{show(bounds[0])} to {show(bounds[-1])}{steps}")


def require(fine: object, wrong: str, *allowed: str) -> None:
    """Check that something is *fine*.

    :param wrong: what is wrong otherwise
    :param allowed: what could stand there
    :raises ProgramError: it is not; without file and line
    """
    if not fine:
        raise refusal(wrong, ", ".join(allowed))


def check_vm(vm: Vm) -> None:
    """The part of `validate` that needs no slot; raises a `refusal`."""
    require(vm.granule in GRANULES, f"granule={show_bytes(vm.granule)}", *map(show_bytes, GRANULES))
    require(vm.pa in PA_BITS, f"pa={vm.pa}", *map(str, PA_BITS))
    within("ipa=", vm.ipa, ipa_bits(vm.pa), str)
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
    # The two ways to clear a log are not mixed here.
    require(not vm.ring or vm.manual == "off", f"manual={vm.manual} with ring=", "manual=off")
    require(vm.ring or vm.bitmap, "bitmap=off without ring=", "bitmap=on")


def ipa_bits(pa: int) -> range:
    """The bits that a guest address may have, where a physical one has *pa*."""
    return range(32, pa + 1)


def outside(vm: Vm) -> range:
    """The guest addresses behind a VM's address space that a CPU may come to; none where that is as large as can be."""
    return range(1 << vm.ipa, 1 << PA_BITS[-1])


def ring_sizes(granule: int) -> tuple[int, ...]:
    """The sizes of dirty rings in bytes: none, or at least a page."""
    return (0, *(size for size in RING_SIZES if size >= granule))


def check_fail(fail: int | None) -> None:
    """Check a value of fail=; raises a `refusal`."""
    if fail is not None:
        within("fail=", fail, FAILS, str)


def check_hyp(vm: Vm, op: HypMap) -> None:
    """Check a map of the hypervisor; raises a `refusal`."""
    # Of an address of the hypervisor, and of the addresses that it maps.
    end = 1 << vm.pa
    limit = range(end)
    within("va ", op.va, limit, show_bytes)
    within("pa ", op.pa, limit, show_bytes)
    room = min(end - max(op.va, op.pa) - vm.granule, MAX_HYP_PAGES * vm.granule)
    within("size ", op.size, range(1, room + 1), show_bytes)
    require(op.prot in HYP_PROTS, f"{op.prot[:40]!a}", *HYP_PROTS)
    check_fail(op.fail)
