# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: pages are write-protected after the log is in place, and after its bits are taken."""

import pytest

import candidate
from candidate import Candidate
from fuzz.checkers.log_order import LogOrder, LostLeaf
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.language.operations import SetLog
from fuzz.language.text import parse
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .case import EVERYWHERE, ORIGINAL, Case, all_found, each, violations
from .practice_log_order import (
    HALF_AGAIN,
    PROTECT_BEFORE_LOG,
    PROTECT_TWICE,
    UNMAP_BEFORE_LOG,
    UNMAP_THEN_PROTECT,
    V5_14,
    ClearsLate,
    MarksLateMmu,
    TakesAfterResched,
    TakesLate,
    TakesThenProtectsAgain,
    TakesUnderTheLock,
    TakesWords,
    TakesWordsThenProtectsAgain,
)

BLOCK = "vm\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\n"
PAGES = "vm cpus=1 fwb=on\nslot a size=4M backing=anon\ncpu0 write a+0\ncpu0 write a+2M\nlog a on\n"
SECOND = "vm cpus=1 vms=2\nslot a size=4K backing=anon\nslot b size=4K backing=anon vm=1\ncpu1 write b+0\nlog b on\n"
EARLY = "dirty-log: stage2_attr_walker: write-protected before the log was installed "
UNMAPPED = "dirty-log: stage2_unmap_walker: write-protected before the log was installed "

CASES = (
    Case("a block", EARLY + "L2", PROTECT_BEFORE_LOG, BLOCK, V5_14),
    Case("pages", EARLY + "L3", PROTECT_BEFORE_LOG, PAGES, V5_14),
    Case("protected again", EARLY + "L3", PROTECT_BEFORE_LOG, PAGES, PROTECT_TWICE),
    Case("protected again, in part", EARLY + "L3", HALF_AGAIN, PAGES, PROTECT_TWICE),
    Case("unmapped", UNMAPPED + "L3", UNMAP_BEFORE_LOG, PAGES, UNMAP_THEN_PROTECT),
    Case("the second VM", EARLY + "L3", PROTECT_BEFORE_LOG, SECOND, PROTECT_TWICE),
)


@each(CASES)
def test_log_order_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_log_order_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_the_case_from_practice() -> None:
    """The order is wrong even without a race: the program itself loses no write."""
    text = "s2fuzz 1\n" + BLOCK + "cpu0 write a+0\ncpu0 write a+4K\nlog a get\n"
    found = Differential(V5_14, PROTECT_BEFORE_LOG).run(parse(text)).findings
    assert [(finding.kind, finding.signature) for finding in found] == [("regression", EARLY + "L2")]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("vm manual=set\nslot a size=4K backing=anon\ncpu0 write a+0\nlog a on\n", id="initially set"),
        pytest.param("vm\nslot a size=4K backing=anon log=on\ncpu0 write a+0\nlog a off\n", id="turned off"),
        pytest.param("vm\nslot a size=4K backing=anon log=on\ncpu0 write a+0\nslot a move 3G\n", id="moved"),
        pytest.param("vm\nslot a size=4K backing=anon log=on\ncpu0 write a+0\nslot a delete\n", id="deleted"),
        pytest.param("vm\nslot a size=4K backing=anon\ncpu0 write a+0\ntable wrprotect a+0 4K\n", id="direct"),
        pytest.param(
            "vm\nslot a size=4K backing=anon\nslot a delete\nslot a create log=on\ncpu0 write a+0\n", id="created"
        ),
    ],
)
@pytest.mark.parametrize("version", [V5_14, PROTECT_BEFORE_LOG, PROTECT_TWICE, UNMAP_THEN_PROTECT])
def test_no_false_alarm(text: str, version: candidate.Candidate) -> None:
    found = [violation.signature for violation in violations(version, text)]
    assert [signature for signature in found if "write-protected before" in signature] == []


LOGGED = "s2fuzz 1\nvm cpus=1 fwb=on\nslot a size=4M backing=anon log=on\ncpu0 write a+0\ncpu0 write a+2M\n"
MANUAL = LOGGED.replace("fwb=on", "fwb=on manual=on")
LATE = ["dirty-log: stage2_attr_walker: write-protected before its bits were taken L3"]


def with_main(main: type[KvmMain], text: str) -> list[str]:
    """Return the violations of the original on another kvm_main.c."""
    program = parse(text)
    executor = Executor(ORIGINAL, program)
    for guest in executor.side.guests:
        guest.main = guest.notified.main = main(guest.kvm, executor.side.mmu)
    found = executor.create()
    for at in range(len(program.operations)):
        found += executor.step(at)[1]
    return [violation.signature for violation in found + executor.destroy()]


@pytest.mark.parametrize(
    ("main", "text", "expected"),
    [
        (TakesLate, LOGGED + "log a get\n", LATE),
        (TakesAfterResched, LOGGED + "log a get\n", LATE),
        (TakesUnderTheLock, LOGGED + "log a get\n", []),
        (TakesThenProtectsAgain, LOGGED + "log a get\n", []),
        (KvmMain, LOGGED + "log a get\n", []),
        (ClearsLate, MANUAL + "log a get\nlog a clear 0 4M\n", LATE),
        (KvmMain, MANUAL + "log a get\nlog a clear 0 4M\n", []),
    ],
)
def test_bits_are_taken_before_or_under_one_lock(main: type[KvmMain], text: str, expected: list[str]) -> None:
    assert with_main(main, text) == expected


@pytest.mark.parametrize(
    ("mmu", "main", "expected"),
    [
        (MarksLateMmu, TakesWords, LATE),
        (Mmu, TakesWords, []),
        (MarksLateMmu, TakesUnderTheLock, []),
        (MarksLateMmu, TakesWordsThenProtectsAgain, []),
        (MarksLateMmu, KvmMain, []),
    ],
)
def test_whole_words_are_taken_first_if_faults_mark_pages_without_the_lock(
    mmu: type[Mmu], main: type[KvmMain], expected: list[str]
) -> None:
    """An exchange takes bits that were set after the look at the word; their pages were not protected."""
    found = all_found(Candidate("broken", Pgtable, mmu, "for a test", main=main), parse(LOGGED + "log a get\n"))
    assert [each.signature for each in found if each.signature != EVERYWHERE] == expected


def test_a_block_across_many_words_is_in_order() -> None:
    """The first word's collection protects the whole block, and each later one walks its part again."""
    text = "s2fuzz 1\nvm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\n"
    text += "cpu0 write a+0\ncpu0 write a+1M\nlog a get\ncpu0 write a+512K\ncpu0 write a+1M\nlog a get\n"
    for version in (Candidate("late", Pgtable, MarksLateMmu, "for a test"), V5_14):
        assert [each.signature for each in all_found(version, parse(text))] == []


BESIDE = "par\nuser0 log a {}\ncpu0 write a+0\n{}end\ncpu0 write a+0\nlog a get\n"


@pytest.mark.parametrize(("main", "expected"), [(TakesLate, LATE), (TakesUnderTheLock, []), (KvmMain, [])])
def test_collections_during_a_vcpus_writes_are_judged(main: type[KvmMain], expected: list[str]) -> None:
    """The vCPU runs in between or not. Nothing runs concurrently with the last collection."""
    assert with_main(main, LOGGED + BESIDE.format("get", "")) == expected * 2
    text = LOGGED + BESIDE.format("get", "switch user0 to cpu0 after flush 1\n")
    found = with_main(main, text)
    lost = "dirty-log: kvm_vm_ioctl_get_dirty_log: write through a writable leaf not reported L3"
    assert [each for each in found if each.startswith("dirty-log")] == expected + [lost] * bool(expected)


def test_concurrent_unmaps_of_others_are_not_attributed_to_the_caller() -> None:
    text = LOGGED + "par\nuser0 log a get\nhost0 discard a+0 4K\nswitch user0 to host0 {}\nend\nlog a get\n"
    for place in ("before lock 1", "after unlock 1"):
        assert (place, with_main(KvmMain, text.format(place))) == (place, [])


def test_a_log_that_begins_during_a_vcpus_writes_is_judged() -> None:
    text = "s2fuzz 1\n" + PAGES.replace("log a on\n", "") + BESIDE.format("on", "")
    found = [violation.signature for violation in all_found(PROTECT_BEFORE_LOG, parse(text))]
    assert EARLY + "L3" in found
    for version in (V5_14, PROTECT_TWICE, UNMAP_THEN_PROTECT):
        assert [violation.signature for violation in all_found(version, parse(text))] == []


def test_a_bitmap_word_across_two_root_entries() -> None:
    """The lock may be dropped in the middle of a word, after some of its bits were taken."""
    text = "s2fuzz 1\nvm cpus=1 fwb=on\nslot a ipa=1022M size=4M backing=thp\ncpu0 write a+0\ncpu0 write a+2M\n"
    text += "log a on\n"
    text += "cpu0 write a+2044K\ncpu0 write a+2M\ncpu0 write a+2052K\nlog a get\nlog a get\n"
    assert with_main(KvmMain, text) == []


def test_correct_versions_show_nothing() -> None:
    generator = Generator(41)
    for _ in range(60):
        program = generator.next()
        for version in (PROTECT_TWICE, UNMAP_THEN_PROTECT):
            for finding in Differential(V5_14, version).run(program).findings:
                assert "write-protected before" not in finding.signature


@pytest.mark.parametrize(("actor", "owing"), [(1, True), (2, False)])
def test_only_the_calls_own_bits_and_slots_require_protection(actor: int, owing: bool) -> None:
    """A concurrent vCPU may empty the dirty rings, which must not count for the pages that the call has protected."""
    for event in ("taken", "installed"):
        executor = Executor(ORIGINAL, parse("s2fuzz 1\nvm\nslot a size=4K backing=anon\nlog a on\n"))
        executor.create()
        executor.step(0)
        checker = next(each for each in executor.checkers.all if isinstance(each, LogOrder))
        side = executor.side
        side.kernel.actor = 1
        checker.actor_begins(SetLog("a", True))
        checker.lost.append(LostLeaf(1 << 30, 3, 4096, "stage2_attr_walker", True))
        checker.lock_dropped()
        side.kernel.actor = actor
        vmid, number = side.guests[0].vmid, side.by_name["a"].id
        if event == "taken":
            checker.log_taken(vmid, number, (1 << 30) >> 12, 1, False)
        else:
            checker.slots_installed(vmid, number, 1, True)
        assert (event, checker.owing) == (event, owing)


@pytest.mark.parametrize(("main", "expected"), [(TakesLate, LATE), (TakesUnderTheLock, []), (KvmMain, [])])
def test_concurrent_collections_are_judged_separately(main: type[KvmMain], expected: list[str]) -> None:
    """The second collection waits for the first, and is judged only by its own actions."""
    slots = LOGGED.replace("log=on\n", "log=on\nslot b ipa=3G size=4M backing=anon log=on\n")
    block = "cpu0 write b+0\npar\nuser0 log b get\nuser1 log a get\nswitch user0 to user1 {}\nend\n"
    for place in ("after lock 1", "after unlock 1"):
        assert with_main(main, slots + block.format(place)) == expected * 2
