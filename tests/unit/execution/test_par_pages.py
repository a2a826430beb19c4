# SPDX-License-Identifier: GPL-2.0-only
"""Pages that the host takes away in a par block: they are freed when its operation is over."""

from typing import Final

import pytest

from candidate import Candidate
from reference.kvm_host import kvm
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from ..block_run import Run

HEAD: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 write a+0\n"
BLOCK: Final = HEAD + "par\nhost0 {}\ncpu0 read a+0\n{}end\n"
TAKEN: Final = "isolation: {}: access to a page that is taken away, through the TLB L3"
FREED: Final = "isolation: {}: access to a frame not owned, through the TLB L3"


class Deaf(Mmu):
    """Unmaps nothing when the host takes pages away."""

    def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
        return 0


DEAF: Final = Candidate("deaf", Pgtable, Deaf, "does not unmap")


@pytest.mark.parametrize("operation", ["discard a+0 4K", "migrate a+0 4K", "unmap a+0 4K", "poison a+0"])
def test_a_page_is_freed_last(operation: str) -> None:
    for place, wrong in (("after change 1", TAKEN), ("after end 1", TAKEN), ("", FREED)):
        switch = f"switch host0 to cpu0 {place}\n" if place else ""
        run = Run(DEAF, BLOCK.format(operation, switch))
        found = {violation.signature.replace(violation.function, "{}") for violation in run.violations}
        assert wrong in found, (place, found)
        assert ({TAKEN, FREED} - {wrong}).isdisjoint(found)
        # Until then it holds what the guest has written.
        assert (run.outcomes[1].parts[1].value == 1) == (wrong == TAKEN)


def test_parts_of_a_huge_page_are_freed_last() -> None:
    """The huge page is split within the discard."""
    run = Run(DEAF, BLOCK.format("discard a+0 4K", "switch host0 to cpu0 after change 2\n").replace("anon", "thp"))
    assert any("taken away" in violation.signature for violation in run.violations)
    assert not any("not owned" in violation.signature for violation in run.violations)


def test_a_version_that_unmaps_shows_neither() -> None:
    for place in ("before change 1", "after change 1", "after end 1"):
        run = Run("original", BLOCK.format("discard a+0 4K", f"switch host0 to cpu0 {place}\n"))
        assert (place, run.violations) == (place, [])
