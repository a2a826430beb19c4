# SPDX-License-Identifier: GPL-2.0-only
"""The hardware as kernel code drives it: TLB and cache maintenance."""

from ..compiled.annotations import mypyc_attr
from .arena import Arena
from .granule import Granule
from .instructions import ALLE1, NSHST, RIPAS2E1, STORES_ONLY, VMALLE1, VMALLS12E1
from .processor import ALL_VMIDS, EVERYWHERE, Invalidation, Processor, last_level


@mypyc_attr(allow_interpreted_subclasses=True)
class Hardware:
    """Table memory, and CPUs that execute TLB maintenance but have no TLBs.

    `reference.machine.computer.Computer` adds TLBs and caches.

    :param cpus: number of CPUs

    *published*: number of barriers that ordered stores before table walks; *completions*: number of barriers that
    completed a TLBI; *waiting*: complete TLBI by address whose addresses may still be in entries that combine
    both stages; *place*: place in a compiled tree of the code that begins TLBI
    """

    def __init__(self, granule: Granule, cpus: int = 1) -> None:
        self.granule = granule
        self.arena = Arena(granule)
        self.processors = [Processor(cpu, granule) for cpu in range(cpus)]
        self.published = 0
        self.completions = 0
        self.waiting: list[Invalidation] = []
        self.place = ""
        self.nothing: list[Invalidation] = []

    def boot(self, vhe: bool) -> None:
        """Put all CPUs into the context of a kernel at EL2 (VHE) or at EL1."""
        for cpu in self.processors:
            cpu.boot(vhe)

    def tlbi(self, cpu: int, op: int, operand: int) -> None:
        """Begin a TLBI on a CPU."""
        self.processors[cpu].tlbi(op, operand, self.published, self.completions, self.place)

    def barrier(self, cpu: int, domain: int) -> list[Invalidation]:
        """Execute DSB on a CPU.

        :returns: the TLBI whose entries are all gone by now, combined entries included
        """
        if domain > NSHST:
            # For the table walks of all CPUs.
            self.published += 1
            self.processors[cpu].ordered += 1
        processor = self.processors[cpu]
        processor.barriers += 1
        if not processor.begun or domain & STORES_ONLY:
            return self.nothing
        done = processor.complete(domain)
        self.completions += 1
        gone: list[Invalidation] = []
        # The TLBI of combined entries come first.
        combined: Invalidation | None = None
        for each in done:
            self.drop(each)
            if each.op == VMALLE1:
                gone += self.take_completed(each)
                combined = each
                continue
            each.completed = self.completions
            if each.op in (VMALLS12E1, ALLE1):
                self.waiting = [old for old in self.waiting if not covers(each, old)]
                gone.append(each)
            else:
                each.unordered = combined is not None and covers(combined, each)
                self.waiting.append(each)
        return gone

    def take_completed(self, flush: Invalidation) -> list[Invalidation]:
        """VMALLE1 is complete: return the TLBI by address that were complete when it began."""
        gone: list[Invalidation] = []
        left: list[Invalidation] = []
        for each in self.waiting:
            if each.completed > flush.began or not covers(flush, each):
                left.append(each)
            elif gone and follows(each, gone[-1]):
                gone[-1].op = RIPAS2E1
                gone[-1].size += each.size
            else:
                gone.append(each)
        self.waiting = left
        return gone

    def drop(self, done: Invalidation) -> None:
        """Remove the entries of a complete TLBI from the TLBs."""

    def clean_and_invalidate(self, pa: int, size: int) -> None:
        """DC CIVAC over *size* bytes of physical memory."""

    def invalidate_icache(self, pa: int, size: int) -> None:
        """IC IVAU over *size* bytes of physical memory."""

    def invalidate_icache_all(self) -> None:
        """IC IALLUIS."""


def covers(flush: Invalidation, other: Invalidation) -> bool:
    """Return whether a TLBI affects all CPUs and VMIDs that another one affects."""
    return flush.cpu in (EVERYWHERE, other.cpu) and flush.vmid in (ALL_VMIDS, other.vmid)


def follows(each: Invalidation, before: Invalidation) -> bool:
    """Return whether a TLBI begins where *before* ends, as the pieces of a range do."""
    return (
        each.ipa == before.ipa + before.size
        and (each.cpu, each.vmid, each.published) == (before.cpu, before.vmid, before.published)
        and each.hint == before.hint == 0
        and not (last_level(each.op) or last_level(before.op))
    )
