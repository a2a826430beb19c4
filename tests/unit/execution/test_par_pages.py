# SPDX-License-Identifier: GPL-2.0-only
"""Pages that the host removes in a par block: they are freed when its operation is over."""

from typing import Final

import pytest

from candidate import Candidate
from reference.kvm import kvm
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from ..block_run import Run

HEAD: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 write a+0\n"
BLOCK: Final = HEAD + "par\nhost0 {}\ncpu0 read a+0\n{}end\n"
TAKEN: Final = "isolation: {}: access to a page that is taken away, through the TLB L3"
FREED: Final = "isolation: {}: access to a frame not owned, through the TLB L3"


class Deaf(Mmu):
    """Unmaps nothing when the host removes pages."""

    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        return 0


DEAF: Final = Candidate("deaf", Pgtable, Deaf, "does not unmap")


@pytest.mark.parametrize("operation", ["discard a+0 4K", "migrate a+0 4K", "unmap a+0 4K", "poison a+0"])
def test_a_page_is_freed_last(operation: str) -> None:
    # munmap() has sent a notification before, for a new boundary of its area.
    number = 2 if operation.startswith("unmap") else 1
    for place, wrong in ((f"after change {number}", TAKEN), (f"after end {number}", TAKEN), ("", FREED)):
        switch = f"switch host0 to cpu0 {place}\n" if place else ""
        run = Run(DEAF, BLOCK.format(operation, switch))
        found = {violation.signature.replace(violation.function, "{}") for violation in run.violations}
        assert wrong in found, (place, found)
        assert ({TAKEN, FREED} - {wrong}).isdisjoint(found)
        # Until it is freed, the page holds the data that the guest has written.
        assert (run.outcomes[1].parts[1].value == 1) == (wrong == TAKEN)


class Silent(KvmMain):
    """Unmaps, but does not notify faults of the change."""

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.k.lock("srcu")
        self.k.lock("mmu")
        self.mmu.kvm_unmap_hva_range(self.kvm, start, end, blockable)
        self.k.unlock("mmu")
        self.k.unlock("srcu")

    def invalidate_range_end(self) -> None:
        pass


def test_a_page_held_by_a_fault_is_freed_when_the_fault_is_over() -> None:
    """Map a page that a vCPU looked up earlier; another vCPU reads it before its reference is dropped and after."""
    version = Candidate("silent", Pgtable, Mmu, "does not tell", main=Silent)
    run = Run(
        version,
        "s2fuzz 1\nvm\nslot a size=2M backing=anon\npar\ncpu0 write a+0\nhost0 discard a+0 4K\ncpu1 read a+0\n"
        "switch cpu0 to host0 after lookup 1\nswitch host0 to cpu0 after end 1\nswitch cpu0 to host0 before unlock 1\n"
        "end\ncpu1 read a+0\n",
    )
    assert run.outcomes[0].detail == ""
    found = [(violation.at, violation.what) for violation in run.violations if violation.checker == "isolation"]
    assert found[0] == (0, "access to a page that is taken away, through the tables")
    assert (1, "access to a frame not owned, through the TLB") in found


def test_parts_of_a_huge_page_are_freed_last() -> None:
    """Discard a part, which splits the huge page."""
    run = Run(DEAF, BLOCK.format("discard a+0 4K", "switch host0 to cpu0 before end 2\n").replace("anon", "thp"))
    assert any("taken away" in violation.signature for violation in run.violations)
    assert not any("not owned" in violation.signature for violation in run.violations)


def test_a_correct_version_has_no_violation() -> None:
    for place in ("before change 1", "after change 1", "after end 1"):
        run = Run("original", BLOCK.format("discard a+0 4K", f"switch host0 to cpu0 {place}\n"))
        assert (place, run.violations) == (place, [])


MERGE_BESIDE_MIGRATE: Final = """\
s2fuzz 1
vm cpus=1
slot a ipa=1G size=2056K backing=anon
cpu0 read a+2M
par
  host0 merge a+2052K
  cpu0 read a+0
  host1 migrate a+2052K 4K
  switch host0 to cpu0 before change 1
  switch cpu0 to host1 after lock 1
end
"""
ZEROES_BESIDE_DISCARD: Final = """\
s2fuzz 1
vm cpus=1
slot a ipa=1G size=2052K backing=thp
host discard a+0 2M
par
  host0 discard a+2044K 8K
  cpu0 read a+0
  switch host0 to cpu0 before unlock 1 fault=2
end
"""


def test_a_page_does_not_change_while_another_thread_notifies_of_it() -> None:
    """Check that ``change_pte()`` is called under the page table lock, for which a migration of the page must wait."""
    run = Run("original", MERGE_BESIDE_MIGRATE)
    assert run.violations == []
    assert run.count("waits for the page table lock, which host0 holds") == 1


def test_a_huge_page_mapped_after_a_discard_stays_whole() -> None:
    run = Run("original", ZEROES_BESIDE_DISCARD)
    assert run.violations == []
    assert run.count("block(2M)@") > 0
