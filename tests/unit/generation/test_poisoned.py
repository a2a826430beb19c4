# SPDX-License-Identifier: GPL-2.0-only
"""Programs in which a guest accesses a poisoned page of hugetlb."""

import random
from typing import Final

import pytest

from fuzz.generation.generator import Generator
from fuzz.generation.poisoned import has_huge_page, poisoned, with_poison
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.operations import GuestAccess, HostPoison
from fuzz.language.program import MIB, Program, Slot, Vm
from fuzz.language.text import parse, print_program
from reference.mmu import Mmu
from tests.good_bad.case import ORIGINAL, broken

SIGBUS: Final = "contract: kvm_handle_guest_abort: SIGBUS"


class SignalsPages(Mmu):
    """Reports the size of a page whatever is poisoned."""

    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        super().kvm_send_hwpoison_signal(address, self.PAGE_SHIFT)


@pytest.mark.parametrize("log", [False, True])
def test_a_signal_with_the_size_of_a_page_is_found(log: bool) -> None:
    slot = Slot("a", 1 << 30, 4 * MIB, "hugetlb2m", log=log)
    program = Program(Vm(), (slot,), ())
    for seed in range(20):
        made = poisoned(program, slot, random.Random(seed))
        assert made == parse(print_program(made))
        found = Differential(ORIGINAL, broken(mmu=SignalsPages)).run(made).findings
        assert any(each.kind == REGRESSION and each.signature.startswith(SIGBUS) for each in found), seed


def test_a_slot_without_a_whole_huge_page_stays() -> None:
    slots = (Slot("a", 0, MIB, "hugetlb2m"), Slot("b", 1 << 30, 4 * MIB, "thp"))
    assert not any(map(has_huge_page, slots))
    program = Program(Vm(), slots, ())
    assert all(with_poison(program, random.Random(seed)) is program for seed in range(40))


def test_some_random_programs_access_a_poisoned_huge_page() -> None:
    generator = Generator(1)
    found = 0
    for program in (generator.next() for _ in range(400)):
        last = program.operations[-2:]
        if len(last) == 2 and isinstance(last[0], HostPoison) and isinstance(last[1], GuestAccess):
            found += last[0].slot == last[1].slot
    assert found > 4
