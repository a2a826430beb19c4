# SPDX-License-Identifier: GPL-2.0-only
"""The binary form: it loses nothing, every byte string is a program, and each field is one operand."""

import random
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz.language import operations as ops
from fuzz.language.binary import RECORD_SIZE, decode, encode
from fuzz.language.bounds import MAX_OPERATIONS
from fuzz.language.operations import OPERATIONS, Operation, Par
from fuzz.language.program import BACKINGS, GIB, GRANULES, KIB, MIB, Program
from fuzz.language.text import load, parse, print_program
from fuzz.language.validate import validate

from ..strategies import programs
from .slots import SLOTS

ROOT = Path(__file__).parents[3]
CORPUS = sorted((ROOT / "corpus").glob("*/*.s2"))
KIND = {make: kind for kind, make in enumerate(OPERATIONS)}
# Offsets of an operation's fields in its record, in bytes.
CPU, SLOT, CHOICE, FLAGS, FAIL, FIRST, SIZE, THIRD = 1, 2, 3, 4, 5, 8, 16, 24

quick = settings(max_examples=200, deadline=None, database=None)


def record(make: type, **at: int) -> bytes:
    """Return the record of an operation: zero except the given bytes."""
    data = bytearray(RECORD_SIZE)
    data[0] = KIND[make]
    places = {"cpu": CPU, "slot": SLOT, "choice": CHOICE, "flags": FLAGS, "fail": FAIL}
    for name, value in at.items():
        if name in places:
            data[places[name]] = value
        else:
            struct.pack_into("<Q", data, {"first": FIRST, "size": SIZE, "third": THIRD}[name], value)
    return bytes(data)


def after(text: str, *records: bytes) -> tuple[Operation, ...]:
    """Return the operations decoded from records that follow a program."""
    before = parse(SLOTS + text)
    program = decode(encode(before) + b"".join(records))
    validate(program)
    assert program.operations[: len(before.operations)] == before.operations
    return program.operations[len(before.operations) :]


@quick
@given(programs())
def test_nothing_is_lost(program: Program) -> None:
    data = encode(program)
    assert len(data) == RECORD_SIZE * (1 + len(program.slots) + len(program.operations))
    assert decode(data) == program


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_corpus_survives_encoding(path: Path) -> None:
    program = load(path)
    assert print_program(decode(encode(program))) == print_program(program)


def test_the_corpus_has_every_operation() -> None:
    kinds = {type(operation) for path in CORPUS for operation in load(path).operations}
    assert kinds == {*OPERATIONS, *ops.OPTIONAL, Par}


RECORDS = st.lists(st.binary(min_size=RECORD_SIZE, max_size=RECORD_SIZE), max_size=24).map(b"".join)
# The same, with one byte of each operation's record that selects its kind.
SHAPED = st.builds(
    lambda head, tail: head + b"".join(tail),
    st.binary(min_size=3 * RECORD_SIZE, max_size=3 * RECORD_SIZE),
    st.lists(
        st.builds(
            lambda kind, small, numbers: bytes((kind, *small, 0, 0)) + struct.pack("<3Q", *numbers),
            st.integers(0, len(OPERATIONS) - 1),
            st.tuples(*[st.integers(0, 9)] * 5),
            st.tuples(*[st.integers(0, 1 << 12) | st.integers(0, (1 << 64) - 1)] * 3),
        ),
        max_size=24,
    ),
)


def check(data: bytes) -> Program:
    """Check that these bytes decode to a valid program, and that encoding it preserves its meaning."""
    program = decode(data)
    validate(program)
    assert 1 <= len(program.slots) <= 8
    assert len(program.operations) <= max(len(data) // RECORD_SIZE - 1, 0)
    again = encode(program)
    assert decode(again) == program
    assert encode(decode(again)) == again
    return program


@quick
@example(b"")
@example(b"\n")
@example(b"\xff" * 999)
@given(st.binary(max_size=2000) | RECORDS)
def test_any_bytes_are_a_valid_program(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize("seed", [3201, 4410, 7416])
def test_vcpus_of_an_ended_vm_access_no_memory(seed: int) -> None:
    """Check that the host may change its memory, except in a par block; an access of another VM replaces theirs."""
    check(random.Random(seed).randbytes(1000))


@quick
@given(SHAPED)
def test_any_records_are_a_valid_program(data: bytes) -> None:
    check(data)


@quick
@given(programs(), st.data())
def test_mutated_records_are_a_valid_program(program: Program, data: st.DataObject) -> None:
    records = bytearray(encode(program))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(records) - 1))
        new = data.draw(st.binary(min_size=1, max_size=1) | st.sampled_from([b"", b"\0" * 32, b"\xff" * 8, b"\x80"]))
        records[at : at + data.draw(st.sampled_from([0, 1, 1, 1, 32]))] = new
        records = records or bytearray(1)
    check(bytes(records))


def test_random_bytes_make_every_operation_and_setting() -> None:
    random_ = random.Random(1)
    made = [check(random_.randbytes(1000)) for _ in range(300)]
    kinds = Counter(type(operation) for program in made for operation in program.operations)
    total = kinds.total()
    assert set(kinds) == {*OPERATIONS, ops.Par}
    # Illegal operations become accesses, but most are legal.
    assert kinds[ops.GuestAccess] < total // 4
    assert min(kinds.values()) > total // 400
    assert {slot.backing for program in made for slot in program.slots} == set(BACKINGS)
    assert {program.vm.granule for program in made} == set(GRANULES)
    # No slot of random size is large, and most slots can have blocks.
    slots = [(program.vm.granule**2 // 8, slot) for program in made for slot in program.slots]
    assert max(slot.size / block for block, slot in slots) <= 4
    assert sum(slot.ipa % block == slot.offset % block for block, slot in slots) > len(slots) // 2
    assert any(slot.alias for _, slot in slots)


def test_length_is_bounded() -> None:
    program = decode(encode(parse(SLOTS)) + record(ops.GuestSetWay) * (MAX_OPERATIONS + 5))
    assert len(program.operations) == MAX_OPERATIONS
    assert decode(encode(program)) == program
    validate(program)


def test_empty_input_is_one_slot() -> None:
    program = decode(b"")
    assert len(program.slots) == 1
    assert not program.operations
    assert decode(bytes(RECORD_SIZE + 1)) == program
    # An incomplete record counts as one that ends in zeros.
    assert len(decode(bytes(2 * RECORD_SIZE + 1)).operations) == 1


def test_deleting_a_record_deletes_an_operation() -> None:
    program = load(ROOT / "corpus/seeds/direct-calls.s2")
    data = encode(program)
    for at in range(len(program.operations)):
        start = (1 + len(program.slots) + at) * RECORD_SIZE
        shorter = decode(data[:start] + data[start + RECORD_SIZE :])
        assert shorter == replace(program, operations=program.operations[:at] + program.operations[at + 1 :])


def test_one_byte_changes_one_operand() -> None:
    data = bytearray(record(ops.GuestAccess, cpu=1, slot=0, choice=1, flags=0, fail=3, first=7))
    assert after("", bytes(data)) == (ops.GuestAccess(1, "write", "a", 28 * KIB, False, 3),)
    changes = {
        CPU: (0, ops.GuestAccess(0, "write", "a", 28 * KIB, False, 3)),
        SLOT: (2, ops.GuestAccess(1, "write", "h", 28 * KIB, False, 3)),
        CHOICE: (2, ops.GuestAccess(1, "fetch", "a", 28 * KIB, False, 3)),
        FLAGS: (1, ops.GuestAccess(1, "write", "a", 28 * KIB, True, 3)),
        FAIL: (0, ops.GuestAccess(1, "write", "a", 28 * KIB, False)),
        FIRST: (1, ops.GuestAccess(1, "write", "a", 4 * KIB, False, 3)),
        FIRST + 6: (8, ops.GuestAccess(1, "write", "a", 28 * KIB + 8, False, 3)),
        SIZE: (9, ops.GuestAccess(1, "write", "a", 28 * KIB, False, 3)),
    }
    for at, (value, operation) in changes.items():
        changed = data.copy()
        changed[at] = value
        assert after("", bytes(changed)) == (operation,)


BIG = (1 << 64) - 1
# The preceding text, the record, the resulting operation.
REPAIRS: dict[str, tuple[str, bytes, Operation]] = {
    "kind counts modulo": ("", bytes([len(OPERATIONS) + 2]), ops.GuestSetWay(0)),
    "vCPU of a VM": ("", record(ops.GuestReset, cpu=6), ops.GuestReset(2)),
    "vCPU of the slot's VM": ("", record(ops.Evict, slot=3, cpu=1), ops.Evict(3, "o", 0)),
    "CPU": ("", record(ops.GuestMove, cpu=3, choice=5), ops.GuestMove(3, 1)),
    "slot": ("", record(ops.HostTestAge, slot=6, first=1), ops.HostTestAge("h", 4 * KIB)),
    "place": ("", record(ops.HostTestAge, first=1025), ops.HostTestAge("a", 4 * KIB)),
    "bytes go where pages are wanted": ("", record(ops.HostTestAge, first=1 | 5 << 48), ops.HostTestAge("a", 4 * KIB)),
    "bytes stay where they are legal": ("", record(ops.TableMkold, first=1 | 5 << 48), ops.TableMkold("a", 0x1005)),
    "size 0 is the rest": ("", record(ops.HostWrite, first=1), ops.HostWrite("a", 4 * KIB, 4092 * KIB)),
    "size": ("", record(ops.HostWrite, first=1022, size=4), ops.HostWrite("a", 4088 * KIB, 8 * KIB)),
    "size of a map": ("", record(ops.TableMap, slot=3, size=4097), ops.TableMap("o", 0, 4 * KIB, "r")),
    "fail": ("", record(ops.TableMap, size=1, fail=100), ops.TableMap("a", 0, 4 * KIB, "r")),
    "prot": ("", record(ops.TableRelax, choice=7), ops.TableRelax("a", 0, "rwx")),
    "hyp prot": ("", record(ops.HypMap, size=1, choice=10), ops.HypMap(0, 0, 4 * KIB, "device")),
    "hyp address": ("", record(ops.HypMap, first=1 << 36, third=(1 << 36) + 1, size=1),
                    ops.HypMap(0, 4 * KIB, 4 * KIB, "r")),
    "hyp size": ("", record(ops.HypMap, size=4097), ops.HypMap(0, 0, 4 * KIB, "r")),
    "hyp room": ("", record(ops.HypMap, first=(1 << 36) - 2, size=2),
                 ops.HypMap((1 << 48) - 8 * KIB, 0, 4 * KIB, "r")),
    "backing of RAM": ("", record(ops.HostWrite, slot=1, size=1), ops.HostWrite("h", 0, 4 * KIB)),
    "backing of pages": ("", record(ops.HostCollapse, slot=1, first=2), ops.HostCollapse("o", 8 * KIB)),
    "clear whole words": ("", record(ops.ClearLog, first=65, size=1), ops.ClearLog("a", 256 * KIB, 256 * KIB)),
    "clear up to the end": ("", record(ops.ClearLog, first=1023, size=64), ops.ClearLog("a", 3840 * KIB, 256 * KIB)),
    "get without log": ("log a off", record(ops.GetLog), ops.SetLog("a", True)),
    "clear without log": ("log a off", record(ops.ClearLog), ops.SetLog("a", True)),
    "create what is there": ("", record(ops.SlotCreate), ops.SlotDelete("a")),
    **{f"{make.__name__} of what is deleted": ("slot a delete", record(make, flags=1), ops.SlotCreate("a", log=True))
       for make in (ops.SlotDelete, ops.SlotMove, ops.SetLog, ops.GetLog, ops.ClearLog, ops.TableMap, ops.TableUnmap,
                    ops.TableWrprotect, ops.TableFlush, ops.TableMkyoung, ops.TableMkold, ops.TableIsYoung,
                    ops.TableRelax)},
    "device memory is never logged": ("slot d delete", record(ops.SlotCreate, slot=1, flags=1), ops.SlotCreate("d")),
    "move over another": ("", record(ops.SlotMove, slot=1, first=GIB // KIB // 4 + 1023),
                          ops.SlotMove("d", GIB + 4 * MIB)),
    "move below another": ("", record(ops.SlotMove, slot=0, first=1), ops.SlotMove("a", 4 * KIB)),
    "move out of bounds": ("", record(ops.SlotMove, slot=1, first=BIG), ops.SlotMove("d", 255 * GIB)),
    "create over another": ("slot a delete\nslot d move 1G", record(ops.SlotCreate),
                            ops.SlotCreate("a", GIB + MIB)),
    "create at a place that is taken": ("slot a delete", record(ops.SlotCreate, flags=7, first=2 * GIB // KIB // 4),
                                        ops.SlotCreate("a", 2 * GIB + MIB, True, True)),
}  # fmt: skip


@pytest.mark.parametrize("name", REPAIRS)
def test_illegal_records_are_repaired(name: str) -> None:
    text, data, operation = REPAIRS[name]
    assert after(text, data) == (operation,)


def test_an_operation_that_no_slot_supports_becomes_an_access() -> None:
    device = encode(parse("s2fuzz 1\nvm\nslot d size=1M backing=device\n"))
    data = device + record(ops.HostMerge, cpu=1, choice=2, first=3) + record(ops.ClearLog, flags=1)
    assert decode(data).operations == (
        ops.GuestAccess(1, "fetch", "d", 12 * KIB, False),
        ops.GuestAccess(0, "read", "d", 0, True),
    )


def test_clear_without_manual_becomes_get() -> None:
    data = encode(parse("s2fuzz 1\nvm\nslot a size=1M backing=thp log=on\n"))
    assert decode(data + record(ops.ClearLog)).operations == (ops.GetLog("a"),)


def slots(vm: str, *records: bytes) -> Program:
    """Return the program made from a machine and the records of its slots."""
    head = bytearray(encode(parse(f"s2fuzz 1\n{vm}\nslot a size=64K backing=anon\n"))[:RECORD_SIZE])
    head[6] = len(records) - 1
    program = check(bytes(head) + b"".join(records))
    assert not program.operations
    return program


def slot(name: bytes = b"", backing: int = 0, vm: int = 0, alias: int = 0, ipa: int = 0, size: int = 1, offset: int = 0,
         flags: int = 0, large: int = 0) -> bytes:  # fmt: skip
    return struct.pack("<5B3x8sQII", backing, flags, vm, alias, large, name, ipa, size, offset)


def test_names_are_legal_and_unique() -> None:
    raw = [b"a", b"a", b"", b"\xff" * 8, b"vm", b"s1", b"abcdefgh", b"a\0bcdefg"]
    names = [slot.name for slot in slots("vm", *(slot(name, ipa=at) for at, name in enumerate(raw))).slots]
    assert names == ["a", "s0", "s1", "s2", "s3", "s4", "abcdefgh", "s5"]


def test_slots_do_not_overlap() -> None:
    page = 4 * KIB
    places = (2, 0), (2, 1), (1, 1), (1, 1 << 20), (1, (1 << 20) + 1)
    program = slots("vm ipa=32", *(slot(size=size, ipa=ipa) for size, ipa in places))
    assert [(each.ipa, each.size) for each in program.slots] == [
        (0, 2 * page), (2 * page, 2 * page), (4 * page, page), (GIB, page), (2 * GIB, page)
    ]  # fmt: skip


def test_a_large_slot_needs_a_confirming_byte() -> None:
    pages = 16384
    sizes = [(pages, 0), (pages + 1, 0xA5), (pages + 1, 0), (pages + 2, 0xFF), (1 << 23, 0xA5), (0, 0xA5)]
    program = slots("vm", *(slot(size=size, large=large, ipa=1 << 10) for size, large in sizes))
    assert [each.size // KIB for each in program.slots] == [65536, 65540, 4096, 6144, 2048, 2048]


def test_slots_that_fit_nowhere_are_dropped() -> None:
    large = slot(size=2 * GIB // 4096, large=0xA5)
    assert len(slots("vm ipa=32", *[large] * 8).slots) == 2
    assert len(slots("vm ipa=33", *[large] * 8).slots) == 4
    both = slots("vm ipa=32 vms=2", large, large, large, slot(b"x", vm=1)).slots
    assert [each.name for each in both] == ["s0", "s1", "x"]


def test_an_alias_fits_the_slot_that_it_shares() -> None:
    program = slots(
        "vm vms=2",
        slot(b"a", backing=1, size=8, ipa=0),
        slot(b"b", backing=7, size=9, alias=1, vm=3, offset=5),
        slot(b"c", size=4, ipa=64, alias=2, offset=4),
        slot(b"d", size=4, ipa=128, alias=1, offset=5),
        slot(b"e", size=4, ipa=256, alias=5),
        slot(b"f", size=4, ipa=512, alias=200),
    )
    seen = [(each.backing, each.size // 4096, each.alias, each.offset // 4096, each.vm) for each in program.slots]
    assert seen == [
        ("thp", 8, "", 0, 0), ("thp", 8, "a", 0, 1), ("thp", 4, "a", 4, 0), ("thp", 4, "a", 0, 0),
        ("anon", 4, "", 0, 0), ("anon", 4, "", 0, 0)
    ]  # fmt: skip


def test_a_slot_has_a_backing_of_its_host() -> None:
    for granule, allowed in (("4K", 10), ("16K", 9), ("64K", 8)):
        records = [slot(backing=at, ipa=at) for at in range(len(BACKINGS))]
        # There are more backings than slots in a program.
        made = [slots(f"vm granule={granule} fwb=on dic=on", *some).slots for some in (records[:5], records[5:])]
        assert len({each.backing for some in made for each in some}) == allowed
