# SPDX-License-Identifier: GPL-2.0-only
"""fault-order: a guest_memfd unmaps a page before the page leaves the file.

Ports have no guest_memfd. Here their notifiers lose the pages of a file, before or after they unmap the range.
"""

from typing import Final

from candidate import Candidate
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .case import Case, each, violations


class Loses(KvmMain):
    """The pages leave their file when they are unmapped."""

    early = False

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        if self.early:
            self.lose(start, end)
        super().invalidate_range_start(start, end, blockable)
        if not self.early:
            self.lose(start, end)

    def lose(self, start: int, end: int) -> None:
        for o in self.k.on.file_loses:
            o.file_loses(start, end)


class LosesEarly(Loses):
    """The pages leave their file first."""

    early = True


GOOD: Final = Candidate("late", Pgtable, Mmu, "for a test", main=Loses)
BAD: Final = Candidate("early", Pgtable, Mmu, "for a test", main=LosesEarly)
SIGNATURE: Final = (
    "fault-order: kvm_mmu_notifier_invalidate_range_start: page left the guest_memfd before it was unmapped"
)
HEAD: Final = "vm cpus=1\nslot a size=4M backing=thp\n"
CASES: Final = (
    Case("a page", SIGNATURE, BAD, f"{HEAD}host split a+0\ncpu0 write a+4K\nhost discard a+4K 8K\n", GOOD),
    Case("part of a block", SIGNATURE, BAD, f"{HEAD}cpu0 write a+0\nhost discard a+1M 4K\n", GOOD),
)


@each(CASES)
def test_file_order_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_file_order_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_pages_that_the_tables_do_not_map_may_leave_the_file() -> None:
    assert violations(BAD, f"{HEAD}host split a+0\ncpu0 write a+4K\nhost discard a+8K 8K\n") == []


def test_the_pages_are_those_that_left() -> None:
    program = f"{HEAD}host split a+0\ncpu0 write a+4K\ncpu0 write a+8K\ncpu0 write a+12K\nhost discard a+4K 8K\n"
    (found,) = violations(BAD, program)
    assert list(found.pages.ranges) == [(0x40001000, 0x40003000)]
    assert found.reason.startswith("2 leaf(s), the first at 0x40001000, are still mapped when the pages leave")
