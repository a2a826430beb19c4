# SPDX-License-Identifier: GPL-2.0-only
"""context: tlb.c returns in the host's context, and no walk mixes two contexts."""

from dataclasses import replace

import pytest

import candidate
from candidate import Candidate
from reference.capabilities import ARM64_WORKAROUND_SPECULATIVE_AT, ICACHE_VPIPT, NO_VHE
from reference.machine.instructions import ALLE1IS, HCR_EL2, IC_IALLUIS, ISH, ISHST, TCR_EL1, VMALLE1, VTTBR_EL2
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.services.structs import kvm_s2_mmu
from reference.tlb import HCR_HOST_VHE_FLAGS, TlbNvhe, TlbVhe, tlb_inv_context

from .case import ORIGINAL, Case, each

UNMAP = "vm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\nhost unmap a+0 4K\n"
# cpu1 of the VM moves to the CPU on which cpu0 ran.
MOVE = "vm cpus=2\nslot a size=4K backing=anon\ncpu0 read a+0\ncpu1 move 0\n"


class Stays(TlbVhe):
    """Leaves the CPU in the guest's context."""

    def __tlb_switch_to_host__(self, cxt: tlb_inv_context) -> None:
        pass


class NotInEffect(TlbVhe):
    """Writes the host's context without an ISB, so that it takes effect later."""

    def __tlb_switch_to_host__(self, cxt: tlb_inv_context) -> None:
        self.a.write_sysreg(0, VTTBR_EL2)
        self.a.write_sysreg(HCR_HOST_VHE_FLAGS, HCR_EL2)


class WithoutE2h(TlbVhe):
    """Clears all bits of HCR_EL2."""

    def __tlb_switch_to_guest__(self, mmu: kvm_s2_mmu, cxt: tlb_inv_context) -> None:
        self.__load_guest_stage2__(mmu)
        self.a.write_sysreg(0, HCR_EL2)
        self.a.isb()


class Walks(TlbVhe):
    """Enables stage-1 walks while contexts mix."""

    def __tlb_switch_to_guest__(self, mmu: kvm_s2_mmu, cxt: tlb_inv_context) -> None:
        super().__tlb_switch_to_guest__(mmu, cxt)
        self.a.write_sysreg(0, TCR_EL1)


class WalksAtEl1(TlbNvhe):
    """Enables stage-1 walks again before the host's VMID is in effect."""

    def __tlb_switch_to_host__(self, cxt: tlb_inv_context) -> None:
        self.a.write_sysreg(0, VTTBR_EL2)
        self.a.write_sysreg(cxt.tcr, TCR_EL1)


class KeepsLines(TlbNvhe):
    def __flush_icache_all__(self) -> None:
        pass


class KeepsCombined(TlbVhe):
    """Executes VMALLE1 in the host's context, where it flushes the host's entries."""

    def __kvm_flush_cpu_context__(self, mmu: kvm_s2_mmu) -> None:
        self.__tlbi__(VMALLE1)
        self.a.dsb(ISH)


class LinesOfAll(TlbVhe):
    """Keeps lines of a VPIPT cache when VMIDs run out."""

    def __kvm_flush_vm_context__(self) -> None:
        self.a.dsb(ISHST)
        self.__tlbi__(ALLE1IS)
        self.a.dsb(ISH)


class LinesToCome(TlbVhe):
    """Invalidates these lines without waiting for completion."""

    def __kvm_flush_vm_context__(self) -> None:
        self.a.dsb(ISHST)
        self.__tlbi__(ALLE1IS)
        self.a.dsb(ISH)
        self.a.ic(IC_IALLUIS)


def vhe(tlb: type[TlbVhe], caps: int = 0) -> Candidate:
    """Return the original with another vhe/tlb.c."""
    return Candidate("broken", Pgtable, Mmu, "for a test", tlb=tlb, caps=caps)


def nvhe(tlb: type[TlbNvhe], caps: int) -> Candidate:
    """Return the original at EL1, with another nvhe/tlb.c."""
    return Candidate("broken", Pgtable, Mmu, "for a test", nvhe=tlb, caps=caps | NO_VHE)


# After VMIDs have run out, a VM may get a VMID that belonged to another VM.
ROLLOVER = "vm cpus=2\nslot a size=4K backing=anon\ncpu0 read a+0\ncpu1 rollover\ncpu0 read a+0\n"
LEFT = "context: tlb.c: entries of TLBs stay when VMIDs run out"
LINES = "context: tlb.c: lines of a VPIPT cache stay when VMIDs run out"
ERRATUM = ARM64_WORKAROUND_SPECULATIVE_AT
ELSEWHERE = "context: tlb.c: returned in another context than the host's"
MIXED = "context: tlb.c: walks while contexts mix"
VPIPT = replace(ORIGINAL, caps=ICACHE_VPIPT)
CASES = (
    Case("stays in the guest's context", ELSEWHERE, vhe(Stays), UNMAP),
    Case("the host's context is not in effect", ELSEWHERE, vhe(NotInEffect), UNMAP),
    Case("a host that is left", "context: tlb.c: host left", vhe(WithoutE2h), UNMAP),
    Case("walks in a mix", MIXED, vhe(Walks, ERRATUM), UNMAP, replace(ORIGINAL, caps=ERRATUM)),
    Case("walks too early", MIXED, nvhe(WalksAtEl1, ERRATUM), UNMAP, replace(ORIGINAL, caps=ERRATUM | NO_VHE)),
    Case(
        "lines of a VMID",
        "context: tlb.c: lines of an unmapped page stay in a VPIPT cache",
        nvhe(KeepsLines, ICACHE_VPIPT),
        UNMAP,
        replace(ORIGINAL, caps=ICACHE_VPIPT | NO_VHE),
    ),
    Case(
        "another vCPU's entries",
        "context: tlb.c: a vCPU meets what another one left on the CPU",
        vhe(KeepsCombined),
        MOVE,
    ),
    *(
        Case(f"VMIDs run out, {name}", LEFT, candidate.get(f"bug-tlb-generation-{name}"), ROLLOVER)
        for name in ("local", "open", "vmid")
    ),
    *(
        Case(f"lines of all VMIDs, {tlb.__name__}", LINES, vhe(tlb, ICACHE_VPIPT), ROLLOVER, VPIPT)
        for tlb in (LinesOfAll, LinesToCome)
    ),
)


@each(CASES)
def test_context_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_context_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


@pytest.mark.parametrize("caps", [0, ERRATUM, ERRATUM | NO_VHE, NO_VHE])
def test_original_is_right_on_all_machines(caps: int) -> None:
    version = replace(ORIGINAL, caps=caps)
    for text in (UNMAP, MOVE, ROLLOVER):
        assert Case("", "", version, text, version).all_good() == []
