# SPDX-License-Identifier: GPL-2.0-only
"""The parts of a program that user space cannot cause, with the reasons, and the settings of the emulated machine."""

from dataclasses import dataclass, replace
from typing import Final

from ..language.operations import (
    ClearLog,
    Evict,
    GuestAccess,
    GuestConflict,
    GuestExternalAbort,
    GuestOutside,
    GuestPrefault,
    HostAge,
    HostMerge,
    HostReap,
    HostTestAge,
    HostWriteback,
    HypMap,
    Operation,
    SetLog,
    SlotCreate,
    SlotMove,
    Speculate,
    TablePlace,
    TableRange,
    VmEnd,
    VmidRollover,
)
from ..language.program import Vm
from .errors import UnplayableError

# Operations that are left out, each with the reason.
LEFT_OUT: Final[tuple[tuple[type, str], ...]] = (
    (Speculate, "the CPU decides when to speculate"),
    (Evict, "the CPU decides what a TLB evicts"),
    (VmidRollover, "/init does not create enough VMs to exhaust the VMIDs"),
    (HostWriteback, "the CPU decides when caches write back"),
    (GuestExternalAbort, "the memory of the emulated machine does not fail"),
    (GuestConflict, "the TLB of the emulated machine has no conflicts"),
    (GuestPrefault, "/init does not call KVM_PRE_FAULT_MEMORY"),
    (HostAge, "user space cannot trigger page ageing"),
    (HostTestAge, "user space cannot trigger page ageing"),
    (HostReap, "the OOM reaper only acts on processes that are being killed"),
    (HostMerge, "the kernel decides when to merge pages"),
    (TableRange, "user space cannot call pgtable.c"),
    (TablePlace, "user space cannot call pgtable.c"),
    (HypMap, "user space cannot map memory of the hypervisor"),
    (VmEnd, "/init closes no VM before the end"),
)
SETTINGS: Final = {
    "fail": "user space cannot make allocations fail",
    "resched": "user space cannot control contention for the mmu lock",
    "contended": "user space cannot control contention for the mmu lock",
    "grace": "the kernel decides when a grace period ends",
    "haf": "the emulated CPU does not set access flags",
    "dic": "the emulated CPU needs maintenance of the instruction cache",
}
# Accesses that our code in the guest makes, with their letters.
ACCESSES: Final = {"read": "R", "write": "W", "fetch": "F"}
# Upper bound without LPA2.
MOST_ADDRESS_BITS: Final = 48


@dataclass(frozen=True)
class EmulatedCpu:
    """A CPU of QEMU's, with everything that KVM and a guest need.

    :param name: CPU name and properties for QEMU
    :param fwb: has forced write-back; without it, caches are cleaned
    :param ttl: has level hints of TLBIs
    :param range: has TLBIs by range
    :param mte: has memory tags
    """

    name: str
    fwb: bool
    ttl: bool
    range: bool
    mte: bool


# Without features that are slow to emulate.
CPU: Final = EmulatedCpu("max,pauth-impdef=on,sve=off,sme=off,lpa2=off", fwb=True, ttl=True, range=True, mte=True)
OLD_CPU: Final = EmulatedCpu("neoverse-n1", fwb=False, ttl=False, range=False, mte=False)


def reason_for_leaving_out(op: Operation) -> str:
    """Return the reason why user space cannot cause an operation; "" if it can."""
    for kind, reason in LEFT_OUT:
        if isinstance(op, kind):
            return reason
    if isinstance(op, GuestAccess | GuestOutside) and op.kind not in ACCESSES:
        return f"our code in the guest does not support {op.kind}"
    if isinstance(op, GuestOutside) and op.ipa >> MOST_ADDRESS_BITS:
        return f"the emulated CPU has addresses of {MOST_ADDRESS_BITS} bits"
    return ""


def without_failure(op: Operation) -> Operation:
    """Return the operation without an injected allocation failure."""
    if isinstance(op, GuestAccess | SetLog | ClearLog | SlotCreate | SlotMove) and op.fail is not None:
        return replace(op, fail=None)
    return op


def cached(op: Operation) -> Operation:
    """Return the operation with the guest's MMU on: the emulated machine has no caches that an access could bypass."""
    return replace(op, mmu=True) if isinstance(op, GuestAccess) and not op.mmu else op


def emulated(vm: Vm, cpu: EmulatedCpu) -> tuple[Vm, list[str]]:
    """Return the settings of the emulated machine, and remarks on settings of the program that it does not have.

    :param cpu: CPU of the machine
    :raises UnplayableError: the program needs a capability that /init or the CPU does not support
    """
    if vm.ring:
        raise UnplayableError("it asks for dirty rings (ring=), which /init does not read")
    if vm.mte and not cpu.mte:
        raise UnplayableError(f"its VMs have MTE (mte=), which the emulated CPU {cpu.name} does not have")
    if vm.bbm:
        raise UnplayableError(f"its CPUs have FEAT_BBM (bbm=), which Linux does not use on the CPU {cpu.name}")
    if vm.stage2:
        raise UnplayableError("it has a guest hypervisor with its own stage 2 (stage2=), which /init does not have")
    if vm.nested:
        raise UnplayableError("its vCPUs have EL2 (nested=), for which /init has no guest hypervisor")
    if vm.pa > MOST_ADDRESS_BITS:
        raise UnplayableError(f"it has addresses of {vm.pa} bits (pa=), but the emulated CPU has {MOST_ADDRESS_BITS}")
    changes = [f"vm {name}=: {reason}" for name, reason in SETTINGS.items() if getattr(vm, name)]
    real = replace(vm, fwb=cpu.fwb, dic=False, haf=False, ttl=cpu.ttl, range=cpu.range)
    return replace(real, fail=None, resched=None, contended=None, grace=None), changes
