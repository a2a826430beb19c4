# SPDX-License-Identifier: GPL-2.0-only
"""memcache: a call takes no more objects than its top-up guarantees, even if the cache holds more."""

from typing import ClassVar

from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    Pgtable,
    kvm_pgtable,
)
from reference.services.structs import kvm_mmu_memory_cache
from reference.syndrome import FSC_PERM

from .case import Case, broken, each, violations


class NeverRefill(Mmu):
    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        return 0


class OneTooFew(Mmu):
    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        return kvm.levels - 2


class NotForPermissions(Mmu):
    """Requests nothing in a permission fault, even for a write that splits a block."""

    permission = False

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        self.permission = fault_status == FSC_PERM
        return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)

    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        return 0 if self.permission else super().kvm_mmu_cache_min_pages(kvm)


class Ioremap(Mmu):
    """Maps like the original, except for the mistake of a subclass."""

    once: ClassVar[bool] = False
    goes_on: ClassVar[bool] = False

    def kvm_phys_addr_ioremap(self, kvm: kvm, guest_ipa: int, pa: int, size: int, writable: bool) -> int:
        ret = 0
        cache = kvm_mmu_memory_cache()
        assert kvm.pgt is not None
        prot = KVM_PGTABLE_PROT_DEVICE | KVM_PGTABLE_PROT_R | (KVM_PGTABLE_PROT_W if writable else 0)
        for done in range(0, size, self.PAGE_SIZE):
            if not done or not self.once:
                ret = self.k.kvm_mmu_topup_memory_cache(cache, self.kvm_mmu_cache_min_pages(kvm))
            if ret and not self.goes_on:
                break
            self.k.lock("mmu")
            ret = self.p.kvm_pgtable_stage2_map(kvm.pgt, guest_ipa + done, self.PAGE_SIZE, pa + done, prot, cache)
            self.k.unlock("mmu")
        self.k.kvm_mmu_free_memory_cache(cache)
        return ret


class TopUpOnce(Ioremap):
    once = True


class GoOnAfterFailure(Ioremap):
    goes_on = True


class Counts(Pgtable):
    """Maps as if `found` objects were counted in the cache, after the top-up."""

    found: ClassVar[int] = 2

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        assert mc is not None
        self.k.objects_counted(mc, self.found)
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)


class CountsOne(Counts):
    found = 1


class TakesFromAnother(Pgtable):
    """Fills the vCPU's cache, and maps with objects of another one."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        other = kvm_mmu_memory_cache("spare")
        other.nobjs = 5
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, other)


class CountsAnother(Mmu):
    """Counts the objects of another cache, and fills none."""

    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        self.k.objects_counted(kvm_mmu_memory_cache("spare"), 40)
        return 0


PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n"
BLOCK = "vm cpus=2 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\n"
DEVICE = "vm cpus=1\nslot d ipa=2040K size=16K backing=device\n"
NONE = "memcache: stage2_map_walker: allocation without a top-up"
BEYOND = "memcache: stage2_map_walker: allocation beyond the top-up"

CASES = (
    Case("an empty cache", NONE + " after a translation fault", broken(mmu=NeverRefill), PAGE),
    Case("a minimum too small", BEYOND + " after a translation fault", broken(mmu=OneTooFew), PAGE),
    Case(
        "a count that is too small",
        "memcache: stage2_map_walker: allocation beyond the count after a translation fault",
        broken(CountsOne),
        PAGE,
        broken(Counts),
    ),
    Case(
        "objects of a cache that was not topped up", NONE + " after a translation fault", broken(TakesFromAnother), PAGE
    ),
    Case(
        "the objects of another cache are counted", NONE + " after a translation fault", broken(mmu=CountsAnother), PAGE
    ),
    Case(
        "a write that splits, out of leftovers",
        NONE + " after a permission fault",
        broken(mmu=NotForPermissions),
        BLOCK + "cpu0 write a+0\n",
    ),
    Case("an ioremap that crosses into a second table", BEYOND, broken(mmu=TopUpOnce), DEVICE, broken(mmu=Ioremap)),
    Case(
        "a top-up that failed",
        NONE,
        broken(mmu=GoOnAfterFailure),
        DEVICE + "slot d delete\nslot d create fail=2\n",
        broken(mmu=Ioremap),
    ),
)


@each(CASES)
def test_memcache_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_memcache_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_the_top_up_of_a_direct_call_is_enough() -> None:
    """A direct call requests as many tables as the whole range may need."""
    case = Case("", "", broken(), "vm cpus=1\nslot a size=8M backing=anon\ntable map a+1M 6M rw\ntable unmap a+0 8M\n")
    assert case.all_good() == []


def test_a_block_that_only_a_direct_call_makes() -> None:
    """The frames are adjacent, so a direct call may map them by a block although the host maps pages."""
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=anon\ntable map a+0 2M r\ncpu0 fetch a+0\n"
    assert Case("", "", broken(), text).all_good() == []


def test_a_block_of_device_memory_that_only_a_direct_call_makes() -> None:
    """A direct call maps a block where user space maps one. KVM maps pages there."""
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=devicehuge\n"
    text += "table unmap a+0 2M\ntable map a+0 2M r\ncpu0 write a+64K\n"
    assert Case("", "", broken(), text).all_good() == []


def test_leftovers_and_an_empty_cache_are_the_same_bug() -> None:
    """M1: cpu0 has filled its cache before; cpu1 never has."""
    found = [[v.signature for v in violations(broken(), BLOCK + f"cpu{cpu} fetch a+0\n")] for cpu in (0, 1)]
    assert found == [[NONE + " after a permission fault"]] * 2


def test_the_reason_names_a_count_or_a_top_up() -> None:
    """A count is no top-up."""
    assert (
        "the code has counted 1 object in the cache, and topped up nothing"
        in violations(broken(CountsOne), PAGE)[0].reason
    )
    assert "the top-up guarantees 1 object; the cache still held " in violations(broken(mmu=OneTooFew), PAGE)[0].reason


def test_the_reason_names_the_cache_that_was_filled() -> None:
    filled = (
        "nothing was topped up for it in spare; a top-up guarantees 2 objects in mmu_page_cache; the cache still held 5"
    )
    counted = "nothing was topped up for it in mmu_page_cache; the code has counted 40 objects in spare; the cache was"
    assert filled in violations(broken(TakesFromAnother), PAGE)[0].reason
    assert counted in violations(broken(mmu=CountsAnother), PAGE)[0].reason
