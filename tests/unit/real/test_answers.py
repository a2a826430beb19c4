# SPDX-License-Identifier: GPL-2.0-only
"""Output of /init: parsed lines, compared outcomes, stamps on findings."""

from typing import Final

import pytest

from fuzz.checkers import Violation
from fuzz.language.program import Program
from fuzz.language.text import parse as parse_program
from fuzz.real.answers import DESTRUCTION, PANIC, RealAnswers, RealOutcome, complaint, parse
from fuzz.real.compare import differences
from fuzz.real.model import Expected
from fuzz.real.stamp import CONFIRMED, HIDDEN, HIDDEN_RULES, INVISIBLE, JUDGES, NOT_CONFIRMED, Stamp, stamp_of
from fuzz.sides.outcome import Outcome

FUNCTION: Final = "kvm_mmu_memory_cache_alloc"
WARNING: Final = f"WARNING: CPU: 1 PID: 132 at arch/arm64/kvm/../../../virt/kvm/kvm_main.c:471 {FUNCTION}+0x4c/0xa8"
SHORT: Final = f"WARNING at virt/kvm/kvm_main.c:471 {FUNCTION}()"
LINES: Final = (
    "r 0 ok 0",
    "k 1 ------------[ cut here ]------------",
    f"k 1 {WARNING}",
    "r 1 stuck 4096",
    "# migrate: 1 pages stay",
    "r 2 ok log 0:1 3:ff",
    "k -2 WARNING: CPU: 0 PID: 1 at mm/page_alloc.c:1 free_page+0x1/0x2",
    "DONE 0 0.25 8 512",
)


def program(*lines: str) -> Program:
    """Return a program with these operations."""
    return parse_program("\n".join(["s2fuzz 1", "vm", "slot a size=2M backing=thp log=on", *lines, ""]))


def test_lines_of_a_program() -> None:
    answers = parse(LINES)
    assert answers.outcomes == {
        0: RealOutcome("ok", "0"),
        1: RealOutcome("stuck", "4096"),
        2: RealOutcome("ok", "log 0:1 3:ff"),
    }
    assert answers.notes == ["migrate: 1 pages stay"]
    assert (answers.status, answers.seconds, answers.tables) == (0, 0.25, 8)
    assert str(answers.outcomes[1]) == "stuck (4096 exits, and no progress)"
    assert answers.complaints(0) == []
    assert answers.complaints(1) == [SHORT]
    assert answers.complaints() == ["WARNING at mm/page_alloc.c:1 free_page()", SHORT]


@pytest.mark.parametrize(
    "line",
    [
        WARNING,
        f"WARNING: arch/arm64/kvm/../../../virt/kvm/kvm_main.c:471 at {FUNCTION}+0x4c/0xb0, CPU#0: init/90",
        f"WARNING: [!mc->nobjs] arch/arm64/kvm/../../../virt/kvm/kvm_main.c:471 at {FUNCTION}+0x4c/0xb0, CPU#0: init/9",
        f"WARNING: at virt/kvm/kvm_main.c:471 {FUNCTION}+0x4c/0xa8",
    ],
    ids=["old", "new", "with its condition", "short"],
)
def test_warnings_of_all_versions_are_recognised(line: str) -> None:
    assert complaint(line) == SHORT


@pytest.mark.parametrize(
    ("line", "incomplete"),
    [
        ("# migrate: 1 pages stay", True),
        ("# protect: Cannot allocate memory", True),
        ("r -1 error -12 of the VM", True),
        ("# register 1: Invalid argument", False),
        ("r 0 error -12", False),
    ],
)
def test_steps_that_a_machine_could_not_do(line: str, incomplete: bool) -> None:
    assert parse([line]).incomplete is incomplete


def test_a_panic_is_a_complaint() -> None:
    answers = parse(["r 0 ok 0", f"{PANIC}Kernel panic - not syncing: Oops"])
    assert answers.complaints() == ["Kernel panic - not syncing: Oops"]


@pytest.mark.parametrize("at", range(3))
def test_a_panic_belongs_to_the_operation_without_an_outcome(at: int) -> None:
    """The kernel panics during operation 1 of 3."""
    answers = parse(["r 0 ok 0", f"{PANIC}Kernel panic - not syncing: Oops"])
    stamps = {
        0: Stamp(NOT_CONFIRMED, "no warning"),
        1: Stamp(CONFIRMED, "Kernel panic - not syncing: Oops"),
        2: Stamp(INVISIBLE, "the operation was not reached"),
    }
    assert stamp_of(violation("contract", "WARN", at=at), answers, False, 3) == stamps[at]


@pytest.mark.parametrize("checker", [*JUDGES])
@pytest.mark.parametrize("at", [1, 3])
def test_what_was_not_reached_is_not_judged(checker: str, at: int) -> None:
    """Neither the operation nor the end of the VMs: the machine could not create the VM."""
    answers = parse(["r -1 error -12 of the VM", "DONE 0 0.1 0 0"])
    stamp = stamp_of(violation(checker, "WARN", at=at), answers, False, 3)
    assert stamp == Stamp(INVISIBLE, "the operation was not reached")


OTHER_LINES: Final = (
    "",
    "r",
    "r x",
    "k",
    "Unhandled fault",
    "r one two three",
    "r --1 ok 0",
    "r \u00b2 ok 0",
    "DONE",
    "DONE x",
)


@pytest.mark.parametrize("line", OTHER_LINES)
def test_any_other_line_is_a_remark(line: str) -> None:
    answers = parse([line])
    assert (answers.outcomes, answers.notes) == ({}, [line])


def compared(lines: tuple[str, ...], outcomes: list[Outcome], real: dict[int, RealOutcome]) -> list[int]:
    """Return the operations whose outcomes differ."""
    expected = Expected(outcomes)
    return [each.at for each in differences(program(*lines), expected, RealAnswers(real))]


READ: Final = ("cpu0 read a+0",)


@pytest.mark.parametrize(
    ("lines", "outcome", "real", "same"),
    [
        (READ, Outcome("ok", 3), RealOutcome("ok", "3"), True),
        (READ, Outcome("ok", 3), RealOutcome("ok", "4"), False),
        (READ, Outcome("ok", 3, predictable=False), RealOutcome("ok", "4"), True),
        (READ, Outcome("ok", -1), RealOutcome("ok", "4"), False),
        (READ, Outcome("efault"), RealOutcome("error", "-14"), True),
        (READ, Outcome("stuck"), RealOutcome("stuck", "9999"), True),
        (READ, Outcome("stuck"), RealOutcome("ok", "0"), False),
        (("cpu0 write a+0",), Outcome("ok", 0), RealOutcome("ok", "7"), True),
        (("host discard a+0 4K",), Outcome("ok"), RealOutcome("ok", "0"), True),
        (("host discard a+0 4K",), Outcome("ok"), RealOutcome("error", "-22"), False),
        (("log a get",), Outcome("ok", [1, 0, 255]), RealOutcome("ok", "log 0:1 2:ff"), True),
        (("log a get",), Outcome("ok", [0]), RealOutcome("ok", "log"), True),
        (("log a get",), Outcome("ok", [7, 7, 0, 0, 7, 8, 8]), RealOutcome("ok", "log 0-1:7 4:7 5-6:8"), True),
        (("log a get",), Outcome("ok", [1]), RealOutcome("ok", "log"), False),
    ],
)
def test_outcomes(lines: tuple[str, ...], outcome: Outcome, real: RealOutcome, same: bool) -> None:
    assert compared(lines, [outcome], {0: real}) == ([] if same else [0])


@pytest.mark.parametrize("misled", [False, True])
@pytest.mark.parametrize(
    ("value", "other"), [("at its address", False), ("at 0x10 in place of 0x20", True), ("esr:0", False)]
)
def test_addresses_of_aborts_are_compared(misled: bool, value: str, other: bool) -> None:
    expected = Expected([Outcome("abort")], [violation("contract", "abort at another address", 0)] if misled else [])
    real = RealAnswers({0: RealOutcome("abort", value)})
    different = differences(program("cpu0 outside read 0x10000000000"), expected, real)
    assert len(different) == (misled is not other)


def test_nothing_is_compared_after_the_last_operation_reached() -> None:
    lines = ("cpu0 read a+0",) * 3
    assert compared(lines, [Outcome("ok", 0)] * 3, {0: RealOutcome("ok", "0")}) == [1]


def test_a_vm_that_cannot_be_made_is_a_difference() -> None:
    assert compared(READ, [Outcome("ok", 0)], {-1: RealOutcome("error", "-12 of the VM")})[0] == -1


def violation(checker: str, what: str = "something", at: int = 1) -> Violation:
    """Make a violation at an operation."""
    found = Violation(checker, "user_mem_abort", what, -1, "")
    found.at = at
    return found


@pytest.mark.parametrize(
    ("found", "differs", "word", "why"),
    [
        (violation("progress"), False, CONFIRMED, "stuck (4096 exits, and no progress)"),
        (violation("progress", at=0), False, NOT_CONFIRMED, "ok 0"),
        (violation("progress", at=7), False, INVISIBLE, "the operation was not reached"),
        (violation("memcache"), False, CONFIRMED, SHORT),
        (violation("memcache", at=0), False, NOT_CONFIRMED, "no warning: the cache still had objects"),
        (violation("contract", "WARN"), False, CONFIRMED, SHORT),
        (violation("contract", "WARN", at=0), False, NOT_CONFIRMED, "no warning"),
        (violation("contract", "answered with an abort", at=0), False, CONFIRMED, "ok 0"),
        (violation("contract", "answered with an abort", at=0), True, NOT_CONFIRMED, "ok 0"),
        (violation("dirty-log", at=2), False, CONFIRMED, "ok log 0:1 3:ff"),
        (violation("dirty-log", at=2), True, NOT_CONFIRMED, "ok log 0:1 3:ff"),
        (violation("leak", at=3), False, CONFIRMED, "8 KiB of tables are left"),
        (violation("contract", "WARN", at=3), False, CONFIRMED, "WARNING at mm/page_alloc.c:1 free_page()"),
        (violation("refcount"), False, INVISIBLE, ""),
        *((violation(rule), False, HIDDEN, "") for rule in HIDDEN_RULES),
    ],
)
def test_stamps(found: Violation, differs: bool, word: str, why: str) -> None:
    stamp = stamp_of(found, parse(LINES), differs, 3)
    assert (stamp.word, stamp.why) == (word, why)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("at 0x10 in place of 0x20", CONFIRMED),
        ("at 0x30 in place of 0x20", NOT_CONFIRMED),
        ("at its address", NOT_CONFIRMED),
        ("esr:96000010", INVISIBLE),
    ],
)
def test_the_reported_address_of_an_abort(value: str, word: str) -> None:
    """Check the address against the model's, 0x10."""
    found = violation("contract", "abort at another address", at=0)
    found.reason = "the reported address is 0x10, the guest accessed 0x20"
    assert stamp_of(found, parse([f"r 0 abort {value}"]), False, 1).word == word


def test_a_rule_has_one_kind_of_stamp() -> None:
    assert set(JUDGES) & set(HIDDEN_RULES) == set()
    assert DESTRUCTION not in range(-1, 10_000)
