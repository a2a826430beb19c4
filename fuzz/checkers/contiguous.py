# SPDX-License-Identifier: GPL-2.0-only
"""Groups of leaves with the Contiguous bit (Arm ARM D8.7.1): a TLB may hold one entry for all of a group.

The tables are misprogrammed if a group is not uniform: each entry must be a leaf with the bit, with the same
attributes, and with the address that continues the address of the entry before it.
"""

from typing import Final

from reference.machine.descriptor import AF_BIT, DBM_BIT, SOFTWARE_BITS, WRITE_BIT, output_address
from reference.machine.walk import Regime

from .live_tables import LiveTables

# Keyed by log2 of the page size: number of leaves in a group at levels 0 to 3; 0: the bit must be clear.
_COUNTS: Final = {12: (0, 16, 16, 16), 14: (0, 0, 32, 128), 16: (0, 0, 32, 32)}


def unlike_group(tables: LiveTables, regime: Regime, level: int, ipa: int, entry: int) -> str:
    """Return what is wrong with the group of a leaf with the Contiguous bit; "" if nothing is."""
    granule = regime.granule
    count = _COUNTS[granule.page_shift][level]
    if not count:
        return f"Contiguous, bit 52, is 1, allowed: 0 at level {level}"
    size = granule.level_size(level)
    first = ipa & -size * count
    begins = output_address(entry, level, granule) - (ipa - first)
    if begins & (size * count - 1):
        return f"Contiguous, bit 52, is 1, and the group of {count} begins at {begins:#x}, which is not aligned"
    for address in range(first, first + size * count, size):
        at, other = tables.lookup(address)
        alike = at == level and output_address(other, level, granule) == begins + address - first
        if not alike or attributes(other, regime) != attributes(entry, regime):
            return f"Contiguous, bit 52, is 1, and the entry at {address:#x} does not belong to the group of {count}"
    return ""


def attributes(entry: int, regime: Regime) -> int:
    """Return the fields of a leaf that are equal in a group.

    Address, access flag and dirty state may differ, and so may bits that the hardware ignores. Where the hardware
    manages the dirty state, S2AP[1] is the dirty state of a leaf with DBM; otherwise DBM is ignored.
    """
    ignored = regime.granule.address_mask | AF_BIT | SOFTWARE_BITS
    if not regime.dirty:
        ignored |= DBM_BIT
    elif entry & DBM_BIT:
        ignored |= WRITE_BIT
    return entry & ~ignored
