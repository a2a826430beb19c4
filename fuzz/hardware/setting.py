# SPDX-License-Identifier: GPL-2.0-only
"""The setting of a guest's translation: VTCR_EL2 and HCR_EL2."""

from dataclasses import dataclass
from typing import Final

from reference.machine.attributes import NORMAL_WB, DEVICE_nGnRnE
from reference.machine.granule import Granule

# VTCR_EL2 (Arm ARM D19.2): T0SZ 5:0, SL0 7:6, IRGN0 9:8, ORGN0 11:10, SH0 13:12, TG0 15:14, PS 18:16, DS 32.
SL0_SHIFT: Final = 6
WRITE_BACK_TABLES: Final = 1 << 8 | 1 << 10 | 3 << 12
TG0: Final = {12: 0 << 14, 14: 2 << 14, 16: 1 << 14}
PS_SHIFT: Final = 16
PS: Final = {32: 0, 36: 1, 40: 2, 42: 3, 44: 4, 48: 5, 52: 6}
RES1: Final = 1 << 31
# FEAT_LPA2: 52 bits with 4K and 16K pages.
DS: Final = 1 << 32

# HCR_EL2.
HCR_VM: Final = 1 << 0
HCR_DC: Final = 1 << 12
HCR_RW: Final = 1 << 31
HCR_FWB: Final = 1 << 46

GRANULES: Final = {shift: Granule(shift) for shift in (12, 14, 16)}
LPA2: Final = {shift: Granule(shift, 52) for shift in (12, 14)}
# Levels of the first look-up, and sizes of the address space (T0SZ from 39 down to 16, with FEAT_LPA2 lower).
# Left out: level -1 of 4K pages, at which KVM never starts, and level 0 of 16K pages, at which QEMU 7.2 faults.
START_LEVELS: Final = {12: (0, 1, 2), 14: (1, 2, 3), 16: (1, 2, 3)}
MIN_IA_BITS: Final = 25
MAX_IA_BITS: Final = {12: 50, 14: 50, 16: 48}
# Up to 16 root tables may be concatenated.
CONCATENATED_BITS: Final = 4
# Minimum output address size that allows a first look-up at these levels (Arm ARM D8.2, SL0), by log2 of the page
# size and level.
LOWEST_START_PA_BITS: Final = {(12, 0): 44, (14, 1): 42, (16, 1): 44}


@dataclass(frozen=True, slots=True)
class Setting:
    """The setting of one translation.

    :param page_shift: log2 of the page size
    :param ia_bits: size of the guest's address space
    :param start_level: level of the first look-up
    :param pa_bits: output address size: 32, 36, 40, 42, 44, 48, or 52 (with 4K and 16K pages by FEAT_LPA2)
    :param fwb: whether stage 2 overrides the memory types of stage 1
    :param cached: whether stage 1, which is off, yields Normal Write-Back (HCR_EL2.DC) or Device
    """

    page_shift: int
    ia_bits: int
    start_level: int
    pa_bits: int
    fwb: bool
    cached: bool

    @property
    def granule(self) -> Granule:
        return LPA2[self.page_shift] if self.lpa2 else GRANULES[self.page_shift]

    @property
    def lpa2(self) -> bool:
        """Return whether descriptors use the FEAT_LPA2 format."""
        return self.pa_bits > 48 and self.page_shift in LPA2

    @property
    def root_bits(self) -> int:
        """Return log2 of the number of entries of all root tables together."""
        return self.ia_bits - self.granule.level_shift(self.start_level)

    @property
    def root_pages(self) -> int:
        """Return the number of concatenated root tables."""
        return max(1 << self.root_bits, self.granule.entries) // self.granule.entries

    @property
    def stage1(self) -> int:
        """Return the memory type of stage 1, as in `reference.machine.attributes`."""
        return NORMAL_WB if self.cached else DEVICE_nGnRnE

    def vtcr(self) -> int:
        """Return VTCR_EL2."""
        base = 2 if self.page_shift == 12 else 3
        return (
            RES1
            | PS[self.pa_bits] << PS_SHIFT
            | TG0[self.page_shift]
            | WRITE_BACK_TABLES
            | base - self.start_level << SL0_SHIFT
            | (DS if self.lpa2 else 0)
            | 64 - self.ia_bits
        )

    def hcr(self) -> int:
        """Return HCR_EL2."""
        return HCR_VM | HCR_RW | (HCR_FWB if self.fwb else 0) | (HCR_DC if self.cached else 0)


def output_sizes(page_shift: int, start_level: int, ia_bits: int) -> list[int]:
    """Return the valid output address sizes.

    A size below that of the input is CONSTRAINED UNPREDICTABLE (QEMU chooses to fault); KVM never uses it.
    """
    least = LOWEST_START_PA_BITS.get((page_shift, start_level), 0)
    return [bits for bits in PS if bits >= max(ia_bits, least)]


def fault_of(setting: Setting) -> str:
    """Explain which of these values is not allowed, and which values are; "" if all are allowed."""
    if setting.page_shift not in GRANULES:
        return "granule; allowed: 4K, 16K, 64K"
    levels = START_LEVELS[setting.page_shift]
    if setting.start_level not in levels:
        return f"start={setting.start_level}; allowed: {', '.join(map(str, levels))}"
    shift = setting.granule.level_shift(setting.start_level)
    least = max(shift + 1, MIN_IA_BITS)
    most = min(shift + setting.page_shift - 3 + CONCATENATED_BITS, MAX_IA_BITS[setting.page_shift])
    if not least <= setting.ia_bits <= most:
        return f"ia={setting.ia_bits}; allowed: {least} to {most}, with start={setting.start_level}"
    sizes = output_sizes(setting.page_shift, setting.start_level, setting.ia_bits)
    if setting.pa_bits not in sizes:
        return f"pa={setting.pa_bits}; allowed: {', '.join(map(str, sizes))}"
    return ""


def all_shapes() -> list[tuple[int, int, int]]:
    """Return every valid (page shift, start level, address bits)."""
    return [
        (shift, start, bits)
        for shift, starts in START_LEVELS.items()
        for start in starts
        for bits in range(MIN_IA_BITS, MAX_IA_BITS[shift] + 1)
        if not fault_of(Setting(shift, bits, start, 52, False, True))
    ]
