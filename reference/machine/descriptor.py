# SPDX-License-Identifier: GPL-2.0-only
"""Stage-2 translation table descriptors as the hardware reads them.

VMSAv8-64, Arm ARM D8.3 (descriptor formats) and D8.4, D8.5 (stage-2
permissions and memory attributes). Deliberately independent of the kernel's
constants: running both compares them.

Layout of a valid leaf: bit 0 valid; bit 1 set for a page, clear for a block;
5:2 MemAttr; 6 and 7 S2AP read and write; 9:8 SH; 10 AF; 47:page_shift output
address (64K pages: bits 51:48 in 15:12); 54:53 XN. With FEAT_LPA2 the address is
49:page_shift, and its bits 51:50 stand in place of SH.
"""

from typing import Final

from .granule import Granule

INVALID: Final = 0
TABLE: Final = 1
LEAF: Final = 2
RESERVED: Final = 3

KIND_NAMES: Final = ("invalid", "table", "leaf", "reserved")

VALID_BIT: Final = 1 << 0
TYPE_BIT: Final = 1 << 1
MEMATTR_FIELD: Final = 0xF << 2
READ_BIT: Final = 1 << 6
WRITE_BIT: Final = 1 << 7
AF_BIT: Final = 1 << 10
# XN[54:53], of which KVM sets only the upper bit: never execute.
XN_BIT: Final = 1 << 54
XN_LOW_BIT: Final = 1 << 53
# DBM[51]: with VTCR_EL2.HD a write through the leaf sets S2AP[1], if it is clear; otherwise the hardware ignores DBM.
DBM_BIT: Final = 1 << 51
CONTIGUOUS_BIT: Final = 1 << 52
# Bits 58:55 are for software, in stage 1 and stage 2 (Arm ARM D8.3; KVM_PGTABLE_PROT_SW0 to SW3).
SOFTWARE_BITS: Final = 0xF << 55
RIGHTS_BITS: Final = READ_BIT | WRITE_BIT | XN_BIT
XN_FIELD: Final = XN_BIT | XN_LOW_BIT

MEMATTR_NAMES: Final = {
    0x0: "device-nGnRnE",
    0x1: "device-nGnRE",
    0x2: "device-nGRE",
    0x3: "device-GRE",
    0x5: "normal-nc",
    0xF: "normal-wb",
    0x6: "normal-wb-forced",
}


def kind(entry: int, level: int, granule: Granule) -> int:
    """Return the meaning of *entry* at *level*: INVALID, TABLE, LEAF or RESERVED."""
    if not entry & VALID_BIT:
        return INVALID
    if entry & TYPE_BIT:
        return LEAF if level == 3 else TABLE
    return LEAF if granule.block_level <= level < 3 else RESERVED


def address_bits(entry: int, granule: Granule) -> int:
    """Return the address field of a table or page descriptor, in bytes."""
    pa = entry & granule.low_mask
    if granule.high_mask:
        pa |= (entry & granule.high_mask) << granule.high_shift
    return pa


def address_field(pa: int, granule: Granule) -> int:
    """Return the descriptor bits that hold this address."""
    return pa & granule.low_mask | pa >> granule.high_shift & granule.high_mask


def output_address(entry: int, level: int, granule: Granule) -> int:
    """Return the output address of a leaf: the address field above the level's size."""
    return address_bits(entry, granule) & -granule.level_size(level)


def same_address(one: int, other: int, granule: Granule) -> bool:
    """Return whether two entries name the same memory."""
    return address_bits(one, granule) == address_bits(other, granule)


def memattr(entry: int) -> int:
    """Return MemAttr[3:0] of a leaf."""
    return entry >> 2 & 0xF


def is_cacheable(entry: int) -> bool:
    """Return whether a leaf maps Normal Write-Back memory (either FWB encoding)."""
    return memattr(entry) in (0xF, 0x6)


def describe(entry: int, level: int, granule: Granule) -> str:
    """Return a short readable phrase: kind, address, permissions."""
    what = kind(entry, level, granule)
    if entry == 0:
        return "empty"
    if what == INVALID:
        return f"invalid[{entry & ((1 << 64) - 1):#x}]"
    if what == RESERVED:
        return f"reserved[{entry & ((1 << 64) - 1):#x}]"
    if what == TABLE:
        return f"table@{address_bits(entry, granule):#x}"
    name = "page" if level == 3 else f"block({size_text(granule.level_size(level))})"
    perms = ("r" if entry & READ_BIT else "-") + ("w" if entry & WRITE_BIT else "-") + ("-" if entry & XN_BIT else "x")
    old = (" dbm" if entry & DBM_BIT else "") + ("" if entry & AF_BIT else " old")
    attr = MEMATTR_NAMES.get(memattr(entry), f"memattr={memattr(entry):#x}")
    return f"{name}@{output_address(entry, level, granule):#x} {perms} {attr}{old}"


def size_text(size: int) -> str:
    """Return *size* in bytes as 4K, 2M, 1G, ... or as a plain number if no unit divides it."""
    for unit, shift in (("G", 30), ("M", 20), ("K", 10)):
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return str(size)
