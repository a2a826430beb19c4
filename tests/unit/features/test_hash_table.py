# SPDX-License-Identifier: GPL-2.0-only
"""The table of hashes: stored values can be looked up, its size is constant, and raw features are not kept."""

import gc
import sys
from zlib import crc32

import candidate
from fuzz.features.features import hashed
from fuzz.features.hash_table import PLACES, TAKEN, HashTable
from fuzz.features.raw import RawFeature, text_of
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential, Lockstep


def raw(number: int) -> RawFeature:
    return ("meets", f"call {number}", number)


def test_stored_values_can_be_looked_up() -> None:
    table = HashTable()
    assert table.get(raw(1)) == -1
    for number in range(5000):
        table.put(raw(number), number * 858_993)
    table.put(raw(7), 0xFFFF_FFFF)
    assert [table.get(raw(number)) for number in range(5000) if number != 7] == [
        number * 858_993 for number in range(5000) if number != 7
    ]
    assert table.get(raw(7)) == 0xFFFF_FFFF
    assert table.get(raw(5000)) == -1


def test_collisions_use_the_next_place() -> None:
    """Use small numbers, which are their own hashes: the last place, then the first ones."""
    table = HashTable()
    digests = (PLACES - 1, 2 * PLACES - 1, 3 * PLACES - 1)
    for digest in digests:
        place = table.place(digest)
        table.digests[place] = digest
    assert [table.place(digest) for digest in digests] == [PLACES - 1, 0, 1]
    assert table.place(4 * PLACES - 1) == 2


def test_a_full_table_is_emptied() -> None:
    table = HashTable()
    for number in range(TAKEN):
        table.put(raw(number), number)
    assert [table.get(raw(number)) for number in range(TAKEN)] == list(range(TAKEN))
    table.put(raw(TAKEN), 5)
    assert [table.get(raw(number)) for number in range(TAKEN + 1)] == [-1] * TAKEN + [5]
    assert table.taken == 1


def test_hashes_match_those_of_the_texts() -> None:
    """Check that no two raw features share a place in the table: they contain no number below -1."""
    taken: set[RawFeature] = set()
    differential = Differential(candidate.get("original"), candidate.get("rfc-v1"), features=True)
    generator = Generator(1)
    for _ in range(60):
        run = Lockstep(differential, generator.next())
        for at in range(len(run.program.operations)):
            run.step(at)
        assert run.features is not None
        taken |= run.features.left.seen | run.features.right.seen | run.features.pairs
        run.end()
    assert [each for each in taken if hashed({each}) != {crc32(text_of(each).encode())}] == []
    differences = [each for each in taken if each[0] == "difference"]
    assert {str(each[-1])[:1] == "-" for each in differences} == {False, True}
    assert not [each for each in taken if any(isinstance(part, int) and part < -1 for part in each)]
    assert len({hash(each) for each in taken}) == len(taken)


def test_features_leave_no_objects() -> None:
    """Check that some thousands of raw features, shown for the first time, use no memory of their own."""
    differential = Differential(candidate.get("original"), candidate.get("rfc-v1"), features=True)
    generator = Generator(7)
    programs = [generator.next() for _ in range(60)]
    for program in programs[:10]:
        differential.run(program)
    gc.collect()
    before = sys.getallocatedblocks()
    shown = sum(len(differential.run(program).features) for program in programs[10:])
    gc.collect()
    assert shown > 5000
    assert sys.getallocatedblocks() - before < 1000
