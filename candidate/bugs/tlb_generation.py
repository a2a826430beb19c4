# SPDX-License-Identifier: GPL-2.0-only
"""tlb.c does not flush everything when VMIDs run out: a VM may hit stale entries of the number's former owner."""

from reference.machine.instructions import ALLE1, ALLE1IS, ISH, ISHST, VMALLS12E1IS
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import TlbVhe

from ..registry.declaration import Bug


class PgtableTlbGeneration(Pgtable):
    """pgtable.c is the base's."""


class MmuTlbGeneration(Mmu):
    """mmu.c is the base's."""


class TlbGenerationLocal(TlbVhe):
    def __kvm_flush_vm_context__(self) -> None:
        self.a.dsb(ISHST)
        # Wrong: not ALLE1IS; other CPUs keep their entries.
        self.__tlbi__(ALLE1)
        self.a.dsb(ISH)


class TlbGenerationIncomplete(TlbVhe):
    def __kvm_flush_vm_context__(self) -> None:
        self.a.dsb(ISHST)
        # Wrong: no dsb(ish) afterwards, so the entries may still be there.
        self.__tlbi__(ALLE1IS)


class TlbGenerationVmid(TlbVhe):
    def __kvm_flush_vm_context__(self) -> None:
        self.a.dsb(ISHST)
        # Wrong: not ALLE1IS; in the host's context this affects no VM's VMID.
        self.__tlbi__(VMALLS12E1IS)
        self.a.dsb(ISH)


def _bug(name: str, tlb: type[TlbVhe], order: int, origin: str) -> Bug:
    return Bug(
        name,
        PgtableTlbGeneration,
        MmuTlbGeneration,
        base="original",
        signature="context: tlb.c: entries of TLBs stay when VMIDs run out",
        origin=f"tlb.c: {origin}",
        order=order,
        tlb=tlb,
    )


BUG = (
    _bug("bug-tlb-generation-local", TlbGenerationLocal, 290, "ALLE1 in place of ALLE1IS when VMIDs run out"),
    _bug("bug-tlb-generation-open", TlbGenerationIncomplete, 310, "no dsb(ish) after ALLE1IS when VMIDs run out"),
    _bug("bug-tlb-generation-vmid", TlbGenerationVmid, 300, "VMALLS12E1IS in place of ALLE1IS when VMIDs run out"),
)
