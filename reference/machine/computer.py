# SPDX-License-Identifier: GPL-2.0-only
"""CPUs with TLBs that share one memory."""

from .descriptor import WRITE_BIT
from .granule import Granule
from .hardware import Hardware
from .instructions import ALLE1, RIPAS2E1, VMALLE1, VMALLS12E1
from .memory import Memory
from .processor import ALL_VMIDS, EVERYWHERE, MISFIT, Invalidation, last_level
from .tlb import CpuTlb
from .walk import NONE, PERMISSION, READ, TRANSLATION, WRITE, Regime, Walk, permits, walk_from


class Computer(Hardware):
    """Hardware with TLBs and caches.

    :param cpus: number of CPUs
    :param vms: number of VMIDs in use at a time, from 1 on; the VMID of a VM may change
    """

    def __init__(self, granule: Granule, cpus: int, vms: int = 1) -> None:
        super().__init__(granule, cpus)
        self.memory = Memory(granule)
        # Indexed by VMID - 1, then by CPU.
        self.tlbs = [[CpuTlb(granule) for _ in range(cpus)] for _ in range(vms)]

    def translate(self, cpu: int, vmid: int, regime: Regime, ipa: int, access: int) -> Walk:
        """Translate an access by *cpu*, through its TLB; a success fills the TLB.

        A table found in the walk cache is used as it was when cached. A fault
        is reported for the entry that caused it, which may be stale.

        The hardware records dirty state only in a leaf that memory still holds (Arm ARM D8.4). So a write does not
        use a TLB entry that DBM alone makes writable: it walks.
        """
        tlb = self.tlbs[vmid - 1][cpu]
        level, entry = tlb.leaf(ipa)
        if level >= 0 and not (access == WRITE and not entry & WRITE_BIT and regime.allows_writes(entry)):
            size = self.granule.level_size(level)
            pa = regime.address(entry) & -size | ipa & (size - 1) & -self.granule.page_size
            return Walk(NONE if permits(entry, access) else PERMISSION, level, -1, entry, pa)
        if ipa >> regime.ia_bits:
            return Walk(TRANSLATION, 0, -1, 0, 0)
        level, entry = tlb.table(ipa)
        if level >= 0:
            level += 1
            index = ipa >> self.granule.level_shift(level) & (self.granule.entries - 1)
            ptep = ((regime.address(entry) - self.arena.base) >> 3) + index
        else:
            level = regime.start_level
            ptep = regime.root + (ipa >> self.granule.level_shift(level))
        result = walk_from(self.arena, regime, ipa, access, level, ptep)
        for table_level, _, table_entry in result.tables:
            tlb.fill_table(ipa, table_level, table_entry)
        if result.fault == NONE:
            tlb.fill_leaf(ipa, result.level, result.entry)
        return result

    def speculate(self, cpu: int, vmid: int, regime: Regime, ipa: int) -> Walk:
        """Let *cpu* walk ahead of any access: the result stays in its TLB, whatever it permits."""
        result = self.translate(cpu, vmid, regime, ipa, READ)
        if result.fault == PERMISSION and result.ptep >= 0:
            self.tlbs[vmid - 1][cpu].fill_leaf(ipa, result.level, result.entry)
        return result

    def evict(self, cpu: int, vmid: int, ipa: int) -> None:
        """Remove the entries for *ipa* from the TLB of *cpu*, which hardware may do at any time."""
        self.tlbs[vmid - 1][cpu].evict(ipa)

    def drop(self, done: Invalidation) -> None:
        if done.hint == MISFIT:
            return
        if done.vmid == ALL_VMIDS:
            for vm in self.tlbs:
                self.drop_from(vm, done)
        elif 0 < done.vmid <= len(self.tlbs):
            self.drop_from(self.tlbs[done.vmid - 1], done)

    def drop_from(self, vm: list[CpuTlb], done: Invalidation) -> None:
        """Drop entries of one VM from the TLBs on which a TLBI acts."""
        op = done.op
        for tlb in vm if done.cpu == EVERYWHERE else [vm[done.cpu]]:
            if op == VMALLE1:
                if tlb.combined:
                    tlb.combined.clear()
            elif op == RIPAS2E1:
                tlb.invalidate_range(done.ipa, done.size, done.hint)
            elif op in (VMALLS12E1, ALLE1):
                tlb.invalidate_all()
            else:
                tlb.invalidate_ipa(done.ipa, done.hint, last_level(op))

    def clean_and_invalidate(self, pa: int, size: int) -> None:
        self.memory.clean_and_invalidate(pa, size)

    def invalidate_icache(self, pa: int, size: int) -> None:
        self.memory.invalidate_icache(pa, size)

    def invalidate_icache_all(self) -> None:
        self.memory.invalidate_icache_all()
