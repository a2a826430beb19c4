# SPDX-License-Identifier: GPL-2.0-only
"""contract: no warning, no error that a correct caller would not get."""

from reference.kernel import EINVAL
from reference.kvm_host import kvm
from reference.mmu import Mmu
from reference.pgtable import NULL, Pgtable, stage2_map_data

from .case import Case, broken, each
from .switched import Split


class RefuseToSplit(Pgtable):
    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        fits = self.kvm_block_mapping_supported(addr, end, data.phys, level)
        if data.anchor == NULL and not fits and self.kvm_pte_valid(self.mem[ptep]):
            return -EINVAL
        return super().stage2_map_walk_leaf(addr, end, level, ptep, data)


class BadPointer(Mmu):
    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        return self.p.mem[1 << 60]


PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n"
SPLIT = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu0 write a+0\n"

CASES = (
    Case(
        "warning in the page-table code",
        "contract: kvm_set_table_pte: WARN",
        Split.without("break"),
        SPLIT,
    ),
    Case("error", "contract: kvm_handle_guest_abort: error -22", broken(RefuseToSplit), SPLIT),
    Case(
        "crash",
        "contract: kvm_handle_guest_abort: oops IndexError in kvm_mmu_cache_min_pages",
        broken(mmu=BadPointer),
        PAGE,
    ),
)


@each(CASES)
def test_contract_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_contract_bad(case: Case) -> None:
    assert case.first_bad() == case.signature
