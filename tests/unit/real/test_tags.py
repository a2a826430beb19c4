# SPDX-License-Identifier: GPL-2.0-only
"""Looks at tags left by another owner: their lines, their outcomes, their place in a C file."""

from typing import Final

import pytest

from fuzz.checkers import Violation
from fuzz.checkers.guest_pages import GuestPages
from fuzz.language.text import parse
from fuzz.real import tags
from fuzz.real.answers import RealAnswers, RealOutcome
from fuzz.real.selftest import with_tag_looks
from fuzz.real.stamp import CONFIRMED, INVISIBLE, NOT_CONFIRMED
from fuzz.real.translate import played

PROGRAM: Final = parse(
    "s2fuzz 1\nvm mte=on cpus=2 vms=2\nslot a size=2M backing=thp\nslot b vm=1 size=2M backing=thp\n"
    "cpu0 read a+0\ncpu2 read b+0\ncpu0 read a+4K\n"
)
PART: Final = played(PROGRAM, 4096)


def violation(checker: str, pages: GuestPages | frozenset[int]) -> Violation:
    """Make a violation at the second operation."""
    found = Violation(checker, "stage2_map_walker", "mapped, tags not cleared", 3, "reason", pages)
    found.at = 1
    return found


SECOND_VM: Final = violation(tags.RULE, GuestPages([(0x1000, 0x3000), (0x9000, 0xA000)], 4096).in_vm(1))


def test_each_range_is_looked_at_by_a_vcpu_of_its_vm() -> None:
    assert tags.look_lines(SECOND_VM, PROGRAM) == ["T 2 0x1000 0x2000", "T 2 0x9000 0x1000"]


@pytest.mark.parametrize(
    "other", [violation("tlb", GuestPages([(0, 4096)], 4096)), violation(tags.RULE, frozenset())], ids=["rule", "pages"]
)
def test_memory_that_no_guest_got_is_not_looked_at(other: Violation) -> None:
    assert tags.look_lines(other, PROGRAM) == []
    assert with_tag_looks(PART, [other]) == (PART, 0)


@pytest.mark.parametrize(
    ("outcomes", "word", "why"),
    [
        ((("ok", "none"), ("ok", "tag 5 of 0x9000")), CONFIRMED, "the guest reads tag 5 of 0x9000, left by another"),
        ((("ok", "none"), ("ok", "none")), NOT_CONFIRMED, "the guest reads no tags"),
        ((("ok", "none"), ("sigbus", "0")), INVISIBLE, "the guest could not look: sigbus 0"),
        ((("ok", "none"),), INVISIBLE, "the guest could not look: that was not reached"),
    ],
)
def test_the_stamp_of_looks(outcomes: tuple[tuple[str, str], ...], word: str, why: str) -> None:
    answers = RealAnswers({2 + at: RealOutcome(*each) for at, each in enumerate(outcomes)})
    stamp = tags.judged(answers, range(2, 4))
    assert stamp.word == word
    assert stamp.why.startswith(why)


def test_hugetlb_pages_of_the_program_get_tags() -> None:
    slots = ("slot a size=2M backing=hugetlb2m", "slot b size=2M backing=hugetlb64k", "slot c size=4K backing=anon")
    program = parse("\n".join(["s2fuzz 1", "vm mte=on", *slots, "cpu0 read a+0", ""]))
    assert tags.leave_line(program) == "o 16 21"


def test_a_c_file_ends_with_looks() -> None:
    """Look right after the operation that gave the tags to the guest, because later operations would clear some."""
    part, looked = with_tag_looks(PART, [SECOND_VM])
    assert looked == 2
    assert part.lines == ("o", *PART.lines[:5], *tags.look_lines(SECOND_VM, PROGRAM))
    assert part.program.operations == PROGRAM.operations[:2]
