# SPDX-License-Identifier: GPL-2.0-only
"""Guest accesses and the other operations of vCPUs."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from .declaration import OPTIONAL_FROM, PAGE, declare

AccessKind: TypeAlias = Literal["read", "write", "fetch", "walk", "clean"]
ACCESS_KINDS: Final[tuple[str, ...]] = get_args(AccessKind)


@dataclass(frozen=True, slots=True)
class OnCpu:
    """Base of operations that vCPU *cpu* runs, or that happen to it.

    vCPUs are numbered across all VMs: with two CPUs, 0 and 1 are those of the
    first VM, 2 and 3 those of the second.
    """

    cpu: int


@dataclass(frozen=True, slots=True)
class GuestAccess(OnCpu):
    """vCPU *cpu* accesses one byte of a slot, with its stage-1 MMU on or off.

    *walk*: its MMU reads a stage-1 descriptor there; *clean*: it cleans the
    data cache by that address.

    With *fail* (1 to 99), the refill of the memory cache during this access
    gets ``fail - 1`` pages and then fails.
    """

    kind: AccessKind
    slot: str
    offset: int
    mmu: bool = True
    fail: int | None = None


declare(
    GuestAccess,
    0,
    "cpuN read|write|fetch|walk|clean SLOT+OFF [mmu=on|off] [fail=COUNT]",
    checkers=("translation", "contract", "fault-order", "page-reference"),
    title="cpu access",
)


@dataclass(frozen=True, slots=True)
class GuestCache(OnCpu):
    """The guest turns its stage-1 MMU and caches on or off."""

    on: bool


declare(GuestCache, 1, "cpuN cache on|off", checkers=("translation", "dcache"))


@dataclass(frozen=True, slots=True)
class GuestSetWay(OnCpu):
    """The guest cleans the data cache by set/way."""


declare(GuestSetWay, 2, "cpuN setway", checkers=("translation", "dcache"))


@dataclass(frozen=True, slots=True)
class GuestExternalAbort(OnCpu):
    """Memory answers an access to the place with a synchronous external abort."""

    slot: str
    offset: int


declare(GuestExternalAbort, 3, "cpuN abort SLOT+OFF", checkers=("contract",), by_events=True)


@dataclass(frozen=True, slots=True)
class GuestConflict(OnCpu):
    """The CPU reports a TLB conflict abort for an access to the place. KVM cannot continue."""

    slot: str
    offset: int


declare(GuestConflict, 37, "cpuN conflict SLOT+OFF", checkers=("contract",))


@dataclass(frozen=True, slots=True)
class GuestOutside(OnCpu):
    """vCPU *cpu* accesses the guest address *ipa*, which lies beyond the guest's address space.

    The CPU has enough address bits, although the VM has fewer. It reports a translation fault at level 0.
    """

    kind: AccessKind
    ipa: int
    mmu: bool = True


declare(
    GuestOutside,
    40,
    "cpuN outside read|write|fetch|walk|clean ADDRESS [mmu=on|off]",
    checkers=("translation", "contract"),
)


@dataclass(frozen=True, slots=True)
class GuestMove(OnCpu):
    """The vCPU is loaded on physical CPU *to*."""

    to: int


declare(GuestMove, 4, "cpuN move COUNT", checkers=("translation",))


@dataclass(frozen=True, slots=True)
class GuestReset(OnCpu):
    """User space resets the vCPU (calls KVM_ARM_VCPU_INIT again)."""


declare(GuestReset, 5, "cpuN reset", checkers=("translation", "dcache"))


@dataclass(frozen=True, slots=True)
class Speculate(OnCpu):
    """The CPU of the vCPU walks the tables for a place that has not been accessed yet."""

    slot: str
    offset: int


declare(Speculate, 6, "cpuN speculate SLOT+OFF", checkers=("translation",))


@dataclass(frozen=True, slots=True)
class Evict(OnCpu):
    """The TLB of the vCPU's CPU loses its entries for a place."""

    slot: str
    offset: int


declare(Evict, 7, "cpuN evict SLOT+OFF", checkers=("translation",))


@dataclass(frozen=True, slots=True)
class VmidRollover(OnCpu):
    """VMIDs run out: a VM outside the program is entered on the CPU of the vCPU and finds no VMID left.

    All TLB entries are lost. The VMs of the program get VMIDs again in the order in which they are entered next.
    """


declare(VmidRollover, 35, "cpuN rollover", checkers=("translation",))


@dataclass(frozen=True, slots=True)
class GuestPrefault(OnCpu):
    """User space has KVM map the pages of a range as if the vCPU read them (KVM_PRE_FAULT_MEMORY).

    Only some versions know that call. Compared with one of them, another version lets the vCPU read each page.
    """

    slot: str
    offset: int
    size: int


declare(
    GuestPrefault,
    OPTIONAL_FROM,
    "cpuN prefault SLOT+OFF SIZE",
    align=PAGE,
    checkers=("translation", "contract", "fault-order", "page-reference"),
)

GuestOperation: TypeAlias = (
    GuestAccess
    | GuestCache
    | GuestSetWay
    | GuestExternalAbort
    | GuestConflict
    | GuestOutside
    | GuestPrefault
    | GuestMove
    | GuestReset
    | Speculate
    | Evict
    | VmidRollover
)
