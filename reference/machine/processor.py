# SPDX-License-Identifier: GPL-2.0-only
"""One CPU that executes the instructions of tlb.c: state in effect, TLBI begun and complete (Arm ARM D8.16, B2.3.12).

Where the architecture leaves a choice, the CPU does what is worst for the kernel. A
TLBI takes effect at the barrier that completes it. If no barrier separates two TLBI, the TLBI of combined entries
takes effect first, so that a walk through remaining stage-2 entries may refill combined entries. A system register
takes effect at the next context synchronization.
"""

from typing import Final

from ..compiled.annotations import mypyc_attr
from .granule import Granule
from .instructions import (
    ALLE1,
    BROADCAST,
    HCR_E2H,
    HCR_TGE,
    IPA_FIELD,
    IPA_SHIFT,
    IPAS2E1,
    IPAS2LE1,
    ISH,
    RANGE_FIELD,
    RANGE_NUM,
    RANGE_NUM_SHIFT,
    RANGE_SCALE_SHIFT,
    RANGE_TTL_SHIFT,
    RIPAS2E1,
    TTL_GRANULE_SHIFT,
    TTL_LEVEL,
    TTL_SHIFT,
    VMALLE1,
    VTTBR_VMID_SHIFT,
)

# A local TLBI affects its own CPU; all others affect `EVERYWHERE`.
EVERYWHERE: Final = -1
ALL_VMIDS: Final = -1
# A granule or level that the tables do not have: the CPU need not invalidate anything.
MISFIT: Final = -1


@mypyc_attr(free_list_len=1)
class Invalidation:
    """A TLBI from its start on.

    :param op: its number, in the local form
    :param cpu: the CPU whose TLB is affected, or `EVERYWHERE`
    :param vmid: the VMID whose entries are affected, or `ALL_VMIDS`
    :param published: number of barriers that had ordered stores before table walks when it began
    :param began: start time, counted in barriers that complete TLBI

    *ipa*, *size*: addresses of a TLBI by address; *hint*: level of the leaf, 0: none, or `MISFIT`;
    *completed*: completion time, counted likewise; *place*: where in a compiled tree it began; *unordered*: combined
    entries were invalidated too, but without a barrier in between
    """

    def __init__(self, op: int, cpu: int, vmid: int, published: int, began: int) -> None:
        self.op = op
        self.cpu = cpu
        self.vmid = vmid
        self.published = published
        self.began = began
        self.completed = self.ipa = self.size = self.hint = 0
        self.place = ""
        self.unordered = False

    def decode(self, operand: int, granule: Granule) -> None:
        """Decode address, size and hint from the operand."""
        tg = operand >> TTL_GRANULE_SHIFT & 3
        expected = (granule.page_shift - 10) >> 1
        if self.op == RIPAS2E1:
            pages = ((operand >> RANGE_NUM_SHIFT & RANGE_NUM) + 1) << (5 * (operand >> RANGE_SCALE_SHIFT & 3) + 1)
            self.ipa = (operand & RANGE_FIELD) << (16 if granule.lpa2 else granule.page_shift)
            self.size = pages << granule.page_shift
            self.hint = operand >> RANGE_TTL_SHIFT & TTL_LEVEL if tg == expected else MISFIT
            return
        self.ipa = (operand & IPA_FIELD) << IPA_SHIFT & -granule.page_size
        self.size = granule.page_size
        # Without a granule there is no hint, regardless of the level.
        if tg:
            self.hint = operand >> TTL_SHIFT & TTL_LEVEL if tg == expected else MISFIT
            # With 4K pages, level 0 is a hint for a CPU with FEAT_LPA2, which may use tables without leaves there.
            if self.hint == 0 and granule.page_shift == 12 and not granule.lpa2:
                self.hint = MISFIT


class Processor:
    """The state that determines how one CPU executes TLBI.

    :param number: number of the CPU
    :param granule: page size, used to decode operands

    *vmid*, *tge*: in effect; *vttbr*, *hcr*, *tcr*, *sctlr*: as written; *begun*: TLBI that are not complete;
    *barriers*: number of DSB of any domain that it has executed; *ordered*: number of DMB and DSB so far that order its
    stores for all CPUs and table walks
    """

    def __init__(self, number: int, granule: Granule) -> None:
        self.number = number
        self.granule = granule
        self.vttbr = self.hcr = self.tcr = self.sctlr = self.vmid = 0
        self.tge = False
        self.begun: list[Invalidation] = []
        self.barriers = self.ordered = 0

    def boot(self, vhe: bool) -> None:
        """Enter the context of the host; *vhe*: its kernel runs at EL2, where VMALLE1 affects its own entries."""
        self.hcr = HCR_E2H | HCR_TGE if vhe else 0
        self.synchronize()

    def synchronize(self) -> None:
        """ISB, exception entry or return: put values written to system registers into effect."""
        self.vmid = self.vttbr >> VTTBR_VMID_SHIFT
        self.tge = self.hcr & (HCR_E2H | HCR_TGE) == HCR_E2H | HCR_TGE

    def tlbi(self, op: int, operand: int, published: int, began: int, place: str = "") -> None:
        """Begin a TLBI.

        :param published: as in `Invalidation`; likewise *began* and *place*
        """
        local = op & ~BROADCAST
        if local == VMALLE1 and self.tge:
            # It affects the entries of EL2 and EL0.
            return
        cpu = EVERYWHERE if op & BROADCAST else self.number
        new = Invalidation(local, cpu, ALL_VMIDS if local == ALLE1 else self.vmid, published, began)
        new.place = place
        if local >= IPAS2E1:
            new.decode(operand, self.granule)
        self.begun.append(new)

    def complete(self, domain: int) -> list[Invalidation]:
        """DSB of loads and stores: return the TLBI that it completes, in the order in which they take effect."""
        if domain == ISH:
            done, self.begun = self.begun, []
        else:
            done = [each for each in self.begun if each.cpu != EVERYWHERE]
            self.begun = [each for each in self.begun if each.cpu == EVERYWHERE]
        if len(done) > 1:
            done.sort(key=_after_combined)
        return done


def _after_combined(each: Invalidation) -> bool:
    return each.op != VMALLE1


def last_level(op: int) -> bool:
    """Return whether a TLBI leaves walk caches unchanged."""
    return op == IPAS2LE1
