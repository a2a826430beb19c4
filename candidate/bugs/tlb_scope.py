# SPDX-License-Identifier: GPL-2.0-only
"""tlb.c using TLBI of the wrong scope: for stage 2 only, or for one CPU only."""

from reference.machine.instructions import IPAS2E1, IPAS2E1IS, ISH, ISHST, VMALLE1IS
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.services.structs import kvm_s2_mmu
from reference.tlb import TlbVhe, tlb_inv_context

from ..registry.declaration import Bug


class PgtableTlbScope(Pgtable):
    """pgtable.c is the base's."""


class MmuTlbScope(Mmu):
    """mmu.c is the base's."""


class TlbStage2(TlbVhe):
    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__tlbi_level__(IPAS2E1IS, ipa >> 12, level)
        # Wrong: no VMALLE1IS; entries that combine both stages are found by VA and stay.
        self.a.dsb(ISH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)


class TlbLocal(TlbVhe):
    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        # Wrong: not IPAS2E1IS; other CPUs keep their entries.
        self.__tlbi_level__(IPAS2E1, ipa >> 12, level)
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)


BUG = (
    Bug(
        "bug-tlb-stage-two",
        PgtableTlbScope,
        MmuTlbScope,
        base="original",
        signature="tlb: stage2_unmap_walker: leaf not flushed L3",
        origin="tlb.c: no VMALLE1IS after the TLBI by IPA",
        order=250,
        tlb=TlbStage2,
    ),
    Bug(
        "bug-tlb-local",
        PgtableTlbScope,
        MmuTlbScope,
        base="original",
        signature="tlb: stage2_unmap_walker: leaf not flushed L3",
        origin="tlb.c: IPAS2E1 in place of IPAS2E1IS",
        order=220,
        tlb=TlbLocal,
    ),
)
