# SPDX-License-Identifier: GPL-2.0-only
"""Stage-1 translation table descriptors of EL2 as the hardware reads them.

VMSAv8-64, Arm ARM D8.3, D8.4 and D8.5, for a regime with one range of
addresses and one privilege level. Kinds, addresses, AF and XN are as in
stage 2 (`reference.machine.descriptor`), FEAT_LPA2 included. Layout of the rest of a valid leaf:
4:2 AttrIndx, which selects a byte of MAIR_EL2; 6 AP[1], RES1 here; 7 AP[2],
read-only; 9:8 SH; 11 nG, 53 PXN, both RES0 here; 54 XN. A table descriptor has
limits for everything below it in 63:59, which KVM leaves at zero.
"""

from typing import Final

from .descriptor import (
    AF_BIT,
    LEAF,
    SOFTWARE_BITS,
    TYPE_BIT,
    VALID_BIT,
    XN_BIT,
    describe,
    kind,
    output_address,
    size_text,
)
from .granule import Granule

AP1_BIT: Final = 1 << 6
READ_ONLY_BIT: Final = 1 << 7
SHAREABILITY: Final = 3 << 8
INNER_SHAREABLE: Final = 3 << 8
_ACCESS_FIELDS: Final = AP1_BIT | READ_ONLY_BIT | AF_BIT | XN_BIT
LEAF_FIELDS: Final = VALID_BIT | TYPE_BIT | 7 << 2 | _ACCESS_FIELDS | SHAREABILITY | SOFTWARE_BITS
TABLE_FIELDS: Final = VALID_BIT | TYPE_BIT

# The kernel's value of MAIR_EL2, by index (arch/arm64/include/asm/memory.h).
NORMAL: Final = 0
DEVICE_nGnRE: Final = 5
MAIR_NAMES: Final = ("normal", "normal-tagged", "normal-nc", "normal-wt", "device-nGnRnE", "device-nGnRE", "device-GRE")


def attribute_index(entry: int) -> int:
    """Return AttrIndx of a leaf."""
    return entry >> 2 & 7


def unknown_fields(entry: int, level: int, granule: Granule) -> int:
    """Return the bits of a valid entry that belong neither to the address nor to a field that may be set."""
    fields = LEAF_FIELDS if kind(entry, level, granule) == LEAF else TABLE_FIELDS
    return entry & ~(fields | granule.low_mask | granule.high_mask)


def start_level(ia_bits: int, granule: Granule) -> int:
    """Return the level of the first look-up for addresses of *ia_bits* bits: one table, no concatenation."""
    per_level = granule.page_shift - 3
    return 4 - (ia_bits - granule.page_shift + per_level - 1) // per_level


def describe_stage1(entry: int, level: int, granule: Granule) -> str:
    """Return a short readable phrase: kind, address, permissions."""
    if kind(entry, level, granule) != LEAF:
        return describe(entry, level, granule)
    name = "page" if level == 3 else f"block({size_text(granule.level_size(level))})"
    perms = "r" + ("-" if entry & READ_ONLY_BIT else "w") + ("-" if entry & XN_BIT else "x")
    index = attribute_index(entry)
    attr = MAIR_NAMES[index] if index < len(MAIR_NAMES) else f"attrindx={index}"
    old = "" if entry & AF_BIT else " old"
    return f"{name}@{output_address(entry, level, granule):#x} {perms} {attr}{old}"
