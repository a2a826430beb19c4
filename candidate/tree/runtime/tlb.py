# SPDX-License-Identifier: GPL-2.0-only
"""tlb.c of a tree: the instructions that its code has come to, which the machine executes."""

from typing import Final

from reference.assembly import Assembly
from reference.compiled.annotations import mypyc_attr
from reference.kvm import kvm
from reference.machine.instructions import (
    HCR_EL2,
    IC_IALLUIS,
    ISB,
    ISH,
    ISHST,
    NAMES,
    SCTLR_EL1,
    TCR_EL1,
    VTTBR_EL2,
    VTTBR_VMID_SHIFT,
)
from reference.services.structs import kvm_s2_mmu
from reference.tlb import HCR_HOST_VHE_FLAGS, TlbVhe

from .errors import TreeRefused

# A call of tlb.c begins.
BEGINS: Final = "tlb.c"
_NUMBERS: Final = {
    **{name: number for number, name in NAMES.items()},
    # Outer domains hold the inner ones.
    **{f"{name[:-2]}os": number for number, name in NAMES.items() if name.startswith("tlbi ") and name.endswith("is")},
    "dsb osh": ISH,
    "dsb sy": ISH,
    "dsb oshst": ISHST,
    "dsb st": ISHST,
    "msr SYS_TCR_EL12": TCR_EL1,
    "msr SYS_SCTLR_EL12": SCTLR_EL1,
}
# Registers by which no TLBI goes, and barriers of loads alone, which complete none.
_NOTHING: Final = frozenset({"msr vtcr_el2", "dsb ld", "dsb ishld", "dsb nshld", "dsb oshld"})


@mypyc_attr(allow_interpreted_subclasses=True)
class TreeTlb(TlbVhe):
    """Executes what a tree's code has come to; the port's own where a tree tells of nothing.

    *told*: instructions, operands and places of the call under way; *telling*: it is the tree's own code; *loaded*:
    VTTBR_EL2 of the vCPU that called, which its CPU has then; 0: no vCPU runs

    *content*: says which code that is
    """

    content = ""

    def __init__(self, assembly: Assembly) -> None:
        super().__init__(assembly)
        self.told: list[tuple[int, int, str]] = []
        self.telling = False
        self.loaded = 0
        # In the order in which the tree's code numbers them, from 1 on.
        self.vms: list[kvm] = []

    def note(self, name: str, operand: int, place: str = "") -> None:
        """Take one instruction in.

        :param name: as an assembler writes it, without its operand; or `BEGINS`, with the operand *loaded*
        :param place: where in the tree's code it is
        :raises TreeRefused: the machine does not have it
        """
        if name == BEGINS:
            self.told.clear()
            self.telling, self.loaded = True, operand
            return
        number = _NUMBERS.get(name, -1)
        if number >= 0:
            self.told.append((number, operand, place))
        elif name not in _NOTHING:
            raise TreeRefused(f"tlb.c has an instruction that is not modelled: {name}")

    def execute(self) -> None:
        """Execute the instructions of a call."""
        a = self.a
        self.telling = False
        if self.loaded:
            a.load(self.by_vmid(self.loaded))
        for number, operand, place in self.told:
            if number == ISB:
                a.isb()
            elif number < ISB:
                a.dsb(number)
            elif number <= SCTLR_EL1:
                if number == VTTBR_EL2:
                    operand = self.by_vmid(operand)
                elif number == HCR_EL2:
                    # Its other bits say nothing about TLBs.
                    operand &= HCR_HOST_VHE_FLAGS
                a.write_sysreg(operand, number)
            elif number <= IC_IALLUIS:
                a.ic(number)
            else:
                a.hardware.place = place
                a.tlbi(number, operand)
        a.hardware.place = ""

    def by_vmid(self, vttbr: int) -> int:
        """Return VTTBR_EL2 with the VMID that a VM has now, for the number of the VM; 0 stands for none."""
        number = vttbr >> VTTBR_VMID_SHIFT
        known = 0 < number <= len(self.vms)
        return (self.vms[number - 1].mmu.hardware_vmid.vmid if known else number) << VTTBR_VMID_SHIFT

    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        if self.telling:
            self.execute()
        else:
            super().__kvm_tlb_flush_vmid_ipa__(mmu, ipa, level)

    def __kvm_tlb_flush_vmid_ipa_nsh__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        if self.telling:
            self.execute()
        else:
            super().__kvm_tlb_flush_vmid_ipa_nsh__(mmu, ipa, level)

    def __kvm_tlb_flush_vmid_range__(self, mmu: kvm_s2_mmu, start: int, pages: int) -> None:
        if self.telling:
            self.execute()
        else:
            super().__kvm_tlb_flush_vmid_range__(mmu, start, pages)

    def __kvm_tlb_flush_vmid__(self, mmu: kvm_s2_mmu) -> None:
        if self.telling:
            self.execute()
        else:
            super().__kvm_tlb_flush_vmid__(mmu)
