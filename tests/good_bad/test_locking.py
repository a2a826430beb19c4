# SPDX-License-Identifier: GPL-2.0-only
"""locking: balanced and nested correctly, no sleep under the mmu lock, no store to a live entry without it."""

from typing import ClassVar

import pytest

import candidate
from candidate import Candidate
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W,
    NULL,
    Pgtable,
    kvm_pgtable,
    stage2_attr_data,
    stage2_map_data,
)
from reference.services.structs import kvm_mmu_memory_cache

from .case import Case, broken, each, violations
from .practice_fault_order import KeepsLock

LOCKED = 1 << 10


class KeepLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        super().handle_access_fault(vcpu, fault_ipa)
        self.k.lock("mmu")


class KeepMmap(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmap")
        super().handle_access_fault(vcpu, fault_ipa)


class KeepLockAtTheEnd(Mmu):
    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        super().kvm_free_stage2_pgd(kvm)
        self.k.lock("mmu")


class LockTwice(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        super().handle_access_fault(vcpu, fault_ipa)
        self.k.unlock("mmu")


class UnlockTwice(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        super().handle_access_fault(vcpu, fault_ipa)
        self.k.unlock("mmu")


class MmapUnderLock(Mmu):
    """Takes the two locks in the wrong order."""

    def stage2_unmap_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")
        self.k.lock("mmap")
        for memslot in kvm.memslots:
            self.stage2_unmap_memslot(kvm, memslot)
        self.k.unlock("mmap")
        self.k.unlock("mmu")
        self.k.unlock("srcu")


class SrcuUnderLock(Mmu):
    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.k.lock("mmu")
        self.k.lock("srcu")
        for memslot in kvm.memslots:
            self.stage2_flush_memslot(kvm, memslot)
        self.k.unlock("srcu")
        self.k.unlock("mmu")


class LeaveSrcuFirst(Mmu):
    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")
        for memslot in kvm.memslots:
            self.stage2_flush_memslot(kvm, memslot)
        self.k.unlock("srcu")
        self.k.unlock("mmu")


class WithoutSrcu(Mmu):
    def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
        self.k.unlock("srcu")
        ret = super()._abort_in_slot(vcpu, fault_ipa, is_iabt, fault_status)
        self.k.lock("srcu")
        return ret


class AreasWithoutMmap(Mmu):
    def stage2_unmap_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")
        for memslot in kvm.memslots:
            self.stage2_unmap_memslot(kvm, memslot)
        self.k.unlock("mmu")
        self.k.unlock("srcu")


class FlushWithoutLock(Mmu):
    """Does not write to tables, but the loop over the slots drops the lock from time to time."""

    def stage2_flush_vm(self, kvm: kvm) -> None:
        self.k.lock("srcu")
        for memslot in kvm.memslots:
            self.stage2_flush_memslot(kvm, memslot)
        self.k.unlock("srcu")


class LookUpUnderLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        pfn, _ = self.h.gfn_to_pfn_prot(vcpu.kvm, fault_ipa >> self.PAGE_SHIFT, False)
        self.h.kvm_release_pfn_clean(pfn)
        self.k.unlock("mmu")
        super().handle_access_fault(vcpu, fault_ipa)


class AllocateUnderLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        self.k.kzalloc()
        self.k.kfree()
        self.k.unlock("mmu")
        super().handle_access_fault(vcpu, fault_ipa)


class RunOthersUnderLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        if self.k.need_resched():
            self.k.cond_resched()
        self.k.unlock("mmu")
        super().handle_access_fault(vcpu, fault_ipa)


class TablesFromTheAllocator(Pgtable):
    """Allocates tables with GFP_KERNEL while the mmu lock is held."""

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL or self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return super().stage2_map_walk_leaf(addr, end, level, ptep, data)
        self.kvm_set_table_pte(ptep, self.k.get_zeroed_page())
        self.k.get_page(self.k.virt_to_page(ptep))
        return 0


class AgeWithoutLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        pgt = vcpu.kvm.pgt
        assert pgt is not None
        self.h.kvm_set_pfn_accessed(
            self.p.kvm_pte_to_phys(self.p.kvm_pgtable_stage2_mkyoung(pgt, fault_ipa)) >> self.PAGE_SHIFT
        )


class ProtectWithoutLock(Mmu):
    def kvm_mmu_wp_memory_region(self, kvm: kvm, slot: int) -> None:
        memslot = self.h.id_to_memslot(kvm, slot)
        assert memslot is not None
        self.protect(kvm, memslot)
        self.kvm_flush_remote_tlbs(kvm)

    def protect(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        start = memslot.base_gfn << self.PAGE_SHIFT
        assert kvm.pgt is not None
        self.p.kvm_pgtable_stage2_wrprotect(kvm.pgt, start, memslot.npages << self.PAGE_SHIFT)


class ClearsWhatItFrees(Pgtable):
    """Writes entries during destruction, correctly without a lock."""

    def stage2_free_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        pte = self.mem[ptep]
        ret = super().stage2_free_walker(addr, end, level, ptep, flag, arg)
        if self.kvm_pte_valid(pte) and self.k.counts[self.k.virt_to_page(ptep)]:
            self.k.WRITE_ONCE(ptep, 0)
        return ret


class MadeWithEntries(Pgtable):
    """Writes entries during creation, correctly without a lock."""

    def kvm_pgtable_stage2_init(self, pgt: kvm_pgtable, vtcr: int, mmu: object) -> int:
        ret = super().kvm_pgtable_stage2_init(pgt, vtcr, mmu)  # type: ignore[arg-type]
        if not ret:
            self.k.WRITE_ONCE(pgt.pgd, 0)
        return ret


class BlocksAlways(Mmu):
    """May drop the lock even if the notifier must not block."""

    def kvm_unmap_hva_handler(self, kvm: kvm, gpa: int, size: int, may_block: bool) -> int:
        return super().kvm_unmap_hva_handler(kvm, gpa, size, True)


class RunsOthersInNotifier(Mmu):
    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        self.k.unlock("mmu")
        self.k.cond_resched()
        self.k.lock("mmu")
        return super().kvm_unmap_hva_range(kvm, start, end, blockable)


class WaitsInNotifier(Mmu):
    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        self.k.unlock("mmu")
        self.k.synchronize_srcu()
        self.k.lock("mmu")
        return super().kvm_unmap_hva_range(kvm, start, end, blockable)


class FillsInNotifier(Mmu):
    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        cache = kvm_mmu_memory_cache()
        self.k.unlock("mmu")
        self.k.kvm_mmu_topup_memory_cache(cache, 1)
        self.k.kvm_mmu_free_memory_cache(cache)
        self.k.lock("mmu")
        return super().kvm_unmap_hva_range(kvm, start, end, blockable)


class UnlinkWithoutLock(Mmu):
    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        pgt = kvm.pgt
        if pgt is not None:
            kvm.pgt = None
            self.k.free_percpu()
            self.p.kvm_pgtable_stage2_destroy(pgt)
            self.k.kfree()


class UnlinkAfterUnlock(Mmu):
    """Reads the root under the lock, and unlinks it after dropping the lock."""

    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        self.k.lock("mmu")
        pgt = kvm.pgt
        self.k.unlock("mmu")
        if pgt is not None:
            self.k.free_percpu()
            kvm.pgt = None
            self.p.kvm_pgtable_stage2_destroy(pgt)
            self.k.kfree()


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


class Readers(Pgtable):
    """Maps with the lock held for reading."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        # Same effect as read_lock().
        self.k.mmu_shared = True
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)


class Exchanges(Readers):
    """Has walks that change entries by compare-exchange, but also stores to entries."""

    EXCHANGES_SHARED: ClassVar[bool] = True


class ExchangesAlone(Pgtable):
    """Has walks that change entries by compare-exchange, and maps with the lock held for writing."""

    EXCHANGES_SHARED: ClassVar[bool] = True


class MarksFirst(Exchanges):
    """Locks each entry by a compare-exchange that leaves a marker, as ``stage2_try_break_pte()`` does."""

    def stage2_map_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_map_data) -> int:
        if self.mem[ptep] == 0:
            self.k.cmpxchg(ptep, 0, LOCKED)
        return super().stage2_map_walker(addr, end, level, ptep, flag, arg)


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


AMONG_READERS = "locking: stage2_map_walker: entry written without a compare-exchange under mmu_lock for reading L"
READ = "vm cpus=1 ipa=39\nslot a size=4K backing=anon\ncpu0 read a+0\n"


def test_stores_under_the_lock_for_reading() -> None:
    signatures = [each.signature for each in violations(broken(Exchanges), READ)]
    assert signatures == [f"{AMONG_READERS}{level}" for level in (1, 2, 3)]
    assert violations(broken(ExchangesAlone), READ) == []
    # A version without shared walks must not map under the lock for reading either.
    assert [each.signature for each in violations(broken(Readers), READ)] == signatures


class RelaxesAsReader(Pgtable):
    """Relaxes rights with the lock held for reading, as kernels before v6.2 do."""

    EXCHANGES_SHARED: ClassVar[bool] = False

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        self.k.mmu_shared = True
        return super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)


class RelaxesAmongExchanges(RelaxesAsReader):
    """Does the same in a version in which concurrent walks change entries by compare-exchange."""

    EXCHANGES_SHARED: ClassVar[bool] = True


def test_permissions_relaxed_under_the_lock_for_reading() -> None:
    program = "vm cpus=1\nslot a size=4K backing=anon\ncpu0 write a+0\nlog a on\ncpu0 write a+0\n"
    found = [each.signature for each in violations(broken(RelaxesAmongExchanges), program)]
    stored = "entry written without a compare-exchange under mmu_lock for reading L3"
    assert found == [f"locking: stage2_attr_walker: {stored}"]
    assert violations(broken(RelaxesAsReader), program) == []


def test_the_owner_of_a_marker_may_store() -> None:
    found = violations(broken(MarksFirst), READ)
    assert [each.signature for each in found if each.checker == "locking"] == []


class ExchangesFlags(Pgtable):
    """Ages a leaf by a compare-exchange."""

    TAKES: ClassVar[int] = 0

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        pte = self.load(ptep)
        if self.kvm_pte_valid(pte):
            arg.level, arg.pte = level, pte
            self.k.cmpxchg(ptep, pte, (pte & ~arg.attr_clr & ~self.TAKES) | arg.attr_set)
        return 0


class TakesARight(ExchangesFlags):
    """Clears write permission together with the access flag."""

    TAKES: ClassVar[int] = KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W


class AgesAsReader(KvmMain):
    """Ages pages as a reader of RCU, without the mmu lock."""

    AGES_WITHOUT_LOCK: ClassVar[bool] = True

    def clear_flush_young(self, start: int, end: int) -> int:
        self.k.lock("srcu")
        self.begin()
        young = self.mmu.kvm_age_hva(self.kvm, start, end)
        if young:
            self.mmu.kvm_flush_remote_tlbs(self.kvm)
        self.end()
        self.k.unlock("srcu")
        return young

    def begin(self) -> None:
        self.k.rcu_read_lock()

    def end(self) -> None:
        self.k.rcu_read_unlock()


class AgesUnprotected(AgesAsReader):
    """Does not keep the tables from being freed."""

    def begin(self) -> None:
        return None

    def end(self) -> None:
        return None


class AgesUnasked(AgesAsReader):
    """Does the same in a version that does not declare it."""

    AGES_WITHOUT_LOCK: ClassVar[bool] = False


@pytest.mark.parametrize(
    ("pgtable", "main", "wrong"),
    [
        (ExchangesFlags, AgesAsReader, False),
        (ExchangesFlags, AgesUnprotected, True),
        (ExchangesFlags, AgesUnasked, True),
        (TakesARight, AgesAsReader, True),
        (Pgtable, AgesAsReader, True),
    ],
)
def test_ageing_without_the_lock(pgtable: type[Pgtable], main: type[KvmMain], wrong: bool) -> None:
    version = Candidate("broken", pgtable, Mmu, "for a test", main=main)
    found = [each.signature for each in violations(version, AGED) if each.checker == "locking"]
    assert found == ["locking: stage2_attr_walker: entry written without mmu_lock L3"] * wrong


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
