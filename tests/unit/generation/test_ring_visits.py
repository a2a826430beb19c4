# SPDX-License-Identifier: GPL-2.0-only
"""Programs in which a reset of a dirty ring must not join pages that are too far apart."""

import random
from typing import Final, NamedTuple

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


class Reset(NamedTuple):
    """A way in which ``kvm_dirty_ring_reset()`` may work; the default is right.

    :param checks: it notices bits that it would shift out
    :param most: the greatest distance that it takes for one that fits
    :param keeps: it keeps the bits of the pages before
    """

    checks: bool = True
    most: int = 63
    keeps: bool = False

    def protected(self, pages: list[int], size: int) -> set[int]:
        """Return the pages that it protects, of a slot of *size* pages. CPUs shift by a number modulo 64."""
        found: set[int] = set()
        base, mask = pages[0], 1
        for page in [*pages[1:], None]:
            by = 0 if page is None else base - page
            shifted = mask << by % 64 & WORD
            if page is not None and 0 <= -by <= self.most:
                mask |= 1 << -by % 64
            elif page is not None and 0 < by <= self.most and (not self.checks or shifted >> by % 64 == mask):
                base, mask = page, shifted | 1
            else:
                if base + mask.bit_length() <= size:
                    found |= {base + bit for bit in range(64) if mask >> bit & 1}
                base, mask = base if page is None else page, mask | 1 if self.keeps else 1
        return found


MISTAKES: Final = (Reset(checks=False), Reset(most=64), Reset(keeps=True))


def test_a_mistaken_reset_forgets_a_page() -> None:
    """Check that each program shows a mistake: the page that is written again is not protected. All mistakes occur."""
    for granule in (4 * KIB, 16 * KIB, 64 * KIB):
        vm = Vm(granule=granule, cpus=2, ring=max(RING_SIZES[0], granule))
        for size in (128, 200):
            slot = Slot("a", 1 << 30, size * granule, "anon", log=granule > 4 * KIB)
            program = Program(vm, (slot,), ())
            shown: set[Reset] = set()
            for seed in range(60):
                made = visited(program, slot, random.Random(seed))
                assert made == parse(print_program(made))
                writes = written(made, slot)
                pages = [page for _, page in writes]
                assert len({cpu for cpu, _ in writes}) == 1
                assert Reset().protected(pages, size) == set(pages)
                last = made.operations[-2]
                assert isinstance(last, GuestAccess)
                mine = {each for each in MISTAKES if last.offset // granule not in each.protected(pages, size)}
                assert mine
                shown |= mine
            assert shown == set(MISTAKES)


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
