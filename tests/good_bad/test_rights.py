# SPDX-License-Identifier: GPL-2.0-only
"""translation: relaxing permissions removes no right, in direct calls and in faults."""

from fuzz.findings.severity import Severity, severity
from reference import pgtable as constants
from reference.kvm import kvm
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable

from .case import Case, broken, each, violations


class SetsWhatIsAskedFor(Pgtable):
    """Sets exactly the requested permissions."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        bits = (
            (constants.KVM_PGTABLE_PROT_R, constants.KVM_PTE_LEAF_ATTR_LO_S2_S2AP_R),
            (constants.KVM_PGTABLE_PROT_W, constants.KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W),
        )
        set_ = sum(bit for flag, bit in bits if prot & flag)
        clear = sum(bit for flag, bit in bits if not prot & flag)
        if prot & constants.KVM_PGTABLE_PROT_X:
            clear |= constants.KVM_PTE_LEAF_ATTR_HI_S2_XN
        else:
            set_ |= constants.KVM_PTE_LEAF_ATTR_HI_S2_XN
        ret, _, level = self.stage2_update_leaf_attrs(pgt, addr, 1, set_, clear)
        self.k.__kvm_tlb_flush_vmid_ipa__(pgt.mmu, addr, level)
        return ret


class WritableIsNotExecutable(Pgtable):
    """Makes no leaf writable and executable: a leaf that becomes writable loses execution."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        if prot & constants.KVM_PGTABLE_PROT_W and not prot & constants.KVM_PGTABLE_PROT_X:
            self.stage2_update_leaf_attrs(pgt, addr, 1, constants.KVM_PTE_LEAF_ATTR_HI_S2_XN, 0)
        return super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)


class DropsTheLeaf(Pgtable):
    """Unmaps the leaf instead of relaxing it: the next fault maps it with the right permissions."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        if self.k.entry == "kvm_pgtable_stage2_relax_perms":
            return self.kvm_pgtable_stage2_unmap(pgt, addr, 1)
        return super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)


class YoungWithoutWrite(Pgtable):
    """Makes the leaf young but read-only in an access flag fault."""

    def kvm_pgtable_stage2_mkyoung(self, pgt: kvm_pgtable, addr: int) -> int:
        pte = super().kvm_pgtable_stage2_mkyoung(pgt, addr)
        self.stage2_update_leaf_attrs(pgt, addr, 1, 0, constants.KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W)
        self.k.__kvm_tlb_flush_vmid_ipa__(pgt.mmu, addr, 3)
        return pte


FAULT = "translation: stage2_attr_walker: right removed while a fault is handled "
RELAX = "translation: stage2_attr_walker: right removed by relaxing "
HEAD = "vm cpus=1 fwb=on\nslot a size=8K backing=anon"
BLOCK = HEAD.replace("8K", "2M").replace("anon", "thp") + "\ncpu0 read a+0\ntable relax a+0 rx\n"
# A fetch is not a write, and must not request write permission while pages are logged.
LOGGED = HEAD + " log=on\ncpu0 write a+0\ncpu0 fetch a+0\n"

CASES = (
    Case("write, by a fetch", FAULT + "L3", broken(SetsWhatIsAskedFor), LOGGED),
    Case("write, of a block", RELAX + "L2", broken(SetsWhatIsAskedFor), BLOCK),
    Case(
        "execution, by a write",
        FAULT + "L3",
        broken(WritableIsNotExecutable),
        HEAD + " log=on\ncpu0 fetch a+0\ncpu0 write a+0\n",
    ),
    Case(
        "write, by an access flag fault",
        FAULT + "L3",
        broken(YoungWithoutWrite),
        HEAD + "\ncpu0 write a+0\nhost age a+0 4K\ncpu0 read a+0\n",
    ),
    Case(
        "write, called directly",
        RELAX + "L3",
        broken(SetsWhatIsAskedFor),
        HEAD + "\ncpu0 write a+0\ntable relax a+0 rx\n",
    ),
    Case(
        "all, by unmapping",
        "translation: stage2_unmap_walker: right removed by relaxing L3",
        broken(DropsTheLeaf),
        HEAD + "\ncpu0 write a+0\ntable relax a+0 rx\n",
    ),
)


@each(CASES)
def test_rights_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_rights_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


class ClosesBeforeItUnmaps(Mmu):
    """Right but slow: a notifier first removes execution, then the mapping."""

    def kvm_unmap_hva_handler(self, kvm: kvm, gpa: int, size: int, may_block: bool) -> int:
        assert kvm.pgt is not None
        self.p.stage2_update_leaf_attrs(kvm.pgt, gpa, size, constants.KVM_PTE_LEAF_ATTR_HI_S2_XN, 0)
        return super().kvm_unmap_hva_handler(kvm, gpa, size, may_block)


def test_a_notifier_may_remove_a_right_during_a_fault() -> None:
    """The write breaks copy-on-write: a notifier within the fault unmaps the executable page."""
    shared = "cpu0 write a+0\nhost share a+0 8K\ncpu0 fetch a+0\ncpu0 write a+0\n"
    assert violations(broken(mmu=ClosesBeforeItUnmaps), HEAD + "\n" + shared) == []


def test_a_removed_right_has_severity_contract() -> None:
    assert severity(FAULT + "L3") == Severity.CONTRACT
