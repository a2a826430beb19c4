# SPDX-License-Identifier: GPL-2.0-only
"""Programs use the capabilities that both versions have, and are the same otherwise."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from fuzz.generation.capabilities import Offers, equipped, widened
from fuzz.generation.capping import splits
from fuzz.generation.generator import Generator
from fuzz.language.binary import decode, encode
from fuzz.language.operations import ClearLog, Operation, SetLog, SlotCreate, SlotMove
from fuzz.language.program import GRANULES, HUGE_SHIFT, KIB, MEMFD, TAGLESS, Program
from fuzz.language.text import parse, print_program
from fuzz.language.validate import validate

COUNT = 200


def succeeding(program: Program) -> tuple[Operation, ...]:
    """Return the operations, those that change a slot or its log without an allocation failure."""
    return tuple(
        replace(each, fail=None) if isinstance(each, SetLog | ClearLog | SlotCreate | SlotMove) else each
        for each in program.operations
    )


def failing_logs(program: Program) -> int:
    """Return the number of operations that set or clear a log with an allocation failure."""
    return sum(isinstance(each, SetLog | ClearLog) and each.fail is not None for each in program.operations)


def test_programs_use_offered_capabilities_only() -> None:
    plain, both = Generator(3), Generator(3, offers=Offers(True, True, True))
    splits = rings = graces = fails = 0
    for _ in range(COUNT):
        without, program = plain.next(), both.next()
        assert (without.vm.split, without.vm.ring, without.vm.grace) == (0, 0, None)
        vm = replace(program.vm, split=0, ring=0, grace=None)
        operations = program.operations
        if program.vm.split or program.vm.ring:
            # Splits may fail. Writes that a reset of the ring takes apart may follow. Both move the failure of another
            # operation.
            assert succeeding(program)[: len(without.operations)] == succeeding(without)
            assert program.vm.ring or len(operations) == len(without.operations)
            operations = without.operations
        assert replace(program, vm=vm, operations=operations) == without
        fails += failing_logs(program) > failing_logs(without) and program.vm.split != 0
        splits += program.vm.split != 0
        rings += program.vm.ring != 0
        graces += program.vm.grace is not None
        assert parse(print_program(program)) == program
        assert decode(encode(program)) == program
    assert splits > COUNT // 8
    assert rings > COUNT // 16
    assert graces > COUNT // 40
    assert fails > 1


def test_cpus_have_feat_bbm_if_it_is_offered() -> None:
    plain, offered = Generator(3), Generator(3, offers=Offers(bbm=True))
    found = 0
    for _ in range(COUNT):
        without, program = plain.next(), offered.next()
        found += program.vm.bbm
        assert replace(program, vm=replace(program.vm, bbm=False)) == without
        assert parse(print_program(program)) == program
        assert decode(encode(program)) == program
    assert COUNT // 4 < found < COUNT * 3 // 4


@pytest.mark.parametrize("hugetlb", [False, True])
def test_vms_have_mte_if_it_is_offered(hugetlb: bool) -> None:
    plain, offered = Generator(3), Generator(3, offers=Offers(mte=True, tagged_hugetlb=hugetlb))
    found = large = 0
    for _ in range(COUNT):
        without, program = plain.next(), offered.next()
        if not program.vm.mte:
            assert program == without
            continue
        found += 1
        assert not any(slot.backing in TAGLESS for slot in program.slots)
        large += any(slot.backing in HUGE_SHIFT for slot in program.slots)
        validate(program)
        assert parse(print_program(program)) == program
        assert decode(encode(program)) == program
    assert found > COUNT // 16
    assert (large > 0) is hugetlb


@pytest.mark.parametrize("granule", GRANULES)
def test_vcpus_have_el2_if_it_is_offered(granule: int) -> None:
    plain, offered = Generator(3, granule), Generator(3, granule, Offers(nested=True))
    found = stage2 = 0
    for _ in range(COUNT):
        without, program = plain.next(), offered.next()
        if not program.vm.nested:
            assert program == without
            continue
        found += 1
        stage2 += program.vm.stage2
        validate(program)
        assert parse(print_program(program)) == program
        assert decode(encode(program)) == program
    assert found > COUNT // 20
    assert 0 < stage2 < found


def test_slots_get_a_guest_memfd_if_it_is_offered() -> None:
    plain, offered = Generator(3), Generator(3, offers=Offers(memfd=True))
    found = operations = 0
    for _ in range(COUNT):
        without, program = plain.next(), offered.next()
        memfds = [slot for slot in program.slots if slot.backing == MEMFD]
        if not memfds:
            assert program == without
            continue
        found += 1
        assert len(memfds) == 1
        assert [slot.name for slot in program.slots] == [slot.name for slot in without.slots]
        operations += any(getattr(op, "slot", "") == memfds[0].name for op in program.operations)
        assert parse(print_program(program)) == program
        assert decode(encode(program)) == program
    assert found > COUNT // 16
    assert operations > found // 2


def test_addresses_are_wide_if_that_is_offered() -> None:
    plain, offered = Generator(3), Generator(3, offers=Offers(lpa2=True))
    found: list[int] = []
    for _ in range(COUNT):
        without, program = plain.next(), offered.next()
        if program == without:
            continue
        assert program.vm == replace(without.vm, pa=52, ipa=program.vm.ipa)
        # All slots keep their distance from the end.
        moved = (1 << program.vm.ipa) - (1 << without.vm.ipa)
        assert [slot.ipa - moved for slot in program.slots] == [slot.ipa for slot in without.slots]
        assert len(program.operations) == len(without.operations)
        validate(program)
        assert parse(print_program(program)) == program
        assert decode(encode(program)) == program
        found.append(program.vm.ipa)
    assert len(found) > COUNT // 16
    assert max(found) == 52
    assert min(found) <= 48


def test_capabilities_are_offered_independently() -> None:
    generator = Generator(3, offers=Offers(split=True))
    programs = [generator.next() for _ in range(COUNT)]
    assert {program.vm.ring for program in programs} == {0}
    assert len({program.vm.split for program in programs}) > 3


@pytest.mark.parametrize(
    ("slot", "most", "at_least", "at_most"),
    [
        ("size=1G backing=hugetlb1g", 1 << 18, 2, 25),
        ("size=64M backing=thp", 1 << 14, 200, 450),
        ("size=128M backing=thp", 1 << 15, 8, 40),
        ("size=8G backing=thp", 1 << 21, 0, 4),
        ("size=2M backing=thp", 1 << 9, 200, 450),
    ],
)
def test_longer_splits_are_in_fewer_programs(slot: str, most: int, at_least: int, at_most: int) -> None:
    """Check it for a block of 1G, which becomes 262144 pages, and a slot of 8G, which has two million chunks of 4K."""
    program = parse(f"s2fuzz 1\nvm\nslot a {slot}\nlog a on\n")
    drawn = [equipped(program, Offers(split=True), random.Random(number)) for number in range(COUNT * 20)]
    found = Counter(splits(each, each.slots[0], each.vm.split) for each in drawn if each.vm.split)
    assert at_least <= found[most] <= at_most


def test_programs_with_64k_pages_have_addresses_of_52_bits_by_default() -> None:
    generator = Generator(3, 64 * KIB)
    programs = [generator.next() for _ in range(COUNT)]
    wide = [program for program in programs if program.vm.pa == 52]
    assert COUNT // 20 < len(wide) < COUNT // 4
    assert any(program.vm.ipa > 48 for program in wide)
    for program in wide:
        validate(program)
        assert decode(encode(program)) == parse(print_program(program)) == program
    other = Generator(3, 4 * KIB)
    assert {other.next().vm.pa for _ in range(COUNT)} == {48}


@pytest.mark.parametrize("ipa", [49, 50, 51, 52])
def test_accesses_beyond_the_address_space_stay_beyond_a_wide_one(ipa: int) -> None:
    """Check that nothing lies beyond an address space of 52 bits."""
    places = (1 << 40, (1 << 40) + 4096, 1 << 51, (1 << 52) - 8)
    lines = [f"cpu0 outside read {place:#x}" for place in places]
    program = parse("\n".join(["s2fuzz 1", "vm ipa=40", "slot a size=4K backing=anon", *lines, "cpu0 read a+0", ""]))
    wide = widened(program, ipa)
    validate(wide)
    assert len(wide.operations) == (1 if ipa == 52 else 5)


def test_addresses_are_narrow_if_wide_ones_take_long() -> None:
    plain, narrow = Generator(3, offers=Offers(par=True)), Generator(3, offers=Offers(par=True, narrow=True))
    wide, kept = 0, 0
    for _ in range(COUNT):
        without, program = plain.next(), narrow.next()
        wide += without.vm.granule == 16 * KIB and without.vm.ipa > 39
        kept += program.vm.granule == 16 * KIB and program.vm.ipa > 39
        validate(program)
        assert decode(encode(program)) == program
    assert wide > COUNT // 32
    assert kept < wide // 2


@pytest.mark.parametrize(
    ("granule", "ipa", "bits", "at_least", "at_most"),
    [
        ("4K", 45, 44, 170, 230),
        ("4K", 48, 44, 10, 45),
        ("16K", 43, 39, 10, 45),
        ("16K", 48, 39, 0, 5),
        ("64K", 45, 43, 70, 130),
    ],
)
def test_slower_wide_programs_stay_wide_less_often(
    granule: str, ipa: int, bits: int, at_least: int, at_most: int
) -> None:
    program = parse(f"s2fuzz 1\nvm granule={granule} ipa={ipa}\nslot a ipa=1G size=64K backing=anon\ncpu0 read a+0\n")
    found = [equipped(program, Offers(narrow=True), random.Random(number)).vm.ipa for number in range(400)]
    assert set(found) <= {bits, ipa}
    assert at_least <= found.count(ipa) <= at_most


@pytest.mark.parametrize(("granule", "ipa"), [("4K", 44), ("16K", 39), ("64K", 43)])
def test_fast_programs_are_unchanged(granule: str, ipa: int) -> None:
    program = parse(f"s2fuzz 1\nvm granule={granule} ipa={ipa}\nslot a ipa=1G size=64K backing=anon\ncpu0 read a+0\n")
    assert all(equipped(program, Offers(narrow=True), random.Random(number)) == program for number in range(20))


def test_few_addresses_are_wide_if_that_takes_long() -> None:
    both, narrow = Generator(3, offers=Offers(lpa2=True)), Generator(3, offers=Offers(lpa2=True, narrow=True))
    bits = [(both.next().vm.ipa, narrow.next().vm.ipa) for _ in range(COUNT)]
    assert 3 * sum(each > 48 for _, each in bits) < sum(each > 48 for each, _ in bits)


def test_slots_at_the_end_of_a_wide_address_space_stay_there() -> None:
    program = parse(
        "s2fuzz 1\nvm granule=16K ipa=48\nslot a ipa=274877906928K size=16K backing=anon\n"
        "slot b ipa=1G size=16K backing=anon\ncpu0 read a+0\nslot b move 274877906912K\ncpu0 outside read 262144G\n"
    )
    made = {equipped(program, Offers(narrow=True), random.Random(number)) for number in range(20)}
    (narrow,) = made - {program}
    validate(narrow)
    assert narrow == parse(
        "s2fuzz 1\nvm granule=16K ipa=39\nslot a ipa=536870896K size=16K backing=anon\n"
        "slot b ipa=1G size=16K backing=anon\ncpu0 read a+0\nslot b move 536870880K\ncpu0 outside read 262144G\n"
    )


def test_a_slot_in_the_middle_of_a_wide_address_space_keeps_it_wide() -> None:
    program = parse("s2fuzz 1\nvm granule=16K ipa=48\nslot a ipa=1024G size=16K backing=anon\ncpu0 read a+0\n")
    for number in range(20):
        assert equipped(program, Offers(narrow=True), random.Random(number)) == program
