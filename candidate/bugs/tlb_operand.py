# SPDX-License-Identifier: GPL-2.0-only
"""tlb.c with a TLBI of the wrong operand or in the wrong context: it flushes something else."""

from reference.capabilities import ARM64_HAS_ARMv8_4_TTL
from reference.machine.instructions import HCR_EL2, HCR_TGE
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.services.structs import kvm_s2_mmu
from reference.tlb import TlbVhe, tlb_inv_context
from reference.tlbflush import TLBI_TTL_MASK

from ..registry.declaration import Bug


class PgtableTlbOperand(Pgtable):
    """pgtable.c is the base's."""


class MmuTlbOperand(Mmu):
    """mmu.c is the base's."""


class TlbShift(TlbVhe):
    def __tlbi_level__(self, op: int, addr: int, level: int) -> None:
        # Wrong: an operand is an address without its lowest 12 bits.
        super().__tlbi_level__(op, addr << 12, level)


class TlbLevel(TlbVhe):
    def __tlbi_level__(self, op: int, addr: int, level: int) -> None:
        arg = addr
        if level and self.a.caps & ARM64_HAS_ARMv8_4_TTL:
            # Wrong: the granule belongs above the level.
            ttl = self.get_trans_granule() | (level & 3) << 2
            arg = arg & ~TLBI_TTL_MASK | ttl << 44
        self.__tlbi__(op, arg)


class TlbVmid(TlbVhe):
    def __tlb_switch_to_guest__(self, mmu: kvm_s2_mmu, cxt: tlb_inv_context) -> None:
        # Wrong: no __load_guest_stage2(), so TLBI affect the host's VMID.
        val = self.a.read_sysreg(HCR_EL2)
        val &= ~HCR_TGE
        self.a.write_sysreg(val, HCR_EL2)
        self.a.isb()


class TlbHost(TlbVhe):
    def __tlb_switch_to_guest__(self, mmu: kvm_s2_mmu, cxt: tlb_inv_context) -> None:
        # Wrong: TGE stays set, so VMALLE1IS affects the host's entries.
        self.__load_guest_stage2__(mmu)
        self.a.isb()


def _bug(name: str, tlb: type[TlbVhe], order: int, origin: str) -> Bug:
    return Bug(
        name,
        PgtableTlbOperand,
        MmuTlbOperand,
        base="original",
        signature="tlb: stage2_unmap_walker: leaf not flushed L3",
        origin=f"tlb.c: {origin}",
        order=order,
        tlb=tlb,
    )


BUG = (
    _bug("bug-tlb-shift", TlbShift, 230, "the operand of the TLBI by IPA is not shifted by 12"),
    _bug("bug-tlb-level", TlbLevel, 200, "granule and level of the hint are swapped"),
    _bug("bug-tlb-vmid", TlbVmid, 40, "TLBI in the context of the host's VMID"),
    _bug("bug-tlb-host", TlbHost, 240, "HCR_EL2.TGE is not cleared for the TLBI"),
)
