# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12: arch/arm64/include/asm/kvm_arm.h, stage2_pgtable.h, arch/arm64/kvm/reset.c.
"""VTCR_EL2 as ``kvm_arm_setup_stage2()`` composes it."""

from .machine.granule import Granule
from .pgtable import VTCR_EL2_SL0_MASK, VTCR_EL2_SL0_SHIFT, VTCR_EL2_T0SZ_MASK

VTCR_EL2_RES1 = 1 << 31
VTCR_EL2_HA = 1 << 21
VTCR_EL2_HD = 1 << 22
VTCR_EL2_HDBSS = 1 << 45
VTCR_EL2_SH0_INNER = 3 << 12
VTCR_EL2_ORGN0_WBWA = 1 << 10
VTCR_EL2_IRGN0_WBWA = 1 << 8
VTCR_EL2_TG0 = {12: 0 << 14, 14: 2 << 14, 16: 1 << 14}
VTCR_EL2_TGRAN_SL0_BASE = {12: 2, 14: 3, 16: 3}
# Level of the first look-up for each value of SL0 (Arm ARM D19.2; 3 of 4K needs FEAT_TTST, 3 of 16K FEAT_LPA2).
START_LEVELS = {12: (2, 1, 0, 3), 14: (3, 2, 1, 0), 16: (3, 2, 1, 0)}


def stage2_pgtable_levels(ipa_bits: int, granule: Granule) -> int:
    """Return the number of table levels including the root: up to 16 root tables are concatenated."""
    return (ipa_bits - 4 - 4) // (granule.page_shift - 3)


def kvm_arm_setup_stage2(ipa_bits: int, granule: Granule) -> int:
    """Return VTCR_EL2 of a guest with *ipa_bits* (32 to 52) of address space; PS and DS are left 0.

    HA is set on all CPUs: CPUs that cannot set the access flag ignore it.
    """
    # At least two levels: a host's PMD block must not have to be split.
    levels = max(stage2_pgtable_levels(ipa_bits, granule), 2)
    sl0 = VTCR_EL2_TGRAN_SL0_BASE[granule.page_shift] - (4 - levels)
    return (
        VTCR_EL2_RES1
        | VTCR_EL2_HA
        | VTCR_EL2_SH0_INNER
        | VTCR_EL2_ORGN0_WBWA
        | VTCR_EL2_IRGN0_WBWA
        | VTCR_EL2_TG0[granule.page_shift]
        | sl0 << VTCR_EL2_SL0_SHIFT
        | 64 - ipa_bits
    )


def start_level(vtcr: int, granule: Granule) -> int:
    """Return the level of the first look-up, by SL0."""
    return START_LEVELS[granule.page_shift][(vtcr & VTCR_EL2_SL0_MASK) >> VTCR_EL2_SL0_SHIFT]


def root_pages(vtcr: int, granule: Granule) -> int:
    """Return the number of consecutive root pages, by T0SZ and SL0 (Arm ARM D8.2, concatenated tables)."""
    one_table = granule.level_shift(start_level(vtcr, granule)) + granule.page_shift - 3
    return 1 << max(64 - (vtcr & VTCR_EL2_T0SZ_MASK) - one_table, 0)
