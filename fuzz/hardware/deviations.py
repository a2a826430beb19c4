# SPDX-License-Identifier: GPL-2.0-only
"""Known deviations of QEMU from our walk, with the reasons; all other deviations are differences.

Found with version 7.2; `tests/hardware/test_deviations.py` shows that each still exists.
"""

from dataclasses import dataclass
from typing import Final

from reference.machine.attributes import memory_type
from reference.machine.descriptor import RESERVED, kind, memattr
from reference.machine.walk import NONE, TRANSLATION, Walk, check_leaf

from .expectation import PAR_ADDRESS, PAR_ATTR_SHIFT, PAR_SH_SHIFT, Expectation
from .tables import ACCESSES, Ask, Tables, split


@dataclass(frozen=True)
class Deviation:
    """One way in which QEMU deviates.

    :param name: a short name
    :param reason: why our walk does not follow QEMU
    """

    name: str
    reason: str


BLOCK_LEVEL: Final = Deviation(
    "a block at any level",
    "QEMU 7.2 does not check if a level has blocks. There are none at level 0 of 4K pages and level 1 of 16K pages "
    "without FEAT_LPA2, and none at level 1 of 64K pages without FEAT_LPA (52-bit addresses): the encoding is "
    "reserved, a translation fault (Arm ARM D8.3). With 64K pages QEMU is right for its CPU max, which has FEAT_LPA "
    "whatever VTCR_EL2.PS says; our walk assumes a CPU that implements no more address bits than PS specifies.",
)
FORCED_DEVICE: Final = Deviation(
    "Device twice, with FWB",
    "If both stages specify Device, the more restrictive one counts, with FWB as without (Arm ARM, pseudocode "
    "S2CombineS1Device() in AArch64.S2ApplyFWBMemAttrs()). With FWB, QEMU 7.2 takes stage 2's.",
)
FORCED_SHAREABILITY: Final = Deviation(
    "shareability of forced Write-Back",
    "Device memory of stage 1 counts as outer shareable when the two stages are combined, also where FWB makes "
    "Write-Back of it (S2CombineS1Shareability(), likewise). QEMU 7.2 then reports stage 2's shareability alone.",
)
RESERVED_TYPE: Final = Deviation(
    "a reserved memory type",
    "A MemAttr encoding that the architecture reserves may be any type: only the address is compared. None is "
    "generated, tables of programs may hold some.",
)
ALL: Final = (BLOCK_LEVEL, FORCED_DEVICE, FORCED_SHAREABILITY, RESERVED_TYPE)


def explain(tables: Tables, walk: Walk, asked: int, answer: int) -> tuple[Deviation, ...]:
    """Return the deviations that explain *answer* of QEMU to a question that our walk answers with *walk*.

    :returns: empty if the answer is a difference
    """
    setting = tables.setting
    ask, _ = split(asked)
    expectation = Expectation(setting)
    found: tuple[Deviation, ...] = ()
    if reserved_block(tables, walk):
        walk = as_block(tables, walk, asked)
        found = (BLOCK_LEVEL,)
        if expectation.answer(walk, asked) == answer:
            return found
    if ask >= Ask.FETCH or walk.fault != NONE:
        return ()
    address = walk.pa | asked & expectation.offset_mask
    attr = memattr(walk.entry)
    if memory_type(walk.entry, setting.fwb, setting.stage1) < 0:
        return (*found, RESERVED_TYPE) if answer & PAR_ADDRESS == address and not answer & 1 else ()
    if not setting.fwb or setting.cached:
        return ()
    if attr < 4:
        odd = answer_with(address, attr << 2, 2)
        return (*found, FORCED_DEVICE) if answer == odd else ()
    if attr == 6:
        odd = answer_with(address, 0xFF, 3 if setting.lpa2 else walk.entry >> 8 & 3)
        return (*found, FORCED_SHAREABILITY) if answer == odd else ()
    return ()


def expected_deviation(tables: Tables, walk: Walk, asked: int) -> Deviation | None:
    """Return the first deviation that may show in QEMU's answer to a question that our walk answers with *walk*."""
    setting = tables.setting
    if reserved_block(tables, walk):
        return BLOCK_LEVEL
    if split(asked)[0] >= Ask.FETCH or walk.fault != NONE:
        return None
    if memory_type(walk.entry, setting.fwb, setting.stage1) < 0:
        return RESERVED_TYPE
    if setting.fwb and not setting.cached:
        attr = memattr(walk.entry)
        return FORCED_DEVICE if attr < 4 else FORCED_SHAREABILITY if attr == 6 else None
    return None


def answer_with(address: int, attr: int, shareability: int) -> int:
    """Return the answer of a successful read or write with this type."""
    return address | attr << PAR_ATTR_SHIFT | shareability << PAR_SH_SHIFT


def reserved_block(tables: Tables, walk: Walk) -> bool:
    """Return whether our walk ended at an entry that would be a block if its level had blocks."""
    granule = tables.setting.granule
    return (
        walk.fault == TRANSLATION
        and walk.ptep >= 0
        and walk.level < 3
        and kind(walk.entry, walk.level, granule) == RESERVED
    )


def as_block(tables: Tables, walk: Walk, asked: int) -> Walk:
    """Return the walk as if the entry at its end were a block."""
    ask, ipa = split(asked)
    granule = tables.setting.granule
    regime = tables.regime
    size = granule.level_size(walk.level)
    fault = check_leaf(walk.entry, walk.level, ACCESSES[ask], regime)
    pa = regime.address(walk.entry) & -size | ipa & (size - 1) & -granule.page_size
    return Walk(fault, walk.level, walk.ptep, walk.entry, pa)
