# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12: arch/arm64/include/asm/kvm_emulate.h, arch/arm64/include/asm/esr.h.
"""The syndrome of a vCPU's last exit (ESR_EL2), and the functions by which kernel code queries it."""

from typing import Final

from .kvm import kvm_vcpu

ESR_ELx_EC_SHIFT: Final = 26
ESR_ELx_EC_IABT_LOW: Final = 0x20
ESR_ELx_EC_DABT_LOW: Final = 0x24
ESR_ELx_IL: Final = 1 << 25
ESR_ELx_ISV: Final = 1 << 24
ESR_ELx_CM: Final = 1 << 8
ESR_ELx_S1PTW: Final = 1 << 7
ESR_ELx_WNR: Final = 1 << 6
ESR_ELx_FSC: Final = 0x3F
ESR_ELx_FSC_TYPE: Final = 0x3C
ESR_ELx_FSC_LEVEL: Final = 0x03
FSC_FAULT: Final = 0x04
FSC_ACCESS: Final = 0x08
FSC_PERM: Final = 0x0C
# DFSC of a TLB conflict abort (Arm ARM, ISS encoding of a Data Abort).
FSC_TLB_CONFLICT: Final = 0x30
FSC_SEA: Final = (0x10, 0x14, 0x15, 0x16, 0x17, 0x18, 0x1C, 0x1D, 0x1E, 0x1F)


def kvm_vcpu_trap_get_fault_type(vcpu: kvm_vcpu) -> int:
    return vcpu.esr & ESR_ELx_FSC_TYPE


def kvm_vcpu_trap_get_fault_level(vcpu: kvm_vcpu) -> int:
    return vcpu.esr & ESR_ELx_FSC_LEVEL


def kvm_vcpu_trap_is_iabt(vcpu: kvm_vcpu) -> bool:
    return vcpu.esr >> ESR_ELx_EC_SHIFT == ESR_ELx_EC_IABT_LOW


def kvm_vcpu_abt_iss1tw(vcpu: kvm_vcpu) -> bool:
    return vcpu.esr & ESR_ELx_S1PTW != 0


def kvm_vcpu_trap_is_exec_fault(vcpu: kvm_vcpu) -> bool:
    return kvm_vcpu_trap_is_iabt(vcpu) and not kvm_vcpu_abt_iss1tw(vcpu)


def kvm_vcpu_dabt_is_cm(vcpu: kvm_vcpu) -> bool:
    return vcpu.esr & ESR_ELx_CM != 0


def kvm_vcpu_abt_issea(vcpu: kvm_vcpu) -> bool:
    return vcpu.esr & ESR_ELx_FSC in FSC_SEA


def kvm_is_write_fault(vcpu: kvm_vcpu) -> bool:
    if kvm_vcpu_abt_iss1tw(vcpu):
        return True

    if kvm_vcpu_trap_is_iabt(vcpu):
        return False

    return vcpu.esr & ESR_ELx_WNR != 0
