# SPDX-License-Identifier: GPL-2.0-only
"""The text form of programs: printing and parsing are exact inverses, and errors are helpful."""

import re
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from fuzz.language import operations as ops
from fuzz.language.bounds import MANUAL, VMS
from fuzz.language.forms import FORMS
from fuzz.language.operations import OPERATIONS, OPTIONAL
from fuzz.language.program import BACKINGS, DEVICES, GIB, GRANULES, KIB, MIB, Program, ProgramError, Slot, Vm
from fuzz.language.text import MAX_FILE_SIZE, load, parse, print_program
from fuzz.language.validate import validate

from ..strategies import programs
from .slots import SLOTS
from .test_program_errors import HEAD

CANONICAL = """\
s2fuzz 1
vm granule=16K ipa=39 cpus=3 vms=2 fwb=on dic=on ttl=on range=on haf=on manual=set fail=2 resched=3 \
contended=7 grace=4 pa=52
slot a ipa=1G size=64M backing=thp log=on
slot b2 ipa=0 size=1040K backing=thp offset=16K log=on ro=on vm=1 alias=a
slot c ipa=16G size=32M backing=hugetlb32m
slot d ipa=4194352K size=16K backing=device offset=1008K
cpu0 read a+16K mmu=off
cpu4 write b2+0x1008 fail=3
cpu2 fetch c+0 mmu=off fail=99
cpu1 walk a+4K
cpu1 cache off
cpu5 cache on
cpu0 setway
cpu0 walk a+16K
cpu0 clean a+0x1 mmu=off
cpu0 abort a+0x3ffffff
cpu3 move 2
cpu4 reset
cpu0 speculate a+0x3ffffff
cpu1 evict d+1K
host write a+0 2M
host writeback a+16K 32K
host collapse a+2M
host split a+2M
host migrate a+16K 32K
host discard c+0 32M
host unmap d+0 16K
host poison b2+16K
host share b2+1M 16K
host merge a+48K
host age d+0 16K
host age a+0 16K flush=off
host testage a+32K
log a off
log a on
log a get
log a clear 1M 63M
log b2 clear 1M 16K
slot a move 4194368K
slot d move 512M fail=1
slot d delete
slot d create
slot a delete
slot a create ipa=48K log=on ro=on
slot d delete
slot d create ipa=1G fail=2
table map a+0x1001 0x1388 rwx fail=4
table map c+0 32M r
table unmap a+0x1010 0x1388
table wrprotect a+2M 0x3001
table flush a+0x64 1M
table mkyoung a+2M
table mkold a+0x200123
table isyoung d+0
table relax a+2M rx
hyp map 0x1234 0x80001234 12K rw
hyp map 0 1G 16K device fail=2
"""

quick = settings(max_examples=120, deadline=None, database=None)


def test_canonical_text_survives_parsing_and_printing() -> None:
    """Check the text with the first 35 operations; `test_no_step_is_missing` checks that each operation survives."""
    program = parse(CANONICAL)
    assert print_program(program) == CANONICAL
    assert {ops.declaration_of(type(operation)).position for operation in program.operations} == set(range(35))
    assert program.vm == Vm(16 * KIB, 39, 3, 2, True, True, True, True, True, "set", 2, 3, 7, grace=4, pa=52)
    assert program.slots[1] == Slot("b2", 0, MIB + 16 * KIB, "thp", 16 * KIB, True, True, 1, "a")
    by_line = dict(zip(CANONICAL.splitlines()[6:], program.operations, strict=True))
    for line, operation in {
        "cpu4 write b2+0x1008 fail=3": ops.GuestAccess(4, "write", "b2", 0x1008, True, 3),
        "host write a+0 2M": ops.HostWrite("a", 0, 2 * MIB),
        "host age a+0 16K flush=off": ops.HostAge("a", 0, 16 * KIB, False),
        "log a on": ops.SetLog("a", True),
        "log a clear 1M 63M": ops.ClearLog("a", MIB, 63 * MIB),
        "slot d move 512M fail=1": ops.SlotMove("d", 512 * MIB, 1),
        "slot d create": ops.SlotCreate("d", None, False, False, None),
        "slot a create ipa=48K log=on ro=on": ops.SlotCreate("a", 48 * KIB, True, True, None),
        "table map c+0 32M r": ops.TableMap("c", 0, 32 * MIB, "r"),
        "table relax a+2M rx": ops.TableRelax("a", 2 * MIB, "rx"),
        "hyp map 0 1G 16K device fail=2": ops.HypMap(0, GIB, 16 * KIB, "device", 2),
    }.items():
        assert by_line[line] == operation


def test_the_table_of_forms_has_each_class_once() -> None:
    assert [make for make, _ in FORMS] == [Vm, Slot, *OPERATIONS, *OPTIONAL]


def test_short_text_means_the_defaults_and_canonical_text_leaves_them_out() -> None:
    text = (
        "\n# all by default\r\ns2fuzz\t1  # one\r\n\r\n vm granule=4096 cpus=2 fwb=off manual=off # \x00 \u0663\n"
        "slot a backing=anon size=0x1000 offset=0 log=off ro=off vm=0\nslot b size=2G backing=device\n"
        "slot c size=1024K backing=hugetlb1g\ncpu0 read a+0 mmu=on\nhost age a+0K 4K flush=on\n"
        "slot a delete\nslot a create ro=off log=off"
    )
    assert (
        print_program(parse(text))
        == print_program(parse(text.encode()))
        == (
            "s2fuzz 1\nvm\nslot a ipa=1G size=4K backing=anon\nslot b ipa=2G size=2G backing=device\n"
            "slot c ipa=4G size=1M backing=hugetlb1g\ncpu0 read a+0\nhost age a+0 4K\n"
            "slot a delete\nslot a create\n"
        )
    )


def test_huge_pages_depend_on_the_granule_of_the_host() -> None:
    allowed = {
        "4K": ["anon", "thp", "hugetlb64k", "hugetlb2m", "hugetlb32m", "hugetlb1g", *DEVICES],
        "16K": ["anon", "thp", "hugetlb2m", "hugetlb32m", "hugetlb1g", *DEVICES],
        "64K": ["anon", "thp", "hugetlb2m", "hugetlb512m", *DEVICES],
    }
    for granule, some in allowed.items():
        for backing in BACKINGS:
            text = f"s2fuzz 1\nvm granule={granule} fwb=on dic=on\nslot a size=1M backing={backing}\n"
            if backing in some:
                assert parse(text).slots[0].backing == backing
            else:
                with pytest.raises(ProgramError) as caught:
                    parse(text)
                assert str(caught.value) == f"<text>:3: backing={backing!r}; allowed: {', '.join(some)}, memfd"


def test_numbers() -> None:
    words = {"0": 0, "007": 7, "1K": 1024, "0K": 0, "0xFff": 4095, "0x" + "0" * 99 + "1": 1}
    accesses = parse(SLOTS + "".join(f"cpu0 read a+{word}\n" for word in words)).operations
    assert accesses == tuple(ops.GuestAccess(0, "read", "a", n) for n in words.values())


def test_invalid_files(tmp_path: Path) -> None:
    good, long, binary = tmp_path / "good", tmp_path / "long", tmp_path / "binary"
    good.write_text(CANONICAL + "#" * (MAX_FILE_SIZE - len(CANONICAL)))
    long.write_text(good.read_text() + "#")
    binary.write_bytes(b"s2fuzz 1\n\xff")
    assert load(good) == load(str(good)) == parse(CANONICAL)
    for path, wrong, remedy in [
        (str(tmp_path / "none"), "No such file or directory", "name a file that can be read"),
        (str(tmp_path), "Is a directory", "name a file that can be read"),
        ("/proc/self/mem", "Input/output error", "name a file that can be read"),
        ("a\0b", "embedded null byte", "name a file that can be read"),
        ("\udcff/none", "No such file or directory", "name a file that can be read"),
        (str(long), "the file is too long", "allowed: at most 1M"),
        (str(binary), "byte 0xff at offset 9 is not UTF-8", "allowed: UTF-8 text"),
    ]:
        with pytest.raises(ProgramError) as caught:
            load(path)
        name = path.replace("\udcff", r"\udcff")
        assert str(caught.value) == f"{name}: {wrong}; {remedy}"
    with pytest.raises(
        ProgramError, match=r"^/dev/null:1: there is no program; allowed: a text that begins with s2fuzz 1$"
    ):
        load("/dev/null")


def test_random_programs_have_every_feature_of_the_language() -> None:
    marks = ("alias", "vm", "ro", "log", "offset")
    missing: set[object] = {*OPERATIONS, *BACKINGS, *GRANULES, *MANUAL, *(f"vms={n}" for n in VMS), *marks}

    @settings(quick, max_examples=100)
    @given(programs())
    def look(program: Program) -> None:
        vm = program.vm
        missing.difference_update(type(operation) for operation in program.operations)
        missing.difference_update(slot.backing for slot in program.slots)
        missing.difference_update((vm.granule, vm.manual, f"vms={vm.vms}"))
        missing.difference_update(mark for slot in program.slots for mark in marks if getattr(slot, mark))

    # Within one round Hypothesis prefers values it has seen. Without a seed for each round, its settings for a CI would
    # make all rounds the same.
    for round in range(50):
        if missing:
            seed(round)(look)()
    assert not missing


def try_to_parse(text: str | bytes) -> None:
    """Parse *text*, which must give a program that survives printing, or a `ProgramError`."""
    message = ""
    try:
        program = parse(text)
    except ProgramError as error:
        message = str(error)
    else:
        assert parse(print_program(program)) == program
    assert not message or "; allowed: " in message


@quick
@given(programs())
def test_print_and_parse_are_inverses(program: Program) -> None:
    validate(program)
    text = print_program(program)
    again = parse(text)
    assert again == program
    assert print_program(again) == text
    validate(again)


@quick
@given(st.text() | st.binary() | st.text(st.characters(max_codepoint=127)).map(HEAD.__add__))
def test_any_text_parses_or_is_a_program_error(text: str | bytes) -> None:
    try_to_parse(text)


WORDS = st.sampled_from([*CANONICAL.split(), *" \n#=+\0\r\t\u0663\udc80", "9" * 20, "-1", "0x"])


@settings(quick, max_examples=400)
@given(st.data())
def test_mutated_text_parses_or_is_a_program_error(data: st.DataObject) -> None:
    pieces = re.findall(r"\w+|\W" if data.draw(st.booleans()) else r"(?s).", CANONICAL)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(pieces) - 1))
        new = data.draw(st.sampled_from([[], [pieces[at]] * 2]) | st.lists(WORDS, max_size=2))
        pieces[at : at + 1] = new
    try_to_parse("".join(pieces))


@pytest.mark.parametrize("piece", ["9", "a", "a ", "\0", "#", "mmu=on "])
@pytest.mark.parametrize("start", ["", HEAD, SLOTS + "cpu0 read a+", SLOTS + "host write a+0 4K "])
def test_long_lines(start: str, piece: str) -> None:
    try_to_parse(start + piece * (10_000_000 // len(piece)))
