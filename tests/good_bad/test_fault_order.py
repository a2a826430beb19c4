# SPDX-License-Identifier: GPL-2.0-only
"""fault-order: sample, look-up, lock, retry, map, mark; a notifier raises its count before it unmaps."""

import pytest

import candidate
from candidate import Candidate
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.language.text import parse
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .case import ORIGINAL, Case, broken, each, violations
from .practice_fault_order import (
    BAD,
    GOOD,
    IGNORED,
    LATE,
    MARKED_EARLY,
    CountsActive,
    CountsActiveLate,
    CountsLate,
    KeepsCount,
    KeepsLock,
    KeepsLockAndSamplesLate,
    MapsNeighbourChecked,
    MapsNeighbourUnchecked,
    Steps,
    steps,
)
from .set_way import SETWAY

ACTIVE = "fault-order: kvm_mmu_notifier_invalidate_range_start: unmapped before mn_active_invalidate_count was raised"
V5_14 = candidate.get("v5.14")
PAGE = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\n"
LOGGED = "vm cpus=1 fwb=on\nslot a size=8K backing=anon log=on\ncpu0 write a+0\n"
RELAXED = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\nlog a on\ncpu0 write a+0\n"
# The look-up breaks copy-on-write. The notifier for this runs between sample and check.
COW = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\nhost share a+0 8K\ncpu0 write a+0\n"
MANY = (
    "vm cpus=2\nslot a size=2M backing=thp\nslot b size=64K backing=anon log=on\nslot d size=8K backing=device\n"
    "cpu0 read a+0\ncpu0 fetch a+4K\ncpu1 write b+0\ncpu1 read b+4K\ncpu1 write b+4K\ncpu0 write d+0\n"
    "host share a+0 64K\ncpu0 write a+0\nhost age a+0 2M\ncpu0 read a+0\nhost discard b+0 64K\ncpu0 write b+0\n"
    "log b get\ncpu0 write b+0\nhost migrate a+0 2M\ncpu0 fetch a+0\n"
)
NAME = "fault-order: kvm_handle_guest_abort: "
COUNT = "fault-order: kvm_mmu_notifier_invalidate_range_start: unmapped before the notifier count was raised"
LEFT = "fault-order: kvm_mmu_notifier_invalidate_range_end: invalidation left in progress"
AFTER = " after a translation fault"


def signatures(version: candidate.Candidate, text: str) -> list[str]:
    """Return the signatures of this checker's violations."""
    found = [violation.signature for violation in violations(version, text)]
    return [signature for signature in found if signature.startswith("fault-order")]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("text", [PAGE, LOGGED, RELAXED, COW, MANY], ids=["page", "logged", "relaxed", "cow", "many"])
def test_right_orders(name: str, text: str) -> None:
    assert signatures(steps(GOOD[name]), text) == []


@pytest.mark.parametrize(("what", "order"), BAD)
def test_wrong_orders(what: str, order: str) -> None:
    assert signatures(steps(order), PAGE) == [NAME + what + AFTER]


@pytest.mark.parametrize(("what", "order"), BAD)
def test_wrong_orders_that_relax(what: str, order: str) -> None:
    assert signatures(steps(order), RELAXED)[1:] == [NAME + what + " after a permission fault"]


def test_a_wrong_order_causes_no_other_violation() -> None:
    """The wrong order does no harm unless another actor interferes."""
    for what, order in BAD:
        found = [violation.signature for violation in violations(steps(order), PAGE)]
        assert found == [NAME + what + AFTER]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (GOOD["6.1"], []),
        (Steps.order, [NAME + "notifier sequence sampled after the mmap lock was dropped" + AFTER]),
        # The second sample may be the one that is passed on. In the next order, no VMA was looked up.
        ("topup mmap vma sample munmap sample rmb look-up lock retry map mark unlock release", []),
        ("topup mmap munmap sample rmb look-up lock retry map mark unlock release", []),
        # The VMA is looked up again under another hold of the lock.
        ("topup mmap vma munmap mmap vma sample munmap look-up lock retry map mark unlock release", []),
    ],
)
def test_the_sample_comes_before_the_mmap_lock_is_dropped(order: str, expected: list[str]) -> None:
    class Under(Steps):
        SAMPLES_UNDER_MMAP = True

    Under.order = order
    assert signatures(broken(mmu=Under), PAGE) == expected
    assert signatures(steps(order), PAGE) == []


def test_a_fault_that_begins_with_the_lock_held() -> None:
    """The sample must come before the look-up even if the lock is held."""
    assert signatures(broken(mmu=KeepsLock), PAGE) == []
    assert signatures(broken(mmu=KeepsLockAndSamplesLate), PAGE) == [NAME + LATE + AFTER]


@pytest.mark.parametrize("order", MARKED_EARLY)
def test_marked_too_early(order: str) -> None:
    found = [violation.signature for violation in violations(steps(order), LOGGED)]
    assert found == [NAME + "marked dirty before it was mapped writable" + AFTER]
    assert signatures(steps(order), PAGE) == []


CASES = (
    Case(
        "no retry where one is asked for",
        NAME + "mapped in spite of mmu_notifier_retry()" + AFTER,
        steps(IGNORED),
        COW,
        broken(mmu=Steps),
    ),
    Case(
        "a neighbour without a check",
        NAME + "mapped without mmu_notifier_retry()" + AFTER,
        broken(mmu=MapsNeighbourUnchecked),
        PAGE,
        broken(mmu=MapsNeighbourChecked),
    ),
)


@each(CASES)
def test_fault_order_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_fault_order_bad(case: Case) -> None:
    assert case.signature in [violation.signature for violation in violations(case.bad, case.text)]


def test_a_frame_without_a_look_up_needs_no_check() -> None:
    text = "vm cpus=1\nslot a size=8K backing=anon log=on\ncpu0 cache on\ncpu0 write a+0\ncpu0 setway\ncpu0 read a+0\n"
    assert signatures(SETWAY, text + "host discard a+0 4K\ncpu0 write a+0\ncpu0 setway\ncpu0 read a+0\n") == []


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        (CountsLate, [COUNT]),
        (KeepsCount, [LEFT]),
        (KvmMain, []),
    ],
)
@pytest.mark.parametrize("what", ["host discard a+0 2M", "host share a+0 4K\ncpu0 write a+0"])
def test_the_count_is_raised_first_and_lowered_at_the_end(main: type[KvmMain], expected: list[str], what: str) -> None:
    text = f"s2fuzz 1\nvm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 write a+0\n{what}\n"
    program = parse(text)
    executor = Executor(ORIGINAL, program)
    for guest in executor.side.guests:
        guest.main = guest.notified.main = main(guest.kvm, executor.side.mmu)
    executor.create()
    found: list[str] = []
    for at in range(len(program.operations)):
        found += [violation.signature for violation in executor.step(at)[1]]
    assert found[: len(expected)] == expected
    assert [signature for signature in found if signature.startswith("fault-order")] == expected


def test_an_access_that_is_retried_forever_follows_from_the_count() -> None:
    program = parse("s2fuzz 1\nvm cpus=1\nslot a size=4K backing=anon\nhost discard a+0 4K\ncpu0 write a+0\n")
    executor = Executor(ORIGINAL, program)
    for guest in executor.side.guests:
        guest.main = guest.notified.main = KeepsCount(guest.kvm, executor.side.mmu)
    executor.create()
    (left,) = executor.step(0)[1]
    (stuck,) = executor.step(1)[1]
    assert (left.signature, left.follows) == (LEFT, None)
    assert (stuck.signature, stuck.follows) == ("progress: kvm_handle_guest_abort: access does not complete", left)


@pytest.mark.parametrize(("main", "expected"), [(CountsActive, []), (CountsActiveLate, [ACTIVE])])
def test_an_active_notifier_is_counted_before_it_unmaps(main: type[KvmMain], expected: list[str]) -> None:
    version = Candidate("counts", Pgtable, Mmu, "for a test", main=main)
    found = [violation.signature for violation in violations(version, f"{PAGE}host discard a+0 4K\n")]
    assert found == expected


def test_a_vcpu_that_finishes_during_a_notifier() -> None:
    """The notifier continues and lowers its count."""
    text = (
        "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 write a+0\ncpu0 write a+4K\npar\nhost0 discard a+0 4K\n"
        "cpu0 read a+4K\nswitch host0 to cpu0 before change 1\nend\n"
    )
    assert signatures(ORIGINAL, text) == []


def test_a_table_for_the_next_page_is_not_a_leaf_of_the_fault() -> None:
    """The fault maps the last page of a table. The next page gets a new table after the fault is marked dirty."""
    text = "vm cpus=1\nslot a size=4M backing=anon log=on\ncpu0 write a+2044K\n"
    assert signatures(broken(mmu=MapsNeighbourChecked), text) == []


def test_right_versions_show_nothing() -> None:
    generator = Generator(42)
    versions = [*[steps(order) for order in GOOD.values()], SETWAY, broken(mmu=MapsNeighbourChecked)]
    for number in range(120):
        program = generator.next()
        executor = Executor(versions[number % len(versions)], program)
        found = executor.create()
        for at in range(len(program.operations)):
            if executor.dead:
                break
            found += executor.step(at)[1]
        assert [violation.signature for violation in found if violation.checker == "fault-order"] == []
