# SPDX-License-Identifier: GPL-2.0-only
"""tlb.c of a tree: the instructions that its code reported, which the machine executes."""

from typing import Final

from reference.assembly import Assembly
from reference.compiled.annotations import mypyc_attr
from reference.kvm import kvm
from reference.last_code_places import LastCodePlaces
from reference.machine.instructions import (
    ALLE1,
    BROADCAST,
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

from .records import NESTED

# The name of the note by which a call of tlb.c begins.
BEGINS: Final = "tlb.c"
# What a text names other than an instruction that the machine executes: no instruction, the beginning of a call, an
# instruction that does nothing here.
UNKNOWN: Final = -1
_BEGIN: Final = -3
_NOTHING: Final = -4
# VTCR_EL2, which the machine does not have, and the fields that matter for a TLBI: TG0, VS, DS.
_VTCR_EL2: Final = -2
_FORMAT: Final = 3 << 14 | 1 << 19 | 1 << 32
_NUMBERS: Final = {
    **{name: number for number, name in NAMES.items()},
    # Outer domains hold the inner ones.
    **{f"{name[:-2]}os": number for number, name in NAMES.items() if name.startswith("tlbi ") and name.endswith("is")},
    "dsb osh": ISH,
    "dsb sy": ISH,
    "dsb oshst": ISHST,
    "dsb st": ISHST,
    "msr vtcr_el2": _VTCR_EL2,
    "msr SYS_TCR_EL12": TCR_EL1,
    "msr SYS_SCTLR_EL12": SCTLR_EL1,
    # Load-only barriers, which do not complete TLBIs.
    **dict.fromkeys(("dsb ld", "dsb ishld", "dsb nshld", "dsb oshld"), _NOTHING),
    BEGINS: _BEGIN,
}


def number_of(text: str) -> int:
    """Return the number of an instruction for `Instructions.note`; `UNKNOWN`: the machine does not model it.

    :param text: in assembler syntax, without its operand; or `BEGINS`
    """
    return _NUMBERS.get(text, UNKNOWN)


class Instructions:
    """The instructions that a call of a tree's tlb.c reported.

    It is no part of `TreeTlb` because calls of methods that plain Python may override are slow.

    *noted*: instructions, operands and call chains of the call in progress; *telling*: the call runs the tree's own
    code; *loaded*: VTTBR_EL2 of the vCPU that called, which its CPU has then; 0: no vCPU runs; *places*: names the
    places of call chains
    """

    def __init__(self) -> None:
        self.noted: list[tuple[int, int, int]] = []
        self.places = LastCodePlaces()
        # In the order of their numbers in the tree's code.
        self.vms: list[kvm] = []
        # The tables of vCPUs at EL1, number `NESTED`.
        self.nested: kvm_s2_mmu | None = None
        self.telling = False
        self.loaded = 0

    def note(self, number: int, operand: int, chain: int) -> None:
        """Record one instruction.

        :param number: as `number_of` returns it; for `BEGINS` the operand is *loaded*
        :param chain: the call chain in the tree's code
        """
        if number == _BEGIN:
            self.noted.clear()
            self.telling, self.loaded = True, operand
        elif number != _NOTHING:
            self.noted.append((number, operand, chain))

    def execute(self, a: Assembly) -> None:
        """Execute the recorded instructions of a call.

        VTCR_EL2 has the size of VMIDs and the format of addresses, which are the same for all tables of a program. If
        no vCPU runs, it is that of a VM outside the program until the call writes it. A TLBI then need not find any
        entry.
        """
        self.telling = False
        fits = self.loaded != 0
        if self.loaded:
            a.load(self.by_vmid(self.loaded))
        for number, operand, chain in self.noted:
            if number == _VTCR_EL2:
                fits = any(not vm.composed_vtcr or not (vm.composed_vtcr ^ operand) & _FORMAT for vm in self.vms)
            elif number == ISB:
                a.isb()
            elif number < ISB:
                a.dsb(number)
            elif number <= SCTLR_EL1:
                if number == VTTBR_EL2:
                    operand = self.by_vmid(operand)
                elif number == HCR_EL2:
                    # Its other bits do not concern TLBs.
                    operand &= HCR_HOST_VHE_FLAGS
                a.write_sysreg(operand, number)
            elif number <= IC_IALLUIS:
                a.ic(number)
            elif fits or number & ~BROADCAST == ALLE1:
                a.hardware.place = self.places.where(chain)
                a.tlbi(number, operand)
            else:
                a.note(number, operand)
        a.hardware.place = ""

    def by_vmid(self, vttbr: int) -> int:
        """Return VTTBR_EL2 with the VM's number replaced by its current VMID; number 0 stands for no VM."""
        number = vttbr >> VTTBR_VMID_SHIFT
        mmu = self.mmu_of(number - 1)
        return (number if mmu is None else mmu.hardware_vmid.vmid) << VTTBR_VMID_SHIFT

    def mmu_of(self, number: int) -> kvm_s2_mmu | None:
        """Return the ``kvm_s2_mmu`` of a number in the tree's code; None: there is none."""
        if 0 <= number < len(self.vms):
            return self.vms[number].mmu
        return self.nested if number == NESTED else None


@mypyc_attr(allow_interpreted_subclasses=True)
class TreeTlb(TlbVhe):
    """Executes the instructions that a tree's code reported; runs the port's code if the tree reported none.

    *content*: identifies the code
    """

    content = ""

    def __init__(self, assembly: Assembly) -> None:
        super().__init__(assembly)
        self.reported = Instructions()

    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        if self.reported.telling:
            self.reported.execute(self.a)
        else:
            super().__kvm_tlb_flush_vmid_ipa__(mmu, ipa, level)

    def __kvm_tlb_flush_vmid_ipa_nsh__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        if self.reported.telling:
            self.reported.execute(self.a)
        else:
            super().__kvm_tlb_flush_vmid_ipa_nsh__(mmu, ipa, level)

    def __kvm_tlb_flush_vmid_range__(self, mmu: kvm_s2_mmu, start: int, pages: int) -> None:
        if self.reported.telling:
            self.reported.execute(self.a)
        else:
            super().__kvm_tlb_flush_vmid_range__(mmu, start, pages)

    def __kvm_tlb_flush_vmid__(self, mmu: kvm_s2_mmu) -> None:
        if self.reported.telling:
            self.reported.execute(self.a)
        else:
            super().__kvm_tlb_flush_vmid__(mmu)
