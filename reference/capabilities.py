# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (arch/arm64/include/asm/cpucaps.h).
"""The machine capabilities that kernel code queries, as bits."""

from typing import Final

# cpus_have_const_cap()
ARM64_HAS_STAGE2_FWB: Final = 1 << 0
ARM64_HAS_CACHE_DIC: Final = 1 << 1
ARM64_HAS_ARMv8_4_TTL: Final = 1 << 2
ARM64_HAS_TLB_RANGE: Final = 1 << 3
# With 64K pages FEAT_LPA, for which the kernel has no capability.
ARM64_HAS_LPA2: Final = 1 << 4
# Each VM has MTE too (KVM_CAP_ARM_MTE).
ARM64_MTE: Final = 1 << 5
# Level 2 of FEAT_BBM without TLB conflict aborts: ARM64_HAS_BBML3 (v7.3), ARM64_HAS_BBML2_NOABORT (v6.17 on).
ARM64_HAS_BBM: Final = 1 << 6
# Each vCPU has EL2 too (KVM_ARM_VCPU_HAS_EL2).
ARM64_HAS_NESTED_VIRT: Final = 1 << 7
# Not capabilities in the kernel, but queried the same way here.
ICACHE_ALIASING: Final = 1 << 8
ICACHE_VPIPT: Final = 1 << 9
NO_VHE: Final = 1 << 10
# The CPU sets access flags and manages dirty state (FEAT_HAFDBS): ARM64_HW_DBM, ID_AA64MMFR1_EL1.HAFDBS.
ARM64_HW_DBM: Final = 1 << 13
# The guest hypervisor has enabled its stage 2 (HCR_EL2.VM is 1).
GUEST_STAGE2: Final = 1 << 14
# Errata that tlb.c works around.
ARM64_WORKAROUND_SPECULATIVE_AT: Final = 1 << 11
ARM64_WORKAROUND_REPEAT_TLBI: Final = 1 << 12
