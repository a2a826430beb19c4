# SPDX-License-Identifier: GPL-2.0-only
"""translation: the tables map only what host and slots allow."""

import candidate
from fuzz.checkers.registry import rule_of
from fuzz.checkers.severity import Severity
from fuzz.findings.renamed import names_of
from fuzz.findings.severity import severity
from reference.kvm import kvm, kvm_memory_slot
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_W,
    KVM_PTE_TYPE,
    Pgtable,
    stage2_map_data,
)

from .case import ORIGINAL, Case, broken, each, violations
from .near_misses import SHORT


class IgnoreNotifier(Mmu):
    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        return 0


class ChangeToWrongFrame(Mmu):
    def kvm_set_spte_handler(self, kvm: kvm, gpa: int, size: int, pfn: int) -> int:
        return super().kvm_set_spte_handler(kvm, gpa, size, pfn - 1)


class KeepDeleted(Mmu):
    def kvm_arch_flush_shadow_memslot(self, kvm: kvm, slot: kvm_memory_slot) -> None:
        return None


class AlwaysHuge(Mmu):
    def fault_supports_stage2_huge_mapping(self, memslot: kvm_memory_slot, hva: int, map_size: int) -> bool:
        return True


class AgeNextBlock(Mmu):
    def kvm_age_hva_handler(self, kvm: kvm, gpa: int, size: int) -> int:
        return super().kvm_age_hva_handler(kvm, gpa + self.PMD_SIZE, size)


class AlwaysWritable(Pgtable):
    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        return super().stage2_map_set_prot_attr(prot | KVM_PGTABLE_PROT_W, data)


class NeverDevice(Pgtable):
    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        return super().stage2_map_set_prot_attr(prot & ~KVM_PGTABLE_PROT_DEVICE, data)


class AlwaysDevice(Pgtable):
    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        return super().stage2_map_set_prot_attr(prot | KVM_PGTABLE_PROT_DEVICE, data)


class DeviceExecutable(Pgtable):
    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        ret = super().stage2_map_set_prot_attr(prot, data)
        data.attr &= ~(1 << 54)
        return ret


class NotShareable(Pgtable):
    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        ret = super().stage2_map_set_prot_attr(prot, data)
        data.attr &= ~(3 << 8)
        return ret


class UpperBitsDropped(Pgtable):
    def kvm_init_valid_leaf_pte(self, pa: int, attr: int, level: int) -> int:
        return super().kvm_init_valid_leaf_pte(pa & (1 << 48) - 1, attr, level)


class NoPageType(Pgtable):
    def kvm_init_valid_leaf_pte(self, pa: int, attr: int, level: int) -> int:
        return super().kvm_init_valid_leaf_pte(pa, attr, level) & ~KVM_PTE_TYPE


class BlockOffByAPage(Pgtable):
    def kvm_init_valid_leaf_pte(self, pa: int, attr: int, level: int) -> int:
        return super().kvm_init_valid_leaf_pte(pa + (self.PAGE_SIZE if level == 2 else 0), attr, level)


class ThirdPageTwice(Pgtable):
    def kvm_init_valid_leaf_pte(self, pa: int, attr: int, level: int) -> int:
        third = pa >> 12 & 3 == 2
        return super().kvm_init_valid_leaf_pte(pa + (self.PAGE_SIZE if third else 0), attr, level)


PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\n"
WIDE = "vm granule=64K cpus=1 fwb=on pa=52\nslot a size=64K backing=anon\n"
BLOCK = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\n"
DEVICE = "vm cpus=1 fwb=on\nslot a size=4K backing=device\n"

FOUR = "vm cpus=1 fwb=on\nslot a size=16K backing=anon\nhost write a+0 16K\n"
PAIR = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\n"

CASES = (
    Case(
        "invalidation ignored",
        "translation: kvm_mmu_notifier_invalidate_range_start: still mapped after invalidation L3",
        broken(mmu=IgnoreNotifier),
        PAGE + "cpu0 read a+0\nhost migrate a+0 4K\n",
    ),
    Case(
        "invalidation ends early",
        "translation: stage2_unmap_walker: still mapped after invalidation L3",
        candidate.get("original"),
        "vm cpus=1 fwb=on\nslot a size=2052K backing=anon\ncpu0 read a+2M\nhost discard a+4K 2M\n",
        candidate.get("v5.12.9"),
    ),
    Case(
        "wrong frame",
        "translation: stage2_map_walker: wrong frame L3",
        broken(mmu=ChangeToWrongFrame),
        PAIR + "cpu0 write a+0\nhost share a+0 4K\ncpu0 read a+4K\nhost write a+0 4K\n",
    ),
    Case(
        "wrong frame behind right ones",
        "translation: stage2_map_walker: wrong frame L3",
        broken(ThirdPageTwice),
        FOUR + "table map a+0 16K r\n",
    ),
    Case(
        "address without its upper bits",
        "translation: stage2_map_walker: wrong frame L3",
        broken(UpperBitsDropped),
        WIDE + "table map a+0 64K r\n",
    ),
    Case(
        "block beyond the slot",
        "translation: stage2_map_walker: leaf outside of any slot L2",
        broken(mmu=AlwaysHuge),
        "vm cpus=1 fwb=on\nslot a size=1M backing=thp\ncpu0 read a+0\n",
    ),
    Case(
        "block beyond the slot, beside another fault",
        "translation: stage2_map_walker: leaf outside of any slot L2",
        broken(mmu=AlwaysHuge),
        "vm cpus=2 fwb=on\nslot a size=1M backing=thp\npar\n  cpu0 read a+0\n  cpu1 read a+4K\nend\n",
    ),
    Case(
        "writable over a page that is not",
        "translation: stage2_map_walker: writable, the host's page is not L3",
        broken(AlwaysWritable),
        PAGE + "host share a+0 4K\ncpu0 read a+0\n",
    ),
    Case(
        "writable in a read-only slot",
        "translation: stage2_map_walker: writable in a read-only slot L3",
        broken(AlwaysWritable),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon ro=on\ncpu0 read a+0\n",
    ),
    Case(
        "writable in a logged slot",
        "translation: stage2_map_walker: writable and not in the dirty log L3",
        broken(AlwaysWritable),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon log=on\ncpu0 read a+0\n",
    ),
    Case(
        "write protection ends early",
        "translation: stage2_attr_walker: writable and not in the dirty log L3",
        candidate.get("original"),
        "vm cpus=1 fwb=on\nslot a ipa=0x40001000 size=2M backing=anon\ncpu0 write a+2044K\nlog a on\n",
        candidate.get("v5.12.9"),
    ),
    Case(
        "change outside of the range",
        "translation: stage2_attr_walker: change outside the range L2",
        broken(mmu=AgeNextBlock),
        "vm cpus=1 fwb=on\nslot a size=4M backing=thp\ncpu0 read a+2M\nhost age a+0 4K\n",
    ),
    Case(
        "device frame as memory",
        "translation: stage2_map_walker: device frame mapped as normal memory L3",
        broken(NeverDevice),
        DEVICE,
    ),
    Case(
        "device frame executable",
        "translation: stage2_map_walker: device frame executable L3",
        broken(DeviceExecutable),
        DEVICE,
    ),
    Case(
        "memory as device",
        "translation: stage2_map_walker: normal frame not mapped write-back L3",
        broken(AlwaysDevice),
        PAGE + "cpu0 read a+0\n",
    ),
    Case(
        "reserved encoding",
        "translation: stage2_map_walker: reserved encoding L3",
        broken(NoPageType),
        DEVICE,
    ),
    Case(
        "illegal field",
        "translation: stage2_map_walker: illegal field L3",
        broken(NotShareable),
        PAGE + "cpu0 read a+0\n",
    ),
    Case(
        "block that is not aligned",
        "translation: stage2_map_walker: output address not aligned L2",
        broken(BlockOffByAPage),
        BLOCK + "cpu0 read a+0\n",
    ),
    Case(
        "page that was mapped while the notifier waited for the lock",
        "translation: stage2_unmap_walker: still mapped after invalidation L3",
        SHORT,
        "vm cpus=1 fwb=on\nslot a size=8K backing=anon\npar\n  cpu0 write a+4K\n  host0 discard a+0 8K\n"
        "  switch cpu0 to host0 before store 1\nend\n",
    ),
)


KEPT = Case(
    "slot that comes back elsewhere, while another is where it was",
    "fault-order: kvm_set_memory_region: slot replaced before it was unmapped",
    broken(mmu=KeepDeleted),
    "vm cpus=1 fwb=on\nslot a ipa=1G size=4K backing=anon\nslot b ipa=2G size=4K backing=anon\ncpu0 read a+0\n"
    "slot a delete\nslot b move 1G\ncpu0 read b+0\nslot a create ipa=8G\n",
)


def test_a_deleted_slot_that_stays_mapped() -> None:
    """Check the order of the call, which comes first, and the mapping that is left at its end."""
    assert KEPT.all_good() == []
    found = [each.signature for each in violations(KEPT.bad, KEPT.text)]
    assert found[:2] == [KEPT.signature, "translation: kvm_pgtable_stage2_unmap: still mapped after unmapping L3"]


@each(CASES)
def test_translation_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_translation_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


class UnmapsDevices(Mmu):
    """Unmaps device memory like other memory when a vCPU is reset."""

    def stage2_unmap_memslot(self, kvm: kvm, memslot: kvm_memory_slot) -> None:
        self.unmap_stage2_range(kvm, memslot.base_gfn << self.PAGE_SHIFT, memslot.npages << self.PAGE_SHIFT)


def test_a_reset_may_unmap_device_memory() -> None:
    """A fault maps the device memory again."""
    text = "vm fwb=off\nslot a size=64K backing=device\ncpu0 read a+0\ncpu0 reset\ncpu0 read a+0\n"
    found = [each.signature for each in violations(broken(mmu=UnmapsDevices), text)]
    assert found == [each.signature for each in violations(ORIGINAL, text)]


def test_a_page_that_a_reset_leaves_is_no_page_that_the_host_took_back() -> None:
    """The finding names the function that unmaps the slots, and stale memory as the consequence."""
    text = "vm cpus=1 dic=on\nslot a size=4M backing=anon\ncpu0 write a+2M\nhost unmap a+16K 4K\ncpu0 reset\n"
    (found,) = violations(candidate.get("bug-reset-hole"), text)
    assert found.signature == "translation: stage2_unmap_vm: still mapped after unmapping L3"
    rule = rule_of(found.signature)
    assert rule is not None
    assert "reset" in rule.broken(found.signature)
    assert "stale" in rule.reason(found.signature)
    assert severity(found.signature) is Severity.CORRUPTION
    assert "translation: kvm_pgtable_stage2_unmap: still mapped after unmapping L3" in names_of(found.signature)
