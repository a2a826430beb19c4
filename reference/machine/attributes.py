# SPDX-License-Identifier: GPL-2.0-only
"""Memory type and shareability of an access, both stages combined (Arm ARM D8.6, "Combining stage 1 and stage 2").

A type is a byte as MAIR_ELx and PAR_EL1.ATTR encode it: 0x00, 0x04, 0x08, 0x0C
are Device-nGnRnE, -nGnRE, -nGRE, -GRE; else bits 7:4 are the outer and 3:0 the
inner cacheability. Shareability is as in SH: 0 none, 2 outer, 3 inner.
"""

from typing import Final

from .descriptor import memattr

DEVICE_nGnRnE: Final = 0x00
NORMAL_NC: Final = 0x44
NORMAL_WB: Final = 0xFF

NON_SHAREABLE: Final = 0
OUTER_SHAREABLE: Final = 2
INNER_SHAREABLE: Final = 3

# Indexed by the two bits that stage 2 has for each: non-cacheable, write-through and
# write-back; the last two with the allocation hints of a stage 1 that always allocates.
_CACHEABILITY: Final = (0x0, 0x4, 0xB, 0xF)


def memory_type(entry: int, fwb: bool, stage1: int) -> int:
    """Return the type of an access through the leaf *entry*; -1 if the encoding is reserved.

    :param fwb: HCR_EL2.FWB (FEAT_S2FWB): MemAttr overrides stage 1
    :param stage1: type of stage 1: `NORMAL_WB` (always allocating), or `DEVICE_nGnRnE` as with its MMU off
    """
    attr = memattr(entry)
    if attr < 4:
        # Both are Device: the more restrictive type has the smaller encoding.
        return min(attr << 2, stage1) if stage1 < 0x10 else attr << 2
    if fwb:
        return {5: min(stage1, NORMAL_NC), 6: NORMAL_WB, 7: stage1}.get(attr, -1)
    if attr & 3 == 0:
        return -1
    return _CACHEABILITY[attr >> 2] << 4 | _CACHEABILITY[attr & 3] if stage1 >= 0x10 else stage1


def shareability(entry: int, combined: int, stage1: int) -> int:
    """Return the shareability of an access through the leaf *entry*.

    :param combined: its `memory_type`
    :param stage1: as in `memory_type`; Normal memory of stage 1 is taken as non-shareable
    """
    if combined < 0x10 or combined == NORMAL_NC or stage1 < 0x10:
        return OUTER_SHAREABLE
    return entry >> 8 & 3
