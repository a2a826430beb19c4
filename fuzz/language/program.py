# SPDX-License-Identifier: GPL-2.0-only
"""A program: the settings of the machine and its VMs, their slots, and the operations on them.

Addresses, sizes and offsets are in bytes. `fuzz.language.operations` defines the
operations, `fuzz.language.validate` the rules, `fuzz.language.text` the written form.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from .operations import GuestPrefault, Operation, Par, plain

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

Backing: TypeAlias = Literal[
    "anon",
    "thp",
    "hugetlb64k",
    "hugetlb2m",
    "hugetlb32m",
    "hugetlb512m",
    "hugetlb1g",
    "device",
    "devicehuge",
    "devicenc",
    "devicewb",
    "memfd",
]
ManualLog: TypeAlias = Literal["off", "on", "set"]
# A file of KVM's own (guest_memfd), which only some versions have. It is not in `BACKINGS`, from which choices are
# made.
MEMFD: Final = "memfd"
BACKINGS: Final[tuple[Backing, ...]] = tuple(each for each in get_args(Backing) if each != MEMFD)
# Frames of a device, which user space maps by pages, or by blocks of level 2 where these fit
# (``vfio_pci_mmap_huge_fault()``); frames that a guest may use as Normal memory too (VM_ALLOW_ANY_UNCACHED); and memory
# of a device, which user space maps cacheable.
UNCACHED: Final = "devicenc"
CACHED: Final = "devicewb"
DEVICES: Final[tuple[Backing, ...]] = ("device", "devicehuge", UNCACHED, CACHED)
# The backings without dirty logs.
UNLOGGED: Final = (*DEVICES, MEMFD)
# Backings that a VM with MTE may not have.
TAGLESS: Final = (*DEVICES, MEMFD)

# log2 of the sizes of hugetlb pages.
HUGE_SHIFT: Final = {"hugetlb64k": 16, "hugetlb2m": 21, "hugetlb32m": 25, "hugetlb512m": 29, "hugetlb1g": 30}
# The hugetlb pages of a host with this page size: a block of level 2 or
# 1, or as many consecutive entries as the contiguous bit covers.
HUGE_PAGES: Final[dict[int, tuple[Backing, ...]]] = {
    4 * KIB: ("hugetlb64k", "hugetlb2m", "hugetlb32m", "hugetlb1g"),
    16 * KIB: ("hugetlb2m", "hugetlb32m", "hugetlb1g"),
    64 * KIB: ("hugetlb2m", "hugetlb512m"),
}
GRANULES: Final = tuple(HUGE_PAGES)
# The sizes that an entry may map, into which blocks may be split (``kvm_supported_block_sizes()``).
SPLIT_SIZES: Final[dict[int, tuple[int, ...]]] = {
    4 * KIB: (4 * KIB, 2 * MIB, GIB),
    16 * KIB: (16 * KIB, 32 * MIB),
    64 * KIB: (64 * KIB, 512 * MIB),
}
# A dirty ring has at least a page, and room for its reserved entries. User space uses no more than the largest size.
RING_SIZES: Final = tuple(KIB << shift for shift in range(2, 9))


def backings(granule: int) -> tuple[Backing, ...]:
    """Return the backings that a slot may have on a host with this page size, in addition to `MEMFD`."""
    return "anon", "thp", *HUGE_PAGES[granule], *DEVICES


def caches_devices(vm: "Vm") -> bool:
    """Tell whether the machine can cache memory of a device (``kvm_supports_cacheable_pfnmap()``)."""
    return vm.fwb and vm.dic


class ProgramError(ValueError):
    """A program is not valid: the place and the reason.

    :param file: name of the file, or the name of another source in angle brackets
    :param line: from 1, or 0 for the file as a whole
    :param message: the mistake, and the allowed values
    """

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(file, line, message)
        self.file, self.line, self.message = file, line, message

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        return f"{self.file}{line}: {self.message}"


def refusal(wrong: str, allowed: str) -> ProgramError:
    """Make the error of one statement. A caller that knows its file and line adds them."""
    return ProgramError("", 0, f"{wrong}; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class Vm:
    """The machine, and the settings that all VMs of the program share.

    :param granule: page size
    :param ipa: bits of a guest address
    :param cpus: CPUs, and vCPUs of each VM
    :param fwb: CPUs force write-back; *dic*: need no instruction cache
        maintenance; *ttl*: take level hints; *range*: flush ranges of
        addresses; *haf*: set the access flag themselves
    :param manual: the dirty log is cleared by a separate call (on), and all
        pages also start dirty (set)
    :param fail: the allocation of that number fails when the first VM is created,
        and user space tries again: 1 ``struct kvm_pgtable``, 2 the root, 3
        ``last_vcpu_ran``
    :param resched: kernel code offers to drop the mmu lock (``cond_resched_lock()``), or asks whether it should
        (``need_resched()``, ``rwlock_needbreak()``). At every *resched*-th of these points another task waits; None:
        never
    :param contended: as *resched*, but another task waits only at the point of that number
    :param split: blocks are split when logging begins, this many bytes at a time
        (KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE); 0: they are not
    :param ring: bytes of the dirty ring of each vCPU
        (KVM_CAP_DIRTY_LOG_RING_ACQ_REL); 0: there are none
    :param bitmap: with rings, logged slots also have bitmaps
        (KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP)
    :param grace: memory that waits for an RCU grace period is freed at the point of that number at which no reader is
        inside; None: when the call has ended
    :param pa: bits of a physical address; with 52 (FEAT_LPA with 64K pages, else FEAT_LPA2) all memory lies above
        the addresses that 48 bits reach
    :param mte: memory has tags, and VMs have MTE (KVM_CAP_ARM_MTE)
    :param bbm: CPUs have level 2 of FEAT_BBM, and no TLB conflict aborts: the size of a live mapping may change without
        a break
    :param nested: vCPUs have EL2 (KVM_ARM_VCPU_HAS_EL2). Those with an even number stay there, as the guest hypervisor;
        the others run at EL1
    :param stage2: the guest hypervisor has enabled its stage 2 for vCPUs at EL1 (HCR_EL2.VM is 1). Its tables map each
        address to itself, by pages and by blocks
    """

    granule: int = 4 * KIB
    ipa: int = 40
    cpus: int = 2
    vms: int = 1
    fwb: bool = False
    dic: bool = False
    ttl: bool = False
    range: bool = False
    haf: bool = False
    manual: ManualLog = "off"
    fail: int | None = None
    resched: int | None = None
    contended: int | None = None
    split: int = 0
    ring: int = 0
    bitmap: bool = True
    grace: int | None = None
    pa: int = 48
    mte: bool = False
    bbm: bool = False
    nested: bool = False
    stage2: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """A memory slot of VM number *vm*.

    Its host address lies *offset* bytes after a 1G boundary. With *alias*, it lies *offset* bytes after
    the start of that slot, whose host memory it shares.
    """

    name: str
    ipa: int
    size: int
    backing: Backing
    offset: int = 0
    log: bool = False
    ro: bool = False
    vm: int = 0
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program. `fuzz.language.validate.validate` checks whether it is legal."""

    vm: Vm
    slots: tuple[Slot, ...]
    operations: tuple[Operation, ...] = ()


def sequential(program: Program) -> Program:
    """Return the program with the operations of each par block one after the other, for code that handles one actor."""
    if not has_blocks(program):
        return program
    return replace(program, operations=tuple(each_of(program.operations)))


def each_of(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Yield all operations that are no blocks, including those within blocks."""
    for operation in operations:
        if isinstance(operation, Par):
            yield from map(plain, operation.operations)
        else:
            yield operation


def has_blocks(program: Program) -> bool:
    """Tell whether a program has par blocks."""
    return any(isinstance(each, Par) for each in program.operations)


def pre_faults(program: Program) -> bool:
    """Tell whether a program has pages mapped in advance."""
    for operation in program.operations:
        if isinstance(operation, GuestPrefault):
            return True
        if isinstance(operation, Par) and any(isinstance(each, GuestPrefault) for each in each_of([operation])):
            return True
    return False


def next_ipa(slots: Iterable[Slot]) -> int:
    """Return the default guest address of a slot that follows *slots*, in bytes."""
    end = max((slot.ipa + slot.size for slot in slots), default=GIB)
    return -(-end // GIB) * GIB


def show_bytes(value: int) -> str:
    """Return the canonical text of a number of bytes: ``0``, ``4K``, ``0x1008``."""
    for unit, suffix in (GIB, "G"), (MIB, "M"), (KIB, "K"):
        if value % unit == 0 and value:
            return f"{value // unit}{suffix}"
    return f"{value:#x}" if value else "0"
