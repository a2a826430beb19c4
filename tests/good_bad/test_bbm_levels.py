# SPDX-License-Identifier: GPL-2.0-only
"""bbm on CPUs with FEAT_BBM: the size of a live mapping may change without a break, nothing else."""

from typing import ClassVar, Final

import pytest

from candidate import Candidate
from candidate.rfc_v1_3 import MmuRfcV1_3, PgtableRfcV1_3
from fuzz.judging.differential import Differential
from fuzz.language.text import parse
from reference.kvm import kvm
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import KVM_PTE_LEAF_ATTR_LO_S2_MEMATTR, KVM_PTE_TYPE, KVM_PTE_VALID, stage2_map_data

from .case import ORIGINAL, violations
from .switched import Split

TEXT: Final = "vm cpus=2 bbm={}\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu0 write a+4K\ncpu1 read a+8K\n"
COALESCE: Final = (
    "vm cpus=2 fwb=on dic=on bbm={}\nslot a size=2M backing=thp log=on\ncpu0 write a+0\nlog a off\ncpu1 read a+4K\n"
)
FIRST: Final = "bbm: stage2_map_walker: block->table"


class MainWithBbm(KvmMain):
    HAS_BBM: ClassVar[bool] = True

    def __init__(self, kvm: kvm, mmu: Mmu) -> None:
        super().__init__(kvm, mmu)


class SplitsLive(Split):
    """Replaces a live block by a table of pages, then flushes the block.

    *by*: difference of each page to the right one; *flushes*: flush the block
    """

    out = frozenset({"break", "flush"})
    by = 0
    flushes = True

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        old = self.mem[ptep]
        ret = super().stage2_map_walk_leaf(addr, end, level, ptep, data)
        if level == 2 and self.kvm_pte_valid(old) and self.kvm_pte_table(self.mem[ptep], level) and self.flushes:
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, 0)
        return ret

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        old = self.mem[ptep]
        if self.kvm_pte_valid(old):
            for index in range(self.PTRS_PER_PTE):
                self.k.WRITE_ONCE(childp + index, (old | KVM_PTE_TYPE) + index * self.PAGE_SIZE ^ self.by)
                self.k.get_page(self.k.virt_to_page(childp))
        pte = self.kvm_phys_to_pte(self.k.__pa__(childp)) | KVM_PTE_TYPE | KVM_PTE_VALID
        self.k.smp_store_release(ptep, pte)


class OtherFrames(SplitsLive):
    by = 0x1000


class OtherType(SplitsLive):
    by = KVM_PTE_LEAF_ATTR_LO_S2_MEMATTR ^ 1 << 2


class CoalescesLive(PgtableRfcV1_3):
    """Replaces a live table by a block, then flushes all.

    *by*: difference of the block to the right one
    """

    by = 0

    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        self.k.smp_store_release(ptep, self.kvm_init_valid_leaf_pte(data.phys, data.attr, level) ^ self.by)
        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        data.phys += self.kvm_granule_size(level)


class CoalescesElsewhere(CoalescesLive):
    by = 2 << 20


class NoFlush(SplitsLive):
    flushes = False


def found(pgtable: type[SplitsLive], bbm: str) -> list[str]:
    """Return the signatures of the violations of a version on `TEXT`."""
    version = Candidate("resizing", pgtable, Mmu, "for a test", main=MainWithBbm)
    return [each.signature for each in violations(version, TEXT.format(bbm))]


def test_a_size_changes_without_a_break() -> None:
    assert found(SplitsLive, "on") == []
    assert found(SplitsLive, "off")[0] == f"{FIRST} without break L2"


@pytest.mark.parametrize("pgtable", [OtherFrames, OtherType])
def test_nothing_else_changes_without_a_break(pgtable: type[SplitsLive]) -> None:
    assert f"{FIRST} without break L2" in found(pgtable, "on")


def test_the_block_is_flushed_all_the_same() -> None:
    assert found(NoFlush, "on")[0].startswith("tlb: stage2_map_walker: leaf ")


def test_a_block_replaces_a_live_table() -> None:
    live = Candidate("resizing", CoalescesLive, MmuRfcV1_3, "for a test", main=MainWithBbm)
    other = Candidate("resizing", CoalescesElsewhere, MmuRfcV1_3, "for a test", main=MainWithBbm)
    coalesced = "bbm: stage2_map_walker: table->block without break L2"
    assert violations(live, COALESCE.format("on")) == []
    assert coalesced in [each.signature for each in violations(live, COALESCE.format("off"))]
    assert coalesced in [each.signature for each in violations(other, COALESCE.format("on"))]


def test_a_version_without_it_has_no_verdict() -> None:
    verdict = Differential(ORIGINAL, ORIGINAL).run(parse("s2fuzz 1\n" + TEXT.format("on")))
    assert verdict.refused == "FEAT_BBM (bbm=), which original does not have"
