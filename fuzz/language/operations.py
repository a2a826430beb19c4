# SPDX-License-Identifier: GPL-2.0-only
"""The operations on a VM: one class for each kind.

Offsets are in bytes from the start of a slot, sizes in bytes; `fuzz.language.text` has
the written form, `fuzz.language.validate` says what is allowed.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

AccessKind: TypeAlias = Literal["read", "write", "fetch", "walk", "clean"]
Prot: TypeAlias = Literal["r", "rw", "rx", "rwx"]
HypProt: TypeAlias = Literal["r", "rw", "rx", "device", "w", "rwx", "xdevice"]
ACCESS_KINDS: Final[tuple[str, ...]] = get_args(AccessKind)
PROTS: Final[tuple[str, ...]] = get_args(Prot)
HYP_PROTS: Final[tuple[str, ...]] = get_args(HypProt)
# The rights that ``kvm_pgtable_hyp_map()`` must refuse: without read, writable code, executable device memory.
HYP_REFUSED: Final = ("w", "rwx", "xdevice")


@dataclass(frozen=True, slots=True)
class OnCpu:
    """Base of the operations by, or on, vCPU *cpu*.

    vCPUs are numbered through all VMs: with two CPUs, 0 and 1 are those of the
    first VM, 2 and 3 those of the second.
    """

    cpu: int


@dataclass(frozen=True, slots=True)
class GuestAccess(OnCpu):
    """vCPU *cpu* accesses one byte of a slot, its stage-1 MMU on or off.

    *walk*: its MMU reads a stage-1 descriptor there; *clean*: it cleans the
    data cache by that address.

    With *fail* (1 to 99) the refill of the memory cache during this access
    gets ``fail - 1`` pages and then fails.
    """

    kind: AccessKind
    slot: str
    offset: int
    mmu: bool = True
    fail: int | None = None


@dataclass(frozen=True, slots=True)
class GuestCache(OnCpu):
    """The guest turns its stage-1 MMU and caches on or off."""

    on: bool


@dataclass(frozen=True, slots=True)
class GuestSetWay(OnCpu):
    """The guest cleans the data cache by set/way."""


@dataclass(frozen=True, slots=True)
class GuestExternalAbort(OnCpu):
    """Memory answers an access to the place with a synchronous external abort."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class GuestMove(OnCpu):
    """The vCPU is loaded on physical CPU *to*."""

    to: int


@dataclass(frozen=True, slots=True)
class GuestReset(OnCpu):
    """User space resets the vCPU (KVM_ARM_VCPU_INIT once more)."""


@dataclass(frozen=True, slots=True)
class Speculate(OnCpu):
    """The CPU of the vCPU walks the tables for a place that nobody accesses yet."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class Evict(OnCpu):
    """The TLB of the vCPU's CPU loses its entries for a place."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class SlotPlace:
    """Base of the operations at one place of a slot."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class SlotRange(SlotPlace):
    """Base of the operations on a range of a slot."""

    size: int


@dataclass(frozen=True, slots=True)
class HostWrite(SlotRange):
    """User space writes the range through its own mapping."""


@dataclass(frozen=True, slots=True)
class HostWriteback(SlotRange):
    """Data caches write the dirty lines of the range back to memory, of their own accord."""


@dataclass(frozen=True, slots=True)
class HostCollapse(SlotPlace):
    """khugepaged makes one huge page of the host block around the place."""


@dataclass(frozen=True, slots=True)
class HostSplit(SlotPlace):
    """The huge page around the place is split."""


@dataclass(frozen=True, slots=True)
class HostMigrate(SlotRange):
    """The pages of the range move to other frames."""


@dataclass(frozen=True, slots=True)
class HostDiscard(SlotRange):
    """User space calls ``madvise(MADV_DONTNEED)`` on the range."""


@dataclass(frozen=True, slots=True)
class HostUnmap(SlotRange):
    """User space calls ``munmap()`` on the range; of hugetlb, on the pages that lie within it."""


@dataclass(frozen=True, slots=True)
class HostPoison(SlotPlace):
    """``memory_failure()``: the frame of the page is broken; it is unmapped, and nobody may use it."""


@dataclass(frozen=True, slots=True)
class HostShare(SlotRange):
    """The pages of the range become copy-on-write, as after fork."""


@dataclass(frozen=True, slots=True)
class HostMerge(SlotPlace):
    """KSM puts a read-only page with the same contents in place of the page (``replace_page()``)."""


@dataclass(frozen=True, slots=True)
class HostAge(SlotRange):
    """``clear_flush_young`` on the range; without *flush*, ``clear_young``."""

    flush: bool = True


@dataclass(frozen=True, slots=True)
class HostTestAge(SlotPlace):
    """``test_young``."""


@dataclass(frozen=True, slots=True)
class SetLog:
    """Dirty logging of a slot is turned on or off."""

    slot: str
    on: bool


@dataclass(frozen=True, slots=True)
class GetLog:
    """The dirty log of a slot is collected (and cleared, unless that is a call of its own)."""

    slot: str


@dataclass(frozen=True, slots=True)
class ClearLog(SlotRange):
    """User space clears the collected part of the log in the range (KVM_CLEAR_DIRTY_LOG).

    *offset* is a multiple of 64 pages, *size* too unless the range ends with the slot.
    """


@dataclass(frozen=True, slots=True)
class SlotDelete:
    """A slot is deleted."""

    slot: str


@dataclass(frozen=True, slots=True)
class SlotCreate:
    """A deleted slot is made again, at *ipa* (None: where it was), over the same host memory.

    *fail* is that of `GuestAccess`, for device memory, which is mapped at once.
    """

    slot: str
    ipa: int | None = None
    log: bool = False
    ro: bool = False
    fail: int | None = None


@dataclass(frozen=True, slots=True)
class SlotMove:
    """A slot moves to another guest address; *fail* as in `SlotCreate`."""

    slot: str
    ipa: int
    fail: int | None = None


@dataclass(frozen=True, slots=True)
class TableRange:
    """Base of a direct call of pgtable.c with a range; *offset* and *size* need no alignment."""

    slot: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class TableMap(TableRange):
    """``kvm_pgtable_stage2_map()`` of the host's frames.

    The call is that of a careful caller: *prot* leaves out what the host's pages or the dirty log
    forbid, caches are maintained before, the range ends where the frames are no longer
    contiguous. *fail* is that of `GuestAccess`.
    """

    prot: Prot
    fail: int | None = None


@dataclass(frozen=True, slots=True)
class TableUnmap(TableRange):
    """``kvm_pgtable_stage2_unmap()``"""


@dataclass(frozen=True, slots=True)
class TableWrprotect(TableRange):
    """``kvm_pgtable_stage2_wrprotect()``, and the flush that it leaves to its caller."""


@dataclass(frozen=True, slots=True)
class TableFlush(TableRange):
    """``kvm_pgtable_stage2_flush()``"""


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Base of a direct call of pgtable.c for one address, which needs no alignment."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class TableMkyoung(TablePlace):
    """``kvm_pgtable_stage2_mkyoung()``"""


@dataclass(frozen=True, slots=True)
class TableMkold(TablePlace):
    """``kvm_pgtable_stage2_mkold()``"""


@dataclass(frozen=True, slots=True)
class TableIsYoung(TablePlace):
    """``kvm_pgtable_stage2_is_young()``"""


@dataclass(frozen=True, slots=True)
class TableRelax(TablePlace):
    """``kvm_pgtable_stage2_relax_perms()`` to *prot*, as far as the host's page allows."""

    prot: Prot


@dataclass(frozen=True, slots=True)
class HypMap:
    """``kvm_pgtable_hyp_map()`` of *size* bytes from hypervisor address *va* on to *pa*.

    None of the three needs alignment; some of *prot* must be refused
    (`HYP_REFUSED`). *fail*: the allocation of that number (from 1) during this
    call fails, that of the root included.
    """

    va: int
    pa: int
    size: int
    prot: HypProt
    fail: int | None = None


Operation: TypeAlias = (
    GuestAccess
    | GuestCache
    | GuestSetWay
    | GuestExternalAbort
    | GuestMove
    | GuestReset
    | Speculate
    | Evict
    | HostWrite
    | HostWriteback
    | HostCollapse
    | HostSplit
    | HostMigrate
    | HostDiscard
    | HostUnmap
    | HostPoison
    | HostShare
    | HostMerge
    | HostAge
    | HostTestAge
    | SetLog
    | GetLog
    | ClearLog
    | SlotDelete
    | SlotCreate
    | SlotMove
    | TableMap
    | TableUnmap
    | TableWrprotect
    | TableFlush
    | TableMkyoung
    | TableMkold
    | TableIsYoung
    | TableRelax
    | HypMap
)


def fail_of(op: Operation) -> int | None:
    """Return the number of the allocation of an operation that is made to fail, from 1; None: there is none."""
    return op.fail if isinstance(op, (GuestAccess, SlotCreate, SlotMove, TableMap, HypMap)) else None


OPERATIONS: Final[tuple[type, ...]] = get_args(Operation)
