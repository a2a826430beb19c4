# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (arch/arm64/kvm/hyp/{nvhe,vhe}/tlb.c); local and range flushes as in 6.12.
"""tlb.c: TLB flushes by IPA, by range, of a VMID, of one CPU, and of everything.

The C file exists twice: for a kernel at EL2 (`TlbVhe`), and for a separate hypervisor
below a kernel at EL1 (`TlbNvhe`). `AnyTlb` holds the common part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .capabilities import ARM64_HAS_CACHE_DIC, ARM64_WORKAROUND_SPECULATIVE_AT, ICACHE_VPIPT
from .compiled.annotations import mypyc_attr
from .machine.instructions import (
    ALLE1IS,
    HCR_E2H,
    HCR_EL2,
    HCR_TGE,
    IC_IALLU,
    IC_IALLUIS,
    IPAS2E1,
    IPAS2E1IS,
    ISH,
    ISHST,
    NSH,
    NSHST,
    SCTLR_EL1,
    TCR_EL1,
    VMALLE1,
    VMALLE1IS,
    VMALLS12E1IS,
    VTTBR_EL2,
    VTTBR_VMID_SHIFT,
)
from .tlbflush import TlbFlush

if TYPE_CHECKING:
    from .services.structs import kvm_s2_mmu

TCR_EPD0_MASK: Final = 1 << 7
TCR_EPD1_MASK: Final = 1 << 23
SCTLR_ELx_M: Final = 1 << 0
# The other bits do not affect TLBs.
HCR_HOST_VHE_FLAGS: Final = HCR_E2H | HCR_TGE


@mypyc_attr(free_list_len=1)
class tlb_inv_context:
    """``struct tlb_inv_context``; interrupts, which the kernel masks, are not modelled."""

    def __init__(self) -> None:
        self.tcr = 0
        self.sctlr = 0


@mypyc_attr(allow_interpreted_subclasses=True)
class AnyTlb(TlbFlush):
    """The functions that both files share."""

    def __load_guest_stage2__(self, mmu: kvm_s2_mmu) -> None:
        """``__load_guest_stage2()`` of asm/kvm_mmu.h; VTCR_EL2 is left out, since TLBI ignore it."""
        self.a.write_sysreg(mmu.hardware_vmid.vmid << VTTBR_VMID_SHIFT, VTTBR_EL2)
        if self.a.caps & ARM64_WORKAROUND_SPECULATIVE_AT:
            self.a.isb()

    def __tlb_switch_to_guest__(self, mmu: kvm_s2_mmu, cxt: tlb_inv_context) -> None:
        """Enter the context in which TLBI affect the entries of a VM."""
        raise NotImplementedError

    def __tlb_switch_to_host__(self, cxt: tlb_inv_context) -> None:
        """Leave the context of `__tlb_switch_to_guest__`."""
        raise NotImplementedError

    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        ipa >>= 12
        self.__tlbi_level__(IPAS2E1IS, ipa, level)
        # Stage 2 first: until then a walk on another CPU may refill combined entries from stale stage-2 entries.
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)

    def __kvm_tlb_flush_vmid_ipa_nsh__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(NSHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        ipa >>= 12
        self.__tlbi_level__(IPAS2E1, ipa, level)
        self.a.dsb(NSH)
        self.__tlbi__(VMALLE1)
        self.a.dsb(NSH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)

    def __kvm_tlb_flush_vmid_range__(self, mmu: kvm_s2_mmu, start: int, pages: int) -> None:
        cxt = tlb_inv_context()
        # Leaves may be of any level, so flushes by address go page by page.
        stride = self.PAGE_SIZE
        start &= -stride
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__flush_s2_tlb_range_op__(IPAS2E1IS, start, pages, stride, 0)
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)

    def __kvm_tlb_flush_vmid__(self, mmu: kvm_s2_mmu) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__tlbi__(VMALLS12E1IS)
        self.a.dsb(ISH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)

    def __kvm_flush_cpu_context__(self, mmu: kvm_s2_mmu) -> None:
        cxt = tlb_inv_context()
        self.__tlb_switch_to_guest__(mmu, cxt)
        self.__tlbi__(VMALLE1)
        self.a.ic(IC_IALLU)
        self.a.dsb(NSH)
        self.a.isb()
        self.__tlb_switch_to_host__(cxt)

    def __kvm_flush_vm_context__(self) -> None:
        self.a.dsb(ISHST)
        self.__tlbi__(ALLE1IS)
        # Lines of a VPIPT cache belong to a VMID, which another VM may have from here on.
        if self.a.caps & ICACHE_VPIPT:
            self.a.ic(IC_IALLUIS)
        self.a.dsb(ISH)


@mypyc_attr(allow_interpreted_subclasses=True)
class TlbVhe(AnyTlb):
    """vhe/tlb.c"""

    def __tlb_switch_to_guest__(self, mmu: kvm_s2_mmu, cxt: tlb_inv_context) -> None:
        if self.a.caps & ARM64_WORKAROUND_SPECULATIVE_AT:
            # No walk, of stage 1 or of stage 2 alone, may fill a TLB while the two contexts are mixed.
            val = cxt.tcr = self.a.read_sysreg(TCR_EL1)
            val |= TCR_EPD1_MASK | TCR_EPD0_MASK
            self.a.write_sysreg(val, TCR_EL1)
            val = cxt.sctlr = self.a.read_sysreg(SCTLR_EL1)
            val |= SCTLR_ELx_M
            self.a.write_sysreg(val, SCTLR_EL1)
        # With TGE set, most TLBI affect the host's entries; both stages must be in place before TGE is cleared.
        self.__load_guest_stage2__(mmu)
        val = self.a.read_sysreg(HCR_EL2)
        val &= ~HCR_TGE
        self.a.write_sysreg(val, HCR_EL2)
        self.a.isb()

    def __tlb_switch_to_host__(self, cxt: tlb_inv_context) -> None:
        self.a.write_sysreg(0, VTTBR_EL2)
        self.a.write_sysreg(HCR_HOST_VHE_FLAGS, HCR_EL2)
        self.a.isb()
        if self.a.caps & ARM64_WORKAROUND_SPECULATIVE_AT:
            self.a.write_sysreg(cxt.tcr, TCR_EL1)
            self.a.write_sysreg(cxt.sctlr, SCTLR_EL1)


@mypyc_attr(allow_interpreted_subclasses=True)
class TlbNvhe(AnyTlb):
    """nvhe/tlb.c"""

    def __tlb_switch_to_guest__(self, mmu: kvm_s2_mmu, cxt: tlb_inv_context) -> None:
        if self.a.caps & ARM64_WORKAROUND_SPECULATIVE_AT:
            # Prevent a stage-1 walk of the host under the guest's VMID.
            val = cxt.tcr = self.a.read_sysreg(TCR_EL1)
            val |= TCR_EPD1_MASK | TCR_EPD0_MASK
            self.a.write_sysreg(val, TCR_EL1)
            self.a.isb()
        self.__load_guest_stage2__(mmu)
        # `__load_guest_stage2__` has an ISB with the workaround; a second one is not needed.
        if not self.a.caps & ARM64_WORKAROUND_SPECULATIVE_AT:
            self.a.isb()

    def __tlb_switch_to_host__(self, cxt: tlb_inv_context) -> None:
        self.a.write_sysreg(0, VTTBR_EL2)
        if self.a.caps & ARM64_WORKAROUND_SPECULATIVE_AT:
            self.a.isb()
            self.a.write_sysreg(cxt.tcr, TCR_EL1)

    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        cxt = tlb_inv_context()
        self.a.dsb(ISHST)
        self.__tlb_switch_to_guest__(mmu, cxt)
        ipa >>= 12
        self.__tlbi_level__(IPAS2E1IS, ipa, level)
        self.a.dsb(ISH)
        self.__tlbi__(VMALLE1IS)
        self.a.dsb(ISH)
        self.a.isb()
        # A kernel at EL1 cannot reach the guest's lines of a VPIPT cache: drop them here, before a page gets new code.
        if self.a.caps & ICACHE_VPIPT:
            self.__flush_icache_all__()
        self.__tlb_switch_to_host__(cxt)

    def __flush_icache_all__(self) -> None:
        """``__flush_icache_all()`` of asm/cacheflush.h"""
        if self.a.caps & ARM64_HAS_CACHE_DIC:
            return
        self.a.ic(IC_IALLUIS)
        self.a.dsb(ISH)
