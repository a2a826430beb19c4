# SPDX-License-Identifier: GPL-2.0-only
"""locking: balanced and nested correctly, no sleep under the mmu lock, no store to a live entry without it."""

import candidate
from candidate import Candidate
from reference.kvm import kvm_memory_slot
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import (
    Pgtable,
)

from .case import Case, broken, each, violations
from .lock_mistakes import (
    AgeWithoutLock,
    AllocateUnderLock,
    AreasWithoutMmap,
    BlocksAlways,
    ClearsWhatItFrees,
    FillsInNotifier,
    FlushWithoutLock,
    KeepLock,
    KeepLockAtTheEnd,
    KeepMmap,
    LeaveSrcuFirst,
    LockTwice,
    LookUpUnderLock,
    MadeWithEntries,
    MmapUnderLock,
    ProtectWithoutLock,
    RunOthersUnderLock,
    RunsOthersInNotifier,
    SrcuUnderLock,
    TablesFromTheAllocator,
    UnlinkAfterUnlock,
    UnlinkWithoutLock,
    UnlockTwice,
    WaitsInNotifier,
    WithoutSrcu,
)
from .practice_fault_order import KeepsLock

PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n"
AGED = PAGE + "host age a+0 4K\ncpu0 read a+0\n"
HARDWARE_AGED = AGED.replace("fwb=on", "fwb=on haf=on")
TOGGLE = "vm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\ncpu0 cache on\n"
RESET = "vm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\ncpu0 reset\n"
# Two root entries, so that the lock may be dropped between them.
FAR = "vm cpus=1\nslot a ipa=1022M size=4M backing=anon\ncpu0 read a+0\ncpu0 cache on\n"
REAPED = "vm cpus=1\nslot a ipa=1022M size=4M backing=anon\ncpu0 read a+0\nhost discard a+0 4M\nhost reap a+0 4M\n"
UNLINKED = "locking: kvm_free_stage2_pgd: root unlinked without mmu_lock"
HELD = "locking: kvm_handle_guest_abort: lock still held"

CASES = (
    Case("lock still held", HELD, broken(mmu=KeepLock), AGED),
    Case("mmap lock still held", HELD, broken(mmu=KeepMmap), AGED),
    Case(
        "lock held after the end",
        "locking: kvm_free_stage2_pgd: lock still held",
        broken(mmu=KeepLockAtTheEnd),
        PAGE,
    ),
    Case("lock taken twice", "locking: kvm_handle_guest_abort: mmu_lock taken twice", broken(mmu=LockTwice), AGED),
    Case("lock dropped twice", "locking: kvm_handle_guest_abort: lock not held", broken(mmu=UnlockTwice), AGED),
    Case(
        "mmap lock under the mmu lock",
        "locking: kvm_arch_vcpu_ioctl_vcpu_init: sleeping call under mmu_lock",
        broken(mmu=MmapUnderLock),
        RESET,
    ),
    Case(
        "srcu under the mmu lock",
        "locking: kvm_toggle_cache: srcu entered under mmu_lock",
        broken(mmu=SrcuUnderLock),
        TOGGLE,
    ),
    Case("srcu left first", "locking: kvm_toggle_cache: mmu_lock held beyond srcu", broken(mmu=LeaveSrcuFirst), TOGGLE),
    Case("slots without srcu", "locking: gfn_to_pfn_prot: slots used outside of srcu", broken(mmu=WithoutSrcu), PAGE),
    Case(
        "areas without the mmap lock", "locking: find_vma: without the mmap lock", broken(mmu=AreasWithoutMmap), RESET
    ),
    Case(
        "resched without the lock",
        "locking: kvm_toggle_cache: cond_resched_lock without mmu_lock",
        broken(mmu=FlushWithoutLock),
        FAR,
    ),
    Case(
        "memory cache filled under the lock",
        "locking: kvm_mmu_topup_memory_cache: memory cache filled under mmu_lock",
        candidate.get("rfc-v1"),
        PAGE,
    ),
    Case(
        "frame looked up under the lock",
        "locking: gfn_to_pfn_prot: frame looked up under mmu_lock",
        broken(mmu=LookUpUnderLock),
        AGED,
    ),
    Case(
        "allocation under the lock", "locking: kzalloc: allocation under mmu_lock", broken(mmu=AllocateUnderLock), AGED
    ),
    Case(
        "other tasks run under the lock",
        "locking: cond_resched: rescheduling under mmu_lock",
        broken(mmu=RunOthersUnderLock),
        AGED.replace("vm", "vm contended=1"),
    ),
    Case(
        "table allocated under the lock",
        "locking: kvm_handle_guest_abort: sleeping call under mmu_lock",
        broken(TablesFromTheAllocator),
        PAGE,
    ),
    Case(
        "access flag set without the lock",
        "locking: stage2_attr_walker: entry written without mmu_lock L3",
        broken(mmu=AgeWithoutLock),
        AGED,
    ),
    Case(
        "write-protected without the lock",
        "locking: stage2_attr_walker: entry written without mmu_lock L3",
        broken(mmu=ProtectWithoutLock),
        PAGE + "log a on\n",
    ),
    Case(
        "the lock dropped by a notifier that must not block",
        "locking: cond_resched_lock: rescheduling in a notifier that must not block",
        broken(mmu=BlocksAlways),
        REAPED,
    ),
    Case(
        "other tasks run in a notifier that must not block",
        "locking: cond_resched: rescheduling in a notifier that must not block",
        broken(mmu=RunsOthersInNotifier),
        REAPED,
    ),
    Case(
        "a notifier that must not block waits",
        "locking: kvm_mmu_notifier_invalidate_range_start: sleeping call in a notifier that must not block",
        broken(mmu=WaitsInNotifier),
        REAPED,
    ),
    Case(
        "a notifier that must not block fills a memory cache",
        "locking: kvm_mmu_topup_memory_cache: memory cache filled in a notifier that must not block",
        broken(mmu=FillsInNotifier),
        REAPED,
    ),
    Case("root unlinked without the lock", UNLINKED, broken(mmu=UnlinkWithoutLock), PAGE),
    Case("root unlinked after the lock", UNLINKED, broken(mmu=UnlinkAfterUnlock), PAGE),
)


@each(CASES)
def test_locking_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_locking_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_the_reason_names_the_locks_held() -> None:
    (found, *_) = violations(broken(mmu=UnlockTwice), AGED)
    assert found.reason == "the mmu lock is released without being held, with srcu held"
    (found, *_) = violations(broken(mmu=LockTwice), AGED)
    assert found.reason == "the mmu lock is taken by the actor that holds it, with srcu, mmu held"


class NobodyWaits(KvmMain):
    """Installs slots without waiting for readers of the old slots."""

    def update_memslots(self, memslot: kvm_memory_slot, change: int) -> None:
        self.kvm.memslots = [memslot]
        for observer in self.k.on.slots_installed:
            observer.slots_installed(self.kvm.mmu.vmid, memslot.id, memslot.flags, memslot.dirty_bitmap is not None)


NOT_WAITED = Case(
    "readers of slots are not waited for",
    "locking: kvm_set_memory_region: slots installed, readers not waited for",
    Candidate("broken", Pgtable, Mmu, "for a test", main=NobodyWaits),
    "vm cpus=1\nslot a size=4K backing=anon\nlog a on\n",
)


def test_readers_of_slots() -> None:
    found = [each.signature for each in violations(NOT_WAITED.bad, NOT_WAITED.text)]
    assert found == [NOT_WAITED.signature] * len(found) != []
    assert NOT_WAITED.all_good() == []


def test_violations_that_follow_from_a_lock_still_held() -> None:
    first, *others = [each for each in violations(broken(mmu=KeepsLock), PAGE) if each.checker == "locking"]
    assert (first.signature, first.follows) == (HELD, None)
    assert "locking: kvm_handle_guest_abort: srcu entered under mmu_lock" in [each.signature for each in others]
    assert {each.follows for each in others} == {first}
    # Without an imbalance, the same violation does not follow from another one.
    assert [each.follows for each in violations(broken(mmu=MmapUnderLock), RESET)] == [None]


GOOD = (
    Case("destruction holds no lock", "none", broken(ClearsWhatItFrees), PAGE),
    Case("creation holds no lock", "none", broken(MadeWithEntries), PAGE),
    Case("hardware holds no lock", "none", candidate.get("original"), HARDWARE_AGED),
)


@each(GOOD)
def test_stores_that_need_no_lock(case: Case) -> None:
    assert case.first_bad() == case.signature
