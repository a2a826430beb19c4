# SPDX-License-Identifier: GPL-2.0-only
"""tlb.c without one of the barriers around its TLBI: steps that must be complete may still be pending."""

from reference.machine.instructions import IPAS2E1IS, ISH, ISHST, VMALLE1IS, VMALLS12E1IS
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.services.structs import kvm_s2_mmu
from reference.tlb import TlbVhe, tlb_inv_context

from ..registry.declaration import Bug


class PgtableTlbBarriers(Pgtable):
    """pgtable.c is the base's."""


class MmuTlbBarriers(Mmu):
    """mmu.c is the base's."""


class TlbUnordered(TlbVhe):
    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        # Wrong: no dsb(ishst), so a table walk may still find the old entry.
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__tlbi_level__(IPAS2E1IS, ipa >> 12, level)
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)


class TlbUnpaired(TlbVhe):
    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__tlbi_level__(IPAS2E1IS, ipa >> 12, level)
        # Wrong: no dsb(ish), so a walk may refill combined entries from stale stage-2 entries.
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)


class TlbIncomplete(TlbVhe):
    def __kvm_tlb_flush_vmid__(self, mmu: kvm_s2_mmu) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__tlbi__(VMALLS12E1IS)
        # Wrong: no dsb(ish), so the entries may still be there.
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)


BUG = (
    Bug(
        "bug-tlb-unordered",
        PgtableTlbBarriers,
        MmuTlbBarriers,
        base="original",
        signature="tlb: stage2_unmap_walker: leaf not flushed L3",
        origin="tlb.c: no dsb(ishst) between the store and the TLBI by IPA",
        order=210,
        tlb=TlbUnordered,
    ),
    Bug(
        "bug-tlb-unpaired",
        PgtableTlbBarriers,
        MmuTlbBarriers,
        base="original",
        signature="tlb: stage2_unmap_walker: leaf not flushed L3",
        origin="tlb.c: no dsb(ish) between the TLBI by IPA and VMALLE1IS",
        order=260,
        tlb=TlbUnpaired,
    ),
    Bug(
        "bug-tlb-incomplete",
        PgtableTlbBarriers,
        MmuTlbBarriers,
        base="original",
        signature="tlb: stage2_attr_walker: leaf not flushed L3",
        origin="tlb.c: no dsb(ish) after the TLBI of a VMID",
        order=20,
        tlb=TlbIncomplete,
    ),
)
