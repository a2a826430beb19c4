# SPDX-License-Identifier: GPL-2.0-only
"""Programs in which a reset of a dirty ring must not join pages that are too far apart."""

import random
from typing import Final

from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.generation.ring_visits import may_visit, visited, with_ring_visits
from fuzz.language.operations import GetLog, GuestAccess
from fuzz.language.program import KIB, RING_SIZES, Program, Slot, Vm
from fuzz.language.text import parse, print_program

WORD: Final = (1 << 64) - 1


def written(program: Program, slot: Slot) -> list[tuple[int, int]]:
    """Return the vCPUs and page numbers of the last writes before the last collection but one."""
    collected = [at for at, each in enumerate(program.operations) if isinstance(each, GetLog)]
    between = program.operations[collected[-3] : collected[-2]]
    return [(each.cpu, each.offset // program.vm.granule) for each in between if isinstance(each, GuestAccess)]


def reset(pages: list[int], checks: bool) -> set[int]:
    """Return the pages that ``kvm_dirty_ring_reset()`` protects; *checks*: it notices bits that it would shift out."""
    protected: set[int] = set()
    base, mask = pages[0], 1
    for page in pages[1:]:
        by = base - page
        if 0 <= -by < 64:
            mask |= 1 << -by
        elif 0 < by < 64 and (not checks or (mask << by & WORD) >> by == mask):
            base, mask = page, (mask << by & WORD) | 1
        else:
            protected |= {base + bit for bit in range(64) if mask >> bit & 1}
            base, mask = page, 1
    return protected | {base + bit for bit in range(64) if mask >> bit & 1}


def test_a_reset_that_shifts_bits_out_forgets_a_page() -> None:
    for granule in (4 * KIB, 16 * KIB, 64 * KIB):
        vm = Vm(granule=granule, cpus=2, ring=max(RING_SIZES[0], granule))
        slot = Slot("a", 1 << 30, 200 * granule, "anon", log=granule > 4 * KIB)
        program = Program(vm, (slot,), ())
        for seed in range(40):
            made = visited(program, slot, random.Random(seed))
            assert made == parse(print_program(made))
            writes = written(made, slot)
            pages = [page for _, page in writes]
            assert len({cpu for cpu, _ in writes}) == 1
            assert reset(pages, True) == set(pages)
            last = made.operations[-2]
            assert isinstance(last, GuestAccess)
            assert set(pages) - reset(pages, False) == {last.offset // granule}


def test_only_slots_with_a_log_and_enough_pages_fit() -> None:
    program = Program(Vm(), (), ())
    fits = Slot("a", 0, 128 * 4 * KIB, "anon")
    assert may_visit(program, fits)
    for other in (
        Slot("a", 0, 127 * 4 * KIB, "anon"),
        Slot("a", 0, 128 * 4 * KIB, "anon", ro=True),
        Slot("a", 0, 128 * 4 * KIB, "device"),
    ):
        assert not may_visit(program, other)


def test_only_programs_with_rings_change() -> None:
    plain, offered = Generator(3), Generator(3, offers=Offers(ring=True))
    changed = 0
    for number in range(200):
        without, program = plain.next(), offered.next()
        assert with_ring_visits(without, random.Random(number)) is without
        assert program.operations[: len(without.operations)] == without.operations
        assert program.vm.ring or program == without
        changed += program.operations != without.operations
    assert changed > 5
