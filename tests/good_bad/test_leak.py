# SPDX-License-Identifier: GPL-2.0-only
"""leak: nothing is left of a VM after its destruction."""

from reference.pgtable import Pgtable, kvm_pgtable

from .case import Case, broken, each
from .switched import Coalesce, Unmap


class FreeRootOnly(Pgtable):
    def stage2_free_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        return 0


class KeepRoot(Pgtable):
    def kvm_pgtable_stage2_destroy(self, pgt: kvm_pgtable) -> None:
        self.k.get_page(self.k.virt_to_page(pgt.pgd))
        super().kvm_pgtable_stage2_destroy(pgt)


TABLES = "leak: kvm_free_stage2_pgd: table pages left"
PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n"

CASES = (
    Case("tables below the root", TABLES, broken(FreeRootOnly), PAGE),
    Case("the root", TABLES, broken(KeepRoot), PAGE),
    Case("a table that was unmapped", TABLES, Unmap.without("free"), PAGE + "host discard a+0 4K\n"),
    Case(
        "a table that became a block",
        TABLES,
        Coalesce.without("free"),
        "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu0 read a+4K\n",
    ),
)


@each(CASES)
def test_leak_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_leak_bad(case: Case) -> None:
    assert case.first_bad() == case.signature
