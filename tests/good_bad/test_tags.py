# SPDX-License-Identifier: GPL-2.0-only
"""tags: a frame's tags are cleared once before a guest with MTE gets it.

No registered version supports MTE: the good candidate is the original plus the code of kernels since v5.14.
"""

from typing import ClassVar, Final

from candidate import Candidate
from reference.kernel import Kernel
from reference.kvm import kvm
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable
from reference.services.structs import kvm_mmu_memory_cache

from .case import Case, each


class TagsMain(KvmMain):
    HAS_MTE: ClassVar[bool] = True
    TAGS_HUGETLB: ClassVar[bool] = True

    def __init__(self, kvm: kvm, mmu: Mmu) -> None:
        super().__init__(kvm, mmu)


class Sanitising(Pgtable):
    """Clears the tags of frames that are not flagged, and flags them."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        # PG_mte_tagged
        self.flagged: set[int] = set()

    def sanitise_mte_tags(self, pfn: int, pages: int) -> None:
        for frame in range(pfn, pfn + pages):
            if frame not in self.flagged:
                self.clear_and_flag(frame)

    def clear_and_flag(self, frame: int) -> None:
        self.mte_clear_page_tags(frame)
        self.flagged.add(frame)

    def mte_clear_page_tags(self, pfn: int) -> None:
        for o in self.k.on.tags_cleared:
            o.tags_cleared(pfn, pfn in self.flagged)

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        self.sanitise_mte_tags(phys >> self.k.granule.page_shift, size >> self.k.granule.page_shift)
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)


class Careless(Sanitising):
    def sanitise_mte_tags(self, pfn: int, pages: int) -> None:
        pass


class FirstPageOnly(Sanitising):
    """Clears only the first page."""

    def sanitise_mte_tags(self, pfn: int, pages: int) -> None:
        super().sanitise_mte_tags(pfn, 1)


class FlagsFirst(Sanitising):
    """Flags a page before it clears the tags."""

    def clear_and_flag(self, frame: int) -> None:
        self.flagged.add(frame)
        self.mte_clear_page_tags(frame)


class WholeFolioFlagged(Sanitising):
    """Treats a huge page as cleared if one of its pages is flagged, like bug T1."""

    def sanitise_mte_tags(self, pfn: int, pages: int) -> None:
        super().sanitise_mte_tags(pfn, pages)
        self.flagged.update(range(pfn & -512, (pfn & -512) + 512))


class Forgetful(Sanitising):
    """Does not keep the flags."""

    def sanitise_mte_tags(self, pfn: int, pages: int) -> None:
        super().sanitise_mte_tags(pfn, pages)
        self.flagged.clear()


class StaleFrame(Sanitising):
    """Always clears the tags of the first frame that it mapped."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.first = -1

    def sanitise_mte_tags(self, pfn: int, pages: int) -> None:
        self.first = pfn if self.first < 0 else self.first
        self.mte_clear_page_tags(self.first)


class Late(Sanitising):
    """Clears tags when the guest can already see them."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        ret = Pgtable.kvm_pgtable_stage2_map(self, pgt, addr, size, phys, prot, mc)
        self.sanitise_mte_tags(phys >> self.k.granule.page_shift, size >> self.k.granule.page_shift)
        return ret


def tagging(pgtable: type[Pgtable]) -> Candidate:
    """Return the original with MTE and another pgtable.c."""
    return Candidate("tagging", pgtable, Mmu, "for a test", main=TagsMain)


GOOD: Final = tagging(Sanitising)
PAGE: Final = "vm cpus=1 fwb=on dic=on mte=on\nslot a size=4K backing=anon\n"
BLOCK: Final = "vm cpus=1 fwb=on dic=on mte=on\nslot a size=2M backing=thp\n"
NOT_CLEARED: Final = "tags: stage2_map_walker: mapped, tags not cleared after a translation fault"
CASES: Final = (
    Case("a page", f"{NOT_CLEARED} L3", tagging(Careless), PAGE + "cpu0 write a+0\n", GOOD),
    Case("one page of a block", f"{NOT_CLEARED} L2", tagging(FirstPageOnly), BLOCK + "cpu0 write a+0\n", GOOD),
    Case(
        "pages of a huge page, one by one",
        f"{NOT_CLEARED} L3",
        tagging(WholeFolioFlagged),
        "vm cpus=1 fwb=on dic=on mte=on\nslot a size=2M backing=hugetlb2m log=on\ncpu0 write a+0\ncpu0 write a+4K\n",
        GOOD,
    ),
    Case("too late", f"{NOT_CLEARED} L3", tagging(Late), PAGE + "cpu0 write a+0\n", GOOD),
    Case(
        "flagged first",
        "tags: kvm_handle_guest_abort: flagged before its tags were cleared after a translation fault",
        tagging(FlagsFirst),
        PAGE + "cpu0 write a+0\n",
        GOOD,
    ),
    Case(
        "a second time",
        "tags: kvm_handle_guest_abort: tags cleared again after a translation fault",
        tagging(Forgetful),
        PAGE + "cpu0 write a+0\ntable unmap a+0 4K\ncpu0 write a+0\n",
        GOOD,
    ),
    Case(
        "a frame that was given back",
        "tags: kvm_handle_guest_abort: tags of a frame not owned cleared after a translation fault",
        tagging(StaleFrame),
        PAGE + "cpu0 write a+0\nhost discard a+0 4K\ncpu0 write a+0\n",
        GOOD,
    ),
)
# Frames that a leaf has mapped before and frames that a direct call maps break no rule.
SILENT: Final = (
    BLOCK + "cpu0 write a+0\nlog a on\ncpu0 write a+4K\n",
    BLOCK + "cpu0 write a+0\nhost split a+0\ncpu0 read a+8K\ncpu0 write a+8K\n",
    PAGE + "table map a+0 4K rw\ncpu0 write a+0\n",
    PAGE + "cpu0 read a+0\ncpu0 write a+0\nhost discard a+0 4K\ncpu0 write a+0\n",
    PAGE.replace("vm ", "vm vms=2 ").replace("4K", "8K")
    + "slot b size=8K backing=anon vm=1 alias=a\ncpu0 write a+0\ncpu1 write b+0\nhost discard a+0 8K\ncpu0 write a+0\n",
)


@each(CASES)
def test_tags_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_tags_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


@each([Case(f"silent {number}", "none", GOOD, text, GOOD) for number, text in enumerate(SILENT)])
def test_tags_silent(case: Case) -> None:
    assert case.all_good() == []


def test_no_tags_without_mte() -> None:
    careless = Case("without", "none", tagging(Careless), PAGE.replace(" mte=on", "") + "cpu0 write a+0\n")
    assert careless.first_bad() == "none"
