# SPDX-License-Identifier: GPL-2.0-only
"""The answers that QEMU should give according to our walk, and answers as text.

A read or write is answered with PAR_EL1 (Arm ARM D19.2). Without a fault it holds ATTR 63:56,
address 51:12, SH 8:7. With a fault it holds bit 0 set, fault status 6:1, S (at stage 2) 9, RES1 11. A fetch is
answered with 0, or with the syndrome of the abort (ESR_ELx).
"""

from typing import Final

from reference.machine.attributes import memory_type, shareability
from reference.machine.walk import (
    ACCESS_FLAG,
    ADDRESS_SIZE,
    FAULT_NAMES,
    LOST,
    NONE,
    PERMISSION,
    TRANSLATION,
    Walk,
)

from .setting import Setting
from .tables import Ask, split

# Fault status codes at level 0 (Arm ARM D19.2, ISS encoding for an exception from a Data Abort).
STATUS: Final = {ADDRESS_SIZE: 0x00, TRANSLATION: 0x04, ACCESS_FLAG: 0x08, PERMISSION: 0x0C, LOST: 0x14}
_FAULTS: Final = {status: fault for fault, status in STATUS.items()}
PAR_FAULT: Final = 1 << 0 | 1 << 9 | 1 << 11
PAR_ADDRESS: Final = (1 << 52) - (1 << 12)
PAR_ATTR_SHIFT: Final = 56
PAR_SH_SHIFT: Final = 7
# ESR_ELx: exception class 31:26, IL 25.
IABT_LOWER: Final = 0x20 << 26 | 1 << 25
# An external abort on the walk of AT: a data abort at the same level, with CM and WnR set.
DABT_AT: Final = 0x25 << 26 | 1 << 25 | 1 << 8 | 1 << 6

# Indexed by the fault, then by its level.
AT_FAULT: Final = {
    fault: tuple(DABT_AT | status + level if fault == LOST else PAR_FAULT | status + level << 1 for level in range(4))
    for fault, status in STATUS.items()
}
FETCH_FAULT: Final = {
    fault: tuple(IABT_LOWER | status + level for level in range(4)) for fault, status in STATUS.items()
}
FETCHED: Final = 0


class Expectation:
    """Answers under one setting.

    :param setting: setting of the translation
    """

    def __init__(self, setting: Setting) -> None:
        self.offset_mask = setting.granule.page_size - (1 << 12)
        self.fwb = setting.fwb
        self.stage1 = setting.stage1
        self.lpa2 = setting.lpa2
        # Keyed by the relevant fields of an entry: MemAttr and SH.
        self.attributes: dict[int, int] = {}

    def answer(self, walk: Walk, asked: int) -> int:
        """Return the answer that QEMU should give to a question that our walk answers with *walk*."""
        ask, ipa = split(asked)
        if ask >= Ask.FETCH:
            return FETCHED if walk.fault == NONE else FETCH_FAULT[walk.fault][walk.level]
        if walk.fault != NONE:
            return AT_FAULT[walk.fault][walk.level]
        # PAR_EL1 uses 4K pages for every granule.
        return walk.pa | ipa & self.offset_mask | self.attributes_of(walk.entry)

    def attributes_of(self, entry: int) -> int:
        """Return ATTR and SH of PAR_EL1."""
        # With FEAT_LPA2 the shareability is that of VTCR_EL2.SH0.
        key = entry & 0x3C | 3 << 8 if self.lpa2 else entry & 0x33C
        found = self.attributes.get(key)
        if found is None:
            combined = memory_type(key, self.fwb, self.stage1)
            found = combined << PAR_ATTR_SHIFT | shareability(key, combined, self.stage1) << PAR_SH_SHIFT
            self.attributes[key] = found
        return found


def in_words(asked: int, answer: int) -> str:
    """Return an answer as text."""
    ask, _ = split(asked)
    if ask >= Ask.FETCH:
        if answer == FETCHED:
            return "fetched"
        status, known = answer & 0x3F, answer & ~0x3F == IABT_LOWER
    elif answer & 1 and answer & ~0x7E == PAR_FAULT:
        status, known = answer >> 1 & 0x3F, True
    elif answer & ~0x3F == DABT_AT:
        status, known = answer & 0x3F, True
    elif answer & 1:
        return f"PAR_EL1 {answer:#x}"
    else:
        return f"{answer & PAR_ADDRESS:#x}, ATTR {answer >> PAR_ATTR_SHIFT:#04x}, SH {answer >> PAR_SH_SHIFT & 3}"
    fault = _FAULTS.get(status & ~3)
    if not known or fault is None:
        return f"syndrome {answer:#x}"
    name = "no memory at the table's address" if fault == LOST else f"{FAULT_NAMES[fault]} fault"
    return f"{name}, level {status & 3}"
