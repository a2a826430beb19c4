# SPDX-License-Identifier: GPL-2.0-only
"""page-reference: a fault's frame is pinned while it is mapped, marked, and released once, on every path."""

from typing import ClassVar

import pytest

from candidate import Candidate
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.kvm_host import KvmHost
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .case import EVERYWHERE, ORIGINAL, Case, broken, each, violations


class Hosted(Mmu):
    """The original's mmu.c with other functions below it."""

    host: ClassVar[type[KvmHost]] = KvmHost

    def __init__(self, host: KvmHost, pgtable: Pgtable) -> None:
        below = self.host(host.k, host.mm)
        below.pins = host.pins
        super().__init__(below, pgtable)


def with_host(host: type[KvmHost]) -> Candidate:
    """Return a candidate that calls *host*'s functions."""
    return broken(mmu=type("Hosted", (Hosted,), {"host": host}))


class NotDirty(KvmHost):
    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        pass


class NotDirtyAfterPermissionFault(KvmHost):
    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        if "permission" not in self.k.cause:
            super().kvm_set_pfn_dirty(pfn)


class DirtyTooLate(KvmHost):
    """Marks the page after its reference is dropped."""

    late = -1

    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        self.late = pfn

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        super().kvm_release_pfn_clean(pfn)
        if self.late >= 0:
            super().kvm_set_pfn_dirty(self.late)


class AccessedTooLate(KvmHost):
    """Marks the page after its reference is dropped."""

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        pass

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        super().kvm_release_pfn_clean(pfn)
        super().kvm_set_pfn_accessed(pfn)


class MarksWhatTheLockHolds(KvmHost):
    """Drops the reference, then marks the page. Freeing the page would have to wait for the mmu lock."""

    def kvm_set_pfn_dirty(self, pfn: int) -> None:
        super().kvm_release_pfn_clean(pfn)
        super().kvm_set_pfn_dirty(pfn)
        super().kvm_set_pfn_accessed(pfn)

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        pass

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        pass


class NotAccessed(KvmHost):
    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        pass


class NotAccessedAfterAgeing(KvmHost):
    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        if "access flag" not in self.k.cause:
            super().kvm_set_pfn_accessed(pfn)


class AccessedNextFrame(KvmHost):
    """Marks the next frame."""

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        super().kvm_set_pfn_accessed(pfn + 1)


class MarksUnderTheLock(Mmu):
    def handle_access_fault(self, vcpu: kvm_vcpu, fault_ipa: int) -> None:
        self.k.lock("mmu")
        pgt = vcpu.kvm.pgt
        assert pgt is not None
        kpte = self.p.kvm_pgtable_stage2_mkyoung(pgt, fault_ipa)
        if self.p.kvm_pte_valid(kpte):
            self.h.kvm_set_pfn_accessed(self.p.kvm_pte_to_phys(kpte) >> self.PAGE_SHIFT)
        self.k.unlock("mmu")


class PinTwice(KvmHost):
    def gfn_to_pfn_prot(self, kvm: kvm, gfn: int, write_fault: bool) -> tuple[int, bool]:
        pfn, writable = super().gfn_to_pfn_prot(kvm, gfn, write_fault)
        self.kvm_get_pfn(pfn)
        return pfn, writable


class KeepAfterPermissionFault(KvmHost):
    def kvm_release_pfn_clean(self, pfn: int) -> None:
        if "permission" not in self.k.cause:
            super().kvm_release_pfn_clean(pfn)


class KeepOnRetry(Mmu):
    """Keeps the frame if a notifier ran in between. The guest then faults again, which pins another frame."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        before = vcpu.kvm.mmu_notifier_seq
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        if vcpu.kvm.mmu_notifier_seq != before:
            run = self.h.mm.run_at(hva)
            assert run is not None
            self.retried(self.h.mm.pfn_in(run, hva))
        return ret

    def retried(self, pfn: int) -> None:
        self.h.kvm_get_pfn(pfn)


class DirtyOnRetry(KeepOnRetry):
    """Marks the frame dirty if a notifier ran in between and took it away."""

    def retried(self, pfn: int) -> None:
        super().retried(pfn)
        self.h.kvm_set_pfn_dirty(pfn)
        self.h.kvm_release_pfn_clean(pfn)


class DirtyIfMapped(KvmHost):
    """Marks each page dirty that a fault maps, also without the right to write."""

    def kvm_set_pfn_accessed(self, pfn: int) -> None:
        super().kvm_set_pfn_accessed(pfn)
        if "translation" in self.k.cause:
            self.kvm_set_pfn_dirty(pfn)


class KeepTail(Mmu):
    """Pins the head of a huge page without releasing the tail."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        size, head, start = super().transparent_hugepage_adjust(memslot, hva, pfn, ipa)
        if size != self.PAGE_SIZE:
            self.h.kvm_get_pfn(pfn)
        return size, head, start


class TailOnly(Mmu):
    """Releases the head of a huge page although the pin stays on the tail."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        size, head, start = super().transparent_hugepage_adjust(memslot, hva, pfn, ipa)
        if size != self.PAGE_SIZE:
            self.h.kvm_release_pfn_clean(head)
            self.h.kvm_get_pfn(pfn)
        return size, head, start


class ReleaseTwice(KvmHost):
    def kvm_release_pfn_clean(self, pfn: int) -> None:
        super().kvm_release_pfn_clean(pfn)
        if "translation" in self.k.cause:
            super().kvm_release_pfn_clean(pfn)


class ReleaseAtOnce(KvmHost):
    """Drops the reference as soon as the frame is known."""

    early = -1

    def gfn_to_pfn_prot(self, kvm: kvm, gfn: int, write_fault: bool) -> tuple[int, bool]:
        pfn, writable = super().gfn_to_pfn_prot(kvm, gfn, write_fault)
        super().kvm_release_pfn_clean(pfn)
        return pfn, writable

    def kvm_release_pfn_clean(self, pfn: int) -> None:
        pass


class PinInNotifier(Mmu):
    """Takes a reference in ``change_pte`` that is never dropped."""

    def kvm_set_spte_hva(self, kvm: kvm, hva: int, pfn: int) -> int:
        self.h.kvm_get_pfn(pfn)
        return super().kvm_set_spte_hva(kvm, hva, pfn)


PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\n"
READ = PAGE + "cpu0 read a+0\n"
LOGGED = PAGE + "log a on\ncpu0 read a+0\ncpu0 write a+0\n"
AGED = READ + "host age a+0 4K\ncpu0 read a+0\n"
HUGE = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+4K\n"
COPIED = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\nhost share a+0 4K\ncpu0 read a+0\ncpu0 write a+0\n"
TRANSLATION, PERMISSION = " after a translation fault", " after a permission fault"
RULE = "page-reference: kvm_handle_guest_abort: "

CASES = (
    Case("writable, not dirty", f"{RULE}mapped writable, not marked dirty{TRANSLATION} L3", with_host(NotDirty), READ),
    Case(
        "a block, not dirty",
        f"{RULE}mapped writable, not marked dirty{TRANSLATION} L2",
        with_host(NotDirty),
        HUGE,
    ),
    Case(
        "made writable, not dirty",
        f"{RULE}mapped writable, not marked dirty{PERMISSION} L3",
        with_host(NotDirtyAfterPermissionFault),
        LOGGED,
    ),
    Case(
        "dirty only after the release",
        f"{RULE}marked dirty, not held{TRANSLATION}",
        with_host(DirtyTooLate),
        READ,
    ),
    Case("not accessed", f"{RULE}mapped, not marked accessed{TRANSLATION} L3", with_host(NotAccessed), READ),
    Case(
        "accessed, not held",
        f"{RULE}marked accessed, not held after an access flag fault",
        ORIGINAL,
        AGED,
        broken(mmu=MarksUnderTheLock),
    ),
    Case(
        "another page accessed",
        f"{RULE}mapped, not marked accessed{TRANSLATION} L3",
        with_host(AccessedNextFrame),
        READ,
    ),
    Case("pinned twice", f"{RULE}frame still pinned{TRANSLATION}", with_host(PinTwice), READ),
    Case(
        "not released after a permission fault",
        f"{RULE}frame still pinned{PERMISSION}",
        with_host(KeepAfterPermissionFault),
        LOGGED,
    ),
    Case("not released on a retry", f"{RULE}frame still pinned{PERMISSION}", broken(mmu=KeepOnRetry), COPIED),
    Case("dirty on a retry", f"{RULE}marked dirty, not mapped{PERMISSION}", broken(mmu=DirtyOnRetry), COPIED),
    Case(
        "dirty, mapped for reading",
        f"{RULE}marked dirty, not mapped{TRANSLATION}",
        with_host(DirtyIfMapped),
        LOGGED,
    ),
    Case("tail and head of a huge page", f"{RULE}frame still pinned{TRANSLATION}", broken(mmu=KeepTail), HUGE),
    Case(
        "head released for the tail", f"{RULE}released more often than pinned{TRANSLATION}", broken(mmu=TailOnly), HUGE
    ),
    Case("released twice", f"{RULE}released more often than pinned{TRANSLATION}", with_host(ReleaseTwice), READ),
    Case("released before it is mapped", f"{RULE}mapped, not pinned{TRANSLATION} L3", with_host(ReleaseAtOnce), READ),
    Case(
        "pinned by a notifier",
        "page-reference: kvm_mmu_notifier_invalidate_range_start: frame still pinned",
        broken(mmu=PinInNotifier),
        READ + "host merge a+0\n",
    ),
)


@each(CASES)
def test_page_reference_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_page_reference_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


OWES_NOTHING = (
    Case("a direct call", "", ORIGINAL, "vm cpus=1\nslot a size=2M backing=thp\ntable map a+0 2M rw\n"),
    Case("device memory", "", ORIGINAL, "vm cpus=1\nslot d size=16K backing=device\ncpu0 write d+0\n"),
    Case(
        "device memory that goes between its look-up and the mmu lock",
        "",
        ORIGINAL,
        "vm cpus=1\nslot d size=4K backing=device\ntable mkold d+0\ntable map d+0 4K r\npar\n"
        "  cpu0 write d+0\n  host0 unmap d+0 4K\n  switch cpu0 to host0 before lock 1\nend\n",
    ),
    Case("a notifier", "", ORIGINAL, READ + "host merge a+0\ncpu0 read a+0\n"),
    Case("a notifier within a fault", "", ORIGINAL, COPIED),
    Case("hardware that sets the access flag", "", ORIGINAL, AGED.replace("fwb=on", "fwb=on haf=on")),
    Case(
        "a host page of many leaves",
        "",
        ORIGINAL,
        "vm ipa=32 cpus=1 fwb=on\nslot a size=1G backing=hugetlb1g\ncpu0 write a+9M\n",
    ),
    Case(
        "a host page of many leaves, mapped again in part",
        "",
        ORIGINAL,
        "vm ipa=32 cpus=1 fwb=on\nslot a size=1G backing=hugetlb1g\ncpu0 write a+0\nlog a on\ncpu0 write a+0\n"
        "log a off\ncpu0 write a+4K\n",
    ),
    Case(
        "a permission fault whose leaf the host takes away before it samples",
        "",
        ORIGINAL,
        "vm\nslot a size=68K backing=thp log=on\ncpu1 read a+8K\ncpu1 read a+64K\npar\n  host0 share a+64K 4K\n"
        "  cpu1 write a+8K\n  switch host0 to cpu1 before lock 1\n  switch cpu1 to host0 after lock 1\nend\n",
    ),
)


@each(OWES_NOTHING)
def test_mappings_that_need_no_reference_and_no_mark(case: Case) -> None:
    assert case.all_good() == []


def test_a_stale_leaf_is_not_also_a_reference_violation() -> None:
    """B05 leaves a moved page mapped: the fault marks the frame that it looked up, but grants the old frame."""
    text = "vm cpus=1\nslot a size=4M backing=anon\ncpu0 write a+2M\nhost discard a+4K 2M\ncpu0 fetch a+2M\n"
    found = {violation.checker for violation in violations(ORIGINAL, text)}
    assert "isolation" in found
    assert "page-reference" not in found


def test_a_leaked_reference_does_not_count_as_held() -> None:
    found = violations(with_host(KeepAfterPermissionFault), LOGGED + "host age a+0 4K\ncpu0 read a+0\n")
    assert [violation.signature for violation in found] == [f"{RULE}frame still pinned{PERMISSION}", EVERYWHERE]


def test_an_access_flag_fault_need_not_mark_the_page() -> None:
    """2362506f7cff (v6.13) leaves marking to ageing, which reads the access flag."""
    version = with_host(NotAccessedAfterAgeing)
    assert Case("", "", version, AGED, version).all_good() == []


@pytest.mark.parametrize(("host", "mark"), [(DirtyTooLate, "dirty"), (AccessedTooLate, "accessed")])
def test_a_mark_after_the_release_is_not_also_missing(host: type[KvmHost], mark: str) -> None:
    found = violations(with_host(host), READ)
    assert [violation.signature for violation in found] == [f"{RULE}marked {mark}, not held{TRANSLATION}"]


def test_a_mark_after_the_release_but_under_the_lock_is_right() -> None:
    assert violations(with_host(MarksWhatTheLockHolds), READ) == []


class KeepsAtAPlace(KeepAfterPermissionFault):
    """Pins at a place, as a compiled tree names it."""

    def gfn_to_pfn_prot(self, kvm: kvm, gfn: int, write_fault: bool) -> tuple[int, bool]:
        self.k.place = "look_up (kvm_main.c:1)"
        found = super().gfn_to_pfn_prot(kvm, gfn, write_fault)
        self.k.place = ""
        return found


class MarksLateAtAPlace(DirtyTooLate):
    def kvm_release_pfn_clean(self, pfn: int) -> None:
        self.k.place = "mark (mmu.c:2)"
        super().kvm_release_pfn_clean(pfn)
        self.k.place = ""


@pytest.mark.parametrize(
    ("host", "text", "place"),
    [
        (KeepsAtAPlace, LOGGED, "look_up (kvm_main.c:1)"),
        (MarksLateAtAPlace, READ, "mark (mmu.c:2)"),
    ],
)
def test_the_place_of_a_wrong_reference_or_mark(host: type[KvmHost], text: str, place: str) -> None:
    assert violations(with_host(host), text)[0].reason.endswith(f"; at {place}")
