# SPDX-License-Identifier: GPL-2.0-only
"""walk-order: barriers follow the stores that walkers must see."""

from typing import ClassVar

from reference.machine.instructions import IPAS2E1, NSH, NSHST, VMALLE1
from reference.pgtable import (
    KVM_PGTABLE_WALK_LEAF,
    KVM_PTE_LEAF_ATTR_HI_S2_XN,
    KVM_PTE_LEAF_ATTR_LO_S2_AF,
    KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W,
    NULL,
    Pgtable,
    hyp_map_data,
    kvm_pgtable,
    kvm_pgtable_walker,
    stage2_map_data,
)
from reference.services.structs import kvm_mmu_memory_cache, kvm_s2_mmu
from reference.tlb import TlbVhe, tlb_inv_context

from .case import ORIGINAL, Case, broken, each, violations

READ = "vm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\n"
AGED = READ.replace("cpus=1", "cpus=2") + "table mkold a+0\ntable mkyoung a+0\n"
NOT_ORDERED = "walk-order: stage2_attr_walker: entry not ordered before walks"
HYP = "vm cpus=1\nslot a size=4K backing=anon\nhyp map 0x10000 0x20000 4K rw\n"


class MapsWithoutBarrier(Pgtable):
    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        data = stage2_map_data(phys, pgt.mmu, mc)
        # All flags.
        return self.stage2_map_set_prot_attr(prot, data) or self.kvm_pgtable_walk(
            pgt, addr, size, kvm_pgtable_walker(self.stage2_map_walker, 7, data)
        )


class AgesWithoutBarrier(Pgtable):
    def kvm_pgtable_stage2_mkyoung(self, pgt: kvm_pgtable, addr: int) -> int:
        return self.stage2_update_leaf_attrs(pgt, addr, 1, KVM_PTE_LEAF_ATTR_LO_S2_AF, 0)[1]


class RelaxesYoung(Pgtable):
    """Makes a leaf executable and young in one step, and flushes by ``__kvm_tlb_flush_vmid_ipa_nsh()``."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        ret, _, level = self.stage2_update_leaf_attrs(
            pgt, addr, 1, KVM_PTE_LEAF_ATTR_LO_S2_AF, KVM_PTE_LEAF_ATTR_HI_S2_XN
        )
        self.k.__kvm_tlb_flush_vmid_ipa_nsh__(pgt.mmu, addr, level)
        return ret


class AgesForItself(Pgtable):
    """Orders an access flag before the walks of the CPU that sets it."""

    DOMAIN: ClassVar[str] = "nshst"
    # Rights that are removed when the flag is set.
    TAKES: ClassVar[int] = 0

    def kvm_pgtable_stage2_mkyoung(self, pgt: kvm_pgtable, addr: int) -> int:
        pte = self.stage2_update_leaf_attrs(pgt, addr, 1, KVM_PTE_LEAF_ATTR_LO_S2_AF, self.TAKES)[1]
        self.wait()
        return pte

    def wait(self) -> None:
        self.k.dsb(self.DOMAIN)


class AgesBehindLoads(AgesForItself):
    """Waits only for loads."""

    DOMAIN: ClassVar[str] = "nshld"


class AgesElsewhere(AgesForItself):
    """Executes the barrier on another CPU."""

    def wait(self) -> None:
        self.k.cpu ^= 1
        self.k.dsb(self.DOMAIN)
        self.k.cpu ^= 1


class AgesAndProtects(AgesForItself):
    """Also removes write permission, which other CPUs must see."""

    TAKES: ClassVar[int] = KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W


class MapsForItself(MapsWithoutBarrier):
    """Orders a new entry before the walks of one CPU only."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        ret = super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)
        self.k.dsb("nshst")
        return ret


class RootBehindBarrier(Pgtable):
    """Replaces the root after the barrier."""

    def kvm_pgtable_stage2_init(self, pgt: kvm_pgtable, vtcr: int, mmu: kvm_s2_mmu) -> int:
        ret = super().kvm_pgtable_stage2_init(pgt, vtcr, mmu)
        if ret:
            return ret
        size = self.kvm_pgd_pages(pgt.ia_bits, pgt.start_level) * self.PAGE_SIZE
        self.k.free_pages_exact(pgt.pgd, size)
        pgt.pgd = self.k.alloc_pages_exact(size)
        return 0 if pgt.pgd != NULL else -12


class HypWithoutIsb(Pgtable):
    def kvm_pgtable_hyp_map(self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int) -> int:
        data = hyp_map_data(phys)
        ret = self.hyp_map_set_prot_attr(prot, data)
        if not ret:
            walker = kvm_pgtable_walker(self.hyp_map_walker, KVM_PGTABLE_WALK_LEAF, data)
            ret = self.kvm_pgtable_walk(pgt, addr, size, walker)
            self.barriers()
        return ret

    def barriers(self) -> None:
        """Order the stores only."""
        self.k.dsb("ishst")


class HypIsbFirst(HypWithoutIsb):
    def barriers(self) -> None:
        self.k.isb()
        self.k.dsb("ishst")


class TlbWithoutBarrier(TlbVhe):
    """Flushes a relaxed entry before the store is ordered."""

    def __kvm_tlb_flush_vmid_ipa_nsh__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        self.before()
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__tlbi_level__(IPAS2E1, ipa >> 12, level)
        self.a.dsb(NSH)
        self.__tlbi__(VMALLE1)
        self.a.dsb(NSH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)

    def before(self) -> None:
        """Execute the first barrier."""


class TlbWithBarrier(TlbWithoutBarrier):
    def before(self) -> None:
        self.a.dsb(NSHST)


class RelaxesLocally(Pgtable):
    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        ret, _, level = self.stage2_update_leaf_attrs(pgt, addr, 1, 0, KVM_PTE_LEAF_ATTR_HI_S2_XN)
        self.k.__kvm_tlb_flush_vmid_ipa_nsh__(pgt.mmu, addr, level)
        return ret


CASES = (
    Case(
        "a relaxed leaf",
        "walk-order: stage2_attr_walker: relaxed entry not ordered before the TLBI",
        broken(RelaxesLocally, tlb=TlbWithoutBarrier),
        READ.replace("anon", "anon log=on") + "cpu0 fetch a+0\n",
        broken(RelaxesLocally, tlb=TlbWithBarrier),
    ),
    Case(
        "a leaf",
        "walk-order: stage2_map_walker: entry not ordered before walks",
        broken(MapsWithoutBarrier),
        READ,
    ),
    Case(
        "an access flag",
        "walk-order: stage2_attr_walker: entry not ordered before walks",
        broken(AgesWithoutBarrier),
        READ + "table mkold a+0\ntable mkyoung a+0\n",
    ),
    Case("a barrier of loads", NOT_ORDERED, broken(AgesBehindLoads), AGED, broken(AgesForItself)),
    Case("a barrier of another CPU", NOT_ORDERED, broken(AgesElsewhere), AGED, broken(AgesForItself)),
    Case(
        "a leaf for one CPU alone",
        "walk-order: stage2_map_walker: entry not ordered before walks",
        broken(MapsForItself),
        READ,
    ),
    Case(
        "a root",
        "walk-order: kvm_pgtable_stage2_init: root not ordered before walks",
        broken(RootBehindBarrier),
        READ,
    ),
    Case("the hypervisor's own", "walk-order: hyp_map_walker: entry not synchronized", broken(HypWithoutIsb), HYP),
    Case("an ISB too early", "walk-order: hyp_map_walker: entry not synchronized", broken(HypIsbFirst), HYP),
)


@each(CASES)
def test_walk_order_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_walk_order_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_making_a_leaf_young_needs_only_a_local_barrier() -> None:
    """At worst, another CPU takes one more access flag fault."""
    text = "vm cpus=1 haf=on\nslot a size=4K backing=anon\ncpu0 write a+0\nhost age a+0 4K flush=off\ncpu0 fetch a+0\n"
    relaxed = [each.signature for each in violations(broken(RelaxesYoung), text)]
    assert relaxed == [each.signature for each in violations(ORIGINAL, text)]
    assert not any(each.startswith("walk-order") for each in relaxed)


def test_removing_a_right_needs_a_barrier_for_all_cpus() -> None:
    """It also needs a flush, which is reported first."""
    assert NOT_ORDERED in [each.signature for each in violations(broken(AgesAndProtects), AGED)]


def test_the_tlbi_without_a_barrier_is_named() -> None:
    class Placed(TlbWithoutBarrier):
        def __kvm_tlb_flush_vmid_ipa_nsh__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
            self.a.hardware.place = "flush (tlb.c:3), by main"
            super().__kvm_tlb_flush_vmid_ipa_nsh__(mmu, ipa, level)
            self.a.hardware.place = ""

    text = READ.replace("anon", "anon log=on") + "cpu0 fetch a+0\n"
    named, unnamed = (violations(broken(RelaxesLocally, tlb=tlb), text) for tlb in (Placed, TlbWithoutBarrier))
    assert named[0].reason.startswith("no DSB between the store and the TLBI at flush (tlb.c:3): a walk in between")
    assert unnamed[0].reason.startswith("no DSB between the store and the TLBI: a walk in between")
