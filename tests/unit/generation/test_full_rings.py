# SPDX-License-Identifier: GPL-2.0-only
"""Programs in which a vCPU writes more pages than its dirty ring has entries."""

import random
from typing import Final

from fuzz.generation.capabilities import Offers
from fuzz.generation.full_rings import filled, may_fill, with_full_ring
from fuzz.generation.generator import Generator
from fuzz.language.operations import GetLog, GuestAccess
from fuzz.language.program import KIB, MIB, Program, Slot, Vm
from fuzz.language.text import parse, print_program

PAGE: Final = 4 * KIB
# Entries of a ring of one page.
ENTRIES: Final = 256


def most_written(program: Program) -> int:
    """Return the largest number of different pages that one vCPU writes between two collections."""
    most, pages = 0, set[tuple[int, str, int]]()
    for each in program.operations:
        if isinstance(each, GetLog):
            pages = set()
        elif isinstance(each, GuestAccess) and each.kind == "write":
            pages.add((each.cpu, each.slot, each.offset // PAGE))
            most = max(most, sum(cpu == each.cpu for cpu, _, _ in pages))
    return most


def test_one_vcpu_writes_more_pages_than_its_ring_has_entries() -> None:
    slot = Slot("a", 1 << 30, 2 * MIB, "anon")
    program = Program(Vm(granule=PAGE, cpus=2, ring=PAGE), (slot,), ())
    for seed in range(10):
        made = filled(program, slot, random.Random(seed))
        assert made == parse(print_program(made))
        assert ENTRIES < most_written(made) < ENTRIES + 5


def test_only_slots_with_a_log_and_enough_pages_fit() -> None:
    program = Program(Vm(granule=PAGE, ring=PAGE), (), ())
    size = (ENTRIES + 4) * PAGE
    assert may_fill(program, Slot("a", 0, size, "anon"))
    for other in (
        Slot("a", 0, size - PAGE, "anon"),
        Slot("a", 0, size, "anon", ro=True),
        Slot("a", 0, size, "device"),
    ):
        assert not may_fill(program, other)


def test_only_programs_with_small_rings_change() -> None:
    slot = Slot("a", 1 << 30, 128 * MIB, "anon")
    for granule, ring in ((PAGE, 0), (PAGE, 2 * PAGE), (16 * KIB, 16 * KIB)):
        program = Program(Vm(granule=granule, ring=ring), (slot,), ())
        assert all(with_full_ring(program, random.Random(number)) is program for number in range(200))


def test_random_programs_fill_rings() -> None:
    generator = Generator(1, PAGE, Offers(ring=True))
    programs = [generator.next() for _ in range(600)]
    assert any(most_written(program) > ENTRIES for program in programs if program.vm.ring)
