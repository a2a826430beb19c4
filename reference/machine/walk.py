# SPDX-License-Identifier: GPL-2.0-only
"""The hardware's stage-2 table walk: table bytes in, result out (Arm ARM D8.2, AArch64.S2Translate).

Faults have a kind and a level. For one descriptor they rank: translation,
address size, access flag, permission.
"""

from typing import Final

from ..compiled.annotations import mypyc_attr
from .arena import Arena
from .descriptor import AF_BIT, DBM_BIT, LEAF, READ_BIT, RESERVED, TABLE, WRITE_BIT, XN_FIELD, XN_LOW_BIT, kind
from .granule import Granule

NONE: Final = 0
TRANSLATION: Final = 1
ADDRESS_SIZE: Final = 2
ACCESS_FLAG: Final = 3
PERMISSION: Final = 4
# Not an architectural fault: the walk read outside of table memory.
LOST: Final = 5

FAULT_NAMES: Final = ("none", "translation", "address size", "access", "permission", "lost")

READ: Final = 0
WRITE: Final = 1
FETCH: Final = 2

# A speculative walk, without an access.
SPECULATE: Final = 3

# A fetch by the guest's user space; FETCH is a fetch by its kernel.
FETCH_EL0: Final = 4

ACCESS_NAMES: Final = ("read", "write", "fetch", "speculative walk", "fetch at EL0")


# Fields of VTCR_EL2: PS, the sizes that its values encode, and DS.
PS_SHIFT: Final = 16
PS_BITS: Final = (32, 36, 40, 42, 44, 48, 52, 52)
DS_BIT: Final = 1 << 32


class Regime:
    """The contents of VTCR_EL2 and VTTBR_EL2 for one guest.

    :param granule: translation granule
    :param ia_bits: size of the guest's address space, 64 - T0SZ
    :param start_level: level of the first look-up
    :param root: index of the first word of the (concatenated) root in the arena
    :param pa_bits: output address size, which is also the size that the CPU implements; 0: that of the granule. With
        64K pages and at most 48 bits, bits 15:12 of a descriptor are ignored (the architecture leaves this to the
        implementation); with 52 bits they are bits 51:48 of its address, and there are blocks of 4T at level 1
    :raises ValueError: more than 48 bits, while descriptors of the granule hold 48

    *dirty*: the hardware manages the dirty state of leaves with DBM
    """

    def __init__(self, granule: Granule, ia_bits: int, start_level: int, root: int, pa_bits: int = 0) -> None:
        pa_bits = pa_bits or granule.pa_bits
        if pa_bits > granule.pa_bits and granule.page_shift != 16:
            raise ValueError(f"{pa_bits} bits of output address in descriptors for {granule.pa_bits}")
        self.granule = granule
        self.ia_bits = ia_bits
        self.start_level = start_level
        self.root = root
        self.pa_bits = pa_bits
        self.address_mask = granule.low_mask
        self.dirty = False

    def apply_vtcr(self, vtcr: int) -> None:
        """Set the size of physical addresses from VTCR_EL2, fields PS and DS (Arm ARM D19.2).

        Without DS (FEAT_LPA2) an address has at most 48 bits with 4K and 16K pages, whatever PS is.

        :param vtcr: 0: none has been composed
        """
        if not vtcr:
            return
        bits = PS_BITS[vtcr >> PS_SHIFT & 7]
        if self.granule.lpa2 and not vtcr & DS_BIT:
            bits = min(bits, 48)
        self.pa_bits = min(self.pa_bits, bits)

    def allows_writes(self, entry: int) -> bool:
        """Return whether the guest may write through a leaf: it is writable, or the hardware makes it so."""
        return permits(entry, WRITE, self.dirty)

    def address(self, entry: int) -> int:
        """Return the address field of a table or page descriptor, in bytes."""
        pa = entry & self.address_mask
        if self.pa_bits > 48:
            pa |= (entry & self.granule.high_mask) << self.granule.high_shift
        return pa


@mypyc_attr(free_list_len=1)
class Walk:
    """Result of one walk.

    *fault* and *level*; *entry* and its arena index *ptep* as last read; *pa* of
    the page if there is no fault; *tables*: the (level, ptep, entry) of each table
    descriptor on the way.
    """

    def __init__(self, fault: int, level: int, ptep: int, entry: int, pa: int) -> None:
        self.fault = fault
        self.level = level
        self.ptep = ptep
        self.entry = entry
        self.pa = pa
        self.tables: list[tuple[int, int, int]] = []


def permits(entry: int, access: int, dirty: bool = False) -> bool:
    """Return whether a leaf's S2AP and XN allow READ, WRITE, FETCH or FETCH_EL0.

    Where the hardware manages the dirty state, DBM also allows WRITE; the hardware sets S2AP[1] before the write.

    XN[54:53] follows FEAT_XNX, which every CPU has since Armv8.2 (Arm ARM D8.4): 0b00
    execute, 0b01 at EL0 only, 0b10 never, 0b11 at EL1 only.

    :param dirty: the hardware manages the dirty state (`Regime.dirty`)
    """
    if access == READ:
        return entry & READ_BIT != 0
    if access == WRITE:
        return entry & WRITE_BIT != 0 or (dirty and entry & DBM_BIT != 0)
    xn = entry & XN_FIELD
    return xn == 0 or xn == (XN_LOW_BIT if access == FETCH_EL0 else XN_FIELD)


def check_leaf(entry: int, level: int, access: int, regime: Regime) -> int:
    """Return the highest-ranked fault that a leaf causes, or NONE."""
    if regime.address(entry) >> regime.pa_bits:
        return ADDRESS_SIZE
    if not entry & AF_BIT:
        return ACCESS_FLAG
    if not permits(entry, access, regime.dirty):
        return PERMISSION
    return NONE


def walk(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
    """Walk from the root."""
    if ipa >> regime.ia_bits:
        return Walk(TRANSLATION, 0, -1, 0, 0)
    if (arena.base + (regime.root << 3)) >> regime.pa_bits:
        return Walk(ADDRESS_SIZE, 0, -1, 0, 0)
    index = ipa >> regime.granule.level_shift(regime.start_level)
    return walk_from(arena, regime, ipa, access, regime.start_level, regime.root + index)


def walk_from(arena: Arena, regime: Regime, ipa: int, access: int, level: int, ptep: int) -> Walk:
    """Walk from the entry *ptep* of a table at *level*; LOST if *ptep* is not in table memory."""
    granule = regime.granule
    mask = granule.entries - 1
    if not 0 <= ptep < len(arena.words):
        # A walk cache entry or the root points to a page that is no table.
        return Walk(LOST, level, -1, 0, 0)
    result = Walk(NONE, level, ptep, 0, 0)
    while True:
        entry = arena.words[ptep]
        what = kind(entry, level, granule)
        if what == TABLE:
            pa = regime.address(entry)
            result.tables.append((level, ptep, entry))
            if pa >> regime.pa_bits:
                result.fault = ADDRESS_SIZE
                break
            level += 1
            if not arena.holds(pa):
                result.fault = LOST
                break
            ptep = ((pa - arena.base) >> 3) + (ipa >> granule.level_shift(level) & mask)
            continue
        if what != LEAF and not (what == RESERVED and level == 1 and regime.pa_bits > 48):
            result.fault = TRANSLATION
        else:
            result.fault = check_leaf(entry, level, access, regime)
            size = granule.level_size(level)
            result.pa = regime.address(entry) & -size | ipa & (size - 1) & -granule.page_size
        break
    result.level = level
    result.ptep = ptep
    result.entry = entry
    return result
