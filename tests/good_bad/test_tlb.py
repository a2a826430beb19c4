# SPDX-License-Identifier: GPL-2.0-only
"""tlb: on return, no CPU can hold an entry that the tables do not justify."""

from reference.kvm import kvm
from reference.mmu import Mmu
from reference.pgtable import NULL, stage2_map_data

from .case import Case, broken, each, violations
from .switched import Coalesce, Split, Unmap

TWO_PAGES = "vm fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\n"


class WriteProtectWithoutFlush(Mmu):
    def kvm_flush_remote_tlbs(self, kvm: kvm) -> None:
        pass


class CoalesceFlushesOneAddress(Coalesce):
    """Keeps the tables, so that only leaves in TLBs can be wrong."""

    out = frozenset({"free"})

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == NULL and self.kvm_block_mapping_supported(addr, end, data.phys, level):
            self.kvm_set_invalid_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, level)
            data.anchor = ptep
        return 0


CASES = (
    Case(
        "unmap a page without flush",
        "tlb: stage2_unmap_walker: leaf not flushed L3",
        Unmap.without("leaf flush"),
        TWO_PAGES + "host discard a+0 4K\n",
    ),
    Case(
        "unmap a block without flush",
        "tlb: stage2_unmap_walker: leaf not flushed L2",
        Unmap.without("leaf flush"),
        "vm fwb=on\nslot a size=4M backing=thp\ncpu0 read a+0\ncpu0 read a+2M\nhost discard a+0 2M\n",
    ),
    Case(
        "unmap a table without flush",
        "tlb: stage2_unmap_walker: table not flushed L2",
        Unmap.without("table flush", "free"),
        "vm fwb=on\nslot a size=4M backing=anon\ncpu0 read a+0\ncpu0 read a+2M\nhost discard a+0 4K\n",
    ),
    Case(
        "write-protect without flush",
        "tlb: stage2_attr_walker: leaf not flushed L3",
        broken(mmu=WriteProtectWithoutFlush),
        TWO_PAGES + "log a on\n",
    ),
    Case(
        "get the log without flush",
        "tlb: stage2_attr_walker: leaf not flushed L3",
        broken(mmu=WriteProtectWithoutFlush),
        "vm fwb=on\nslot a size=8K backing=anon log=on\ncpu0 write a+0\nlog a get\n",
    ),
)

# The first violation is that the flush is missing before the new entry is made.
LATER = (
    Case(
        "split without flush",
        "tlb: stage2_map_walker: leaf not flushed L2",
        Split.without("flush"),
        "vm fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu1 write a+4K\n",
    ),
    Case(
        "two sizes for one address",
        "tlb: stage2_map_walker: two sizes for one address, the other L3 L2",
        broken(CoalesceFlushesOneAddress),
        "vm fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+4K\nlog a off\ncpu0 read a+8K\n",
    ),
)


@each(CASES)
def test_tlb_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_tlb_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


@each(LATER)
def test_tlb_later_bad(case: Case) -> None:
    assert case.all_good() == []
    assert case.signature in [violation.signature for violation in violations(case.bad, case.text)]


@each(CASES)
def test_a_missing_flush_is_one_violation(case: Case) -> None:
    """A CPU that still holds the entry when the VM ends follows from it."""
    found = [violation.what for violation in violations(case.bad, case.text) if violation.checker == "tlb"]
    assert not any(what.startswith("stale") for what in found), found
