# SPDX-License-Identifier: GPL-2.0-only
"""page-reference: a fault's frame is pinned while it is mapped, marked, and released once, on every path."""

import pytest

from reference.kvm import kvm
from reference.kvm_host import KvmHost

from .case import EVERYWHERE, ORIGINAL, Case, broken, each, violations
from .placed import set_place
from .reference_mistakes import (
    AccessedNextFrame,
    AccessedTooLate,
    DirtyIfMapped,
    DirtyOnRetry,
    DirtyTooLate,
    KeepAfterPermissionFault,
    KeepOnRetry,
    KeepTail,
    MarksUnderTheLock,
    MarksWhatTheLockHolds,
    NotAccessed,
    NotAccessedAfterAgeing,
    NotDirty,
    NotDirtyAfterPermissionFault,
    PinInNotifier,
    PinTwice,
    ReleaseAtOnce,
    ReleaseTwice,
    TailOnly,
    with_host,
)

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
        set_place(self.k, "look_up (kvm_main.c:1)")
        found = super().gfn_to_pfn_prot(kvm, gfn, write_fault)
        set_place(self.k, "")
        return found


class MarksLateAtAPlace(DirtyTooLate):
    def kvm_release_pfn_clean(self, pfn: int) -> None:
        set_place(self.k, "mark (mmu.c:2)")
        super().kvm_release_pfn_clean(pfn)
        set_place(self.k, "")


@pytest.mark.parametrize(
    ("host", "text", "place"),
    [
        (KeepsAtAPlace, LOGGED, "look_up (kvm_main.c:1)"),
        (MarksLateAtAPlace, READ, "mark (mmu.c:2)"),
    ],
)
def test_the_place_of_a_wrong_reference_or_mark(host: type[KvmHost], text: str, place: str) -> None:
    assert violations(with_host(host), text)[0].reason.endswith(f"; at {place}")
