# SPDX-License-Identifier: GPL-2.0-only
"""The text form of programs: exact inverses, and errors that help."""

import pickle
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import program as model
from fuzz.operations import Operation
from fuzz.program import GIB, KIB, MIB, Program, ProgramError, Slot, Vm
from fuzz.text import FORMS, MAX_FILE_SIZE, load, parse, print_program

HEAD = "s2fuzz 1\nvm\n"
SLOTS = HEAD + ("slot a size=4M backing=thp log=on\nslot d size=1M backing=device\nslot h size=4M backing=hugetlb2m\n")
CANONICAL = """\
s2fuzz 1
vm granule=4K ipa=40 cpus=2 fwb=off dic=off ttl=off
slot a ipa=1G size=4M backing=thp offset=0 log=on ro=off
slot b2 ipa=2G size=1028K backing=anon offset=4K log=on ro=on
cpu0 read a+4K mmu=off
cpu1 write a+0x1008 mmu=on fail=3
cpu0 fetch b2+0 mmu=on
cpu1 cache off
cpu0 setway
host write a+0 2M
host collapse a+2M
host split a+2M
host migrate a+4K 8K
host discard a+0 4M
host share b2+1M 4K
host age a+0 4K flush=on
host age a+0 4K flush=off
host testage a+12K
log a off
log a on
log a get
"""

quick = settings(max_examples=120, deadline=None, database=None)


def test_canonical_text_names_every_operation_and_comes_back() -> None:
    program = parse(CANONICAL)
    assert print_program(program) == CANONICAL
    assert {type(operation) for operation in program.operations} == {m for m, _ in FORMS[2:]}
    assert program.slots[1] == Slot("b2", 2 * GIB, MIB + 4 * KIB, "anon", 4 * KIB, True, True)
    assert program.operations[1] == model.GuestAccess(1, "write", "a", 0x1008, True, 3)
    assert program.operations[5] == model.HostWrite("a", 0, 2 * MIB)
    assert program.operations[-2:] == (model.SetLog("a", True), model.GetLog("a"))


def test_short_text_means_the_defaults() -> None:
    text = (
        "\n# all by default\r\ns2fuzz\t1  # one\r\n\r\n vm # \x00 \u0663\n"
        "slot a backing=anon size=0x1000\nslot b size=2G backing=device\n"
        "slot c size=1024K backing=hugetlb1g\ncpu0 read a+0\nhost age a+0K 4K"
    )
    assert (
        print_program(parse(text))
        == print_program(parse(text.encode()))
        == (
            "s2fuzz 1\nvm granule=4K ipa=40 cpus=2 fwb=off dic=off ttl=off\n"
            "slot a ipa=1G size=4K backing=anon offset=0 log=off ro=off\n"
            "slot b ipa=2G size=2G backing=device offset=0 log=off ro=off\n"
            "slot c ipa=4G size=1M backing=hugetlb1g offset=0 log=off ro=off\n"
            "cpu0 read a+0 mmu=on\nhost age a+0 4K flush=on\n"
        )
    )


def test_numbers() -> None:
    words = {"0": 0, "007": 7, "1K": 1024, "0K": 0, "0xFff": 4095, "0x" + "0" * 99 + "1": 1}
    accesses = parse(SLOTS + "".join(f"cpu0 read a+{word}\n" for word in words)).operations
    assert accesses == tuple(model.GuestAccess(0, "read", "a", n) for n in words.values())


NUMBER = "decimal with an optional K, M or G, or 0x and hexadecimal"
NAME = "a-z, then up to 7 of a-z and 0-9, but not host, log, vm, slot or cpuN"
STATEMENTS = "slot, cpu0 to cpu7, host, log"
ASCII, LIMIT = "printable ASCII, tabs, comments", "at most 0x10000000000000"
SIZES, TO_4092K = "4K to 2G in steps of 4K", "4K to 4092K in steps of 4K"
PAGED, RAM, DEVICE = "anon, thp", "anon, thp, hugetlb2m, hugetlb1g", "slot d has backing=device"
VM, SLOT = FORMS[0][1], FORMS[1][1]
USES = {at: ", ".join(use for _, use in FORMS if use.startswith(at)) for at in ("cpuN", "host")}

# By name: the text, the line, what is wrong, what is allowed.
TEXT_ERRORS = {
    "empty": ("", 1, "the text ends here", "s2fuzz 1"),
    "no header": ("\nvm\n", 2, "'vm' comes first", "s2fuzz 1"),
    "version": ("s2fuzz 2\nvm\n", 1, "unknown version '2'", "1"),
    "no vm": ("#\ns2fuzz 1\n\n", 2, "the text ends here", VM),
    "slot for vm": ("s2fuzz 1\nslot a\n", 2, "'slot' in place of vm", VM),
    "no slot": (HEAD, 2, "no slot", "1 to 8, right after vm"),
    "slot": (SLOTS + "cpu0 setway\nslot", 7, "slot behind an operation", "slots right after vm"),
    "slots": (HEAD + "".join(f"slot a{n} size=4K backing=thp\n" for n in range(9)), 11, "one slot too many", "1 to 8"),
    "count": (SLOTS + "cpu0 setway\n" * 10_001, 10_006, "one operation too many", "0 to 10000"),
    "log is off": (SLOTS + "log a off\nlog a get", 7, "log a is off here", "get after log a on"),
    "vm first": ("s2fuzz 1\nvm cpus=0\nslot", 2, "cpus=0", "1 to 8"),
    "first of two": (SLOTS + "cpu2 setway\nnonsense", 6, "cpu2", "cpu0 to cpu1"),
    "huge number": (SLOTS + "cpu0 read a+" + "9" * 9999, 6, f"'{'9' * 40}' is too large", LIMIT),
}
VM_ERRORS = {
    "granule=16K": ("granule=16K", "4K"),
    "ipa=49": ("ipa=49", "32 to 48"),
    "ipa=0x28": ("ipa='0x28' is no number", "decimal"),
    "fwb=yes": ("fwb='yes'", "on, off"),
    "ram=1": ("unknown 'ram=1'", VM),
    "ttl=on ttl=on": ("second ttl=", "every option once"),
}
STATEMENT_ERRORS = {
    **{head: (f"second {head}", "exactly one") for head in ("vm", "s2fuzz")},
    **{f"slot {name} size=4K backing=thp": (f"slot name '{name}'", NAME)
       for name in ("B", "b-", "b23456789", "cpu9", "cpu10", "host", "log", "vm", "slot")},
    "slot a size=4K backing=thp": ("second slot a", "every name once"),
    "slot b backing=thp": ("size= is missing", SLOT),
    "slot b size=4K": ("backing= is missing", SLOT),
    "slot b size=4K backing=ram": ("backing='ram'", RAM + ", device"),
    **{f"slot b size={size} backing=thp": (f"size={size}", SIZES) for size in ("0", "1K", "3G")},
    "slot b size=4K backing=thp offset=1G": ("offset=1G", "0 to 1048572K in steps of 4K"),
    "slot b size=4K backing=thp ipa=1K": ("ipa=1K", "0 to 1073741820K in steps of 4K"),
    "slot b size=2G backing=thp ipa=1023G": ("slot b ends at 1025G", "up to 1024G with ipa=40"),
    "slot b size=1G backing=thp ipa=1028K": ("slot b overlaps slot a", "slots that lie apart"),
    "slot b size=4K backing=device log=on": ("log=on with backing=device (-EINVAL)", "log=off"),
    **{f"{cpu} setway": (f"unknown statement '{cpu}'", STATEMENTS) for cpu in ("cpu8", "cpuN")},
    "cpu0 jump a+0": ("unknown operation 'cpu0 jump a+0'", USES["cpuN"]),
    "host": ("unknown operation 'host'", USES["host"]),
    "log a": ("unknown operation 'log a'", "log SLOT on|off, log SLOT get"),
    "cpu2 setway": ("cpu2", "cpu0 to cpu1"),
    "cpu0 setway now": ("unknown 'now'", "cpuN setway"),
    "host write a+0": ("'host write a+0' is not complete", "host write SLOT+OFF SIZE"),
    "cpu0 read a": ("'a' is no place", "SLOT+OFF, for example a+4K"),
    "cpu0 read z+0": ("unknown slot 'z'", "a, d, h"),
    **{f"cpu0 read a+{word}": (f"{word!a} is no number", NUMBER) for word in ("", "4k", "-1")},
    **{f"cpu0 read a+{odd}": (f"character {odd!a}", ASCII) for odd in "\u0663\u00b2\0\x85\udc80"},
    "cpu0 read a+0x10000000000001": ("'0x10000000000001' is too large", LIMIT),
    "cpu0 read a+4M": ("no such place in slot a: a+4M", "0 to 0x3fffff"),
    **{f"cpu0 read a+0 fail={n}": (f"fail={n}", "1 to 99") for n in (0, 100)},
    "host split a+1": ("no such place in slot a: a+0x1", "0 to 4092K in steps of 4K"),
    **{f"host age a+4K {size}": (f"size {size}", TO_4092K) for size in ("0", "0x1", "4M")},
    **{f"log d {on}": (DEVICE, RAM) for on in ("on", "off", "get")},
    **{f"host {verb} d+0 4K": (DEVICE, RAM) for verb in ("write", "migrate", "discard")},
    **{f"host {verb} {slot}+0{size}": (f"slot {slot} has backing={backing}", PAGED)
       for verb, size in [("collapse", ""), ("split", ""), ("share", " 4K")]
       for slot, backing in [("d", "device"), ("h", "hugetlb2m")]},
}  # fmt: skip
ERRORS = {
    **TEXT_ERRORS,
    **{f"vm {text}": (f"s2fuzz 1\nvm {text}\n", 2, *rest) for text, rest in VM_ERRORS.items()},
    **{text: (f"{SLOTS}{text}\n", 6, *rest) for text, rest in STATEMENT_ERRORS.items()},
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name: str) -> None:
    text, line, wrong, allowed = ERRORS[name]
    with pytest.raises(ProgramError) as caught:
        parse(text, "x.s2")
    assert str(caught.value) == f"x.s2:{line}: {wrong}; allowed: {allowed}"
    assert (caught.value.file, caught.value.line) == ("x.s2", line)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_everything_that_a_device_or_a_read_only_slot_allows() -> None:
    parse(SLOTS + "host age d+0 4K\nhost testage d+0\ncpu0 fetch d+1\ncpu0 write d+1\n")
    parse(HEAD + "slot r size=4K backing=anon log=on ro=on\ncpu0 write r+0\nhost write r+0 4K\n")
    parse(HEAD + "slot h ipa=4K size=8K backing=hugetlb1g offset=8K\nhost discard h+0 4K\n")


def test_program_from_code_has_the_line_it_would_be_printed_on() -> None:
    vm, slot, access = Vm(), Slot("a", GIB, 4096, "anon"), model.GuestAccess(0, "read", "a", 4096)
    bad = replace(access, kind=cast("model.AccessKind", "x"))
    nowhere = "no such place in slot a"
    for program, line, message in [
        (Program(vm, ()), 2, "no slot; allowed: 1 to 8, right after vm"),
        (Program(vm, (slot,), (model.GuestSetWay(1), access)), 5, f"{nowhere}: a+4K; allowed: 0 to 0xfff"),
        (Program(vm, (slot,), (replace(access, offset=-1),)), 4, f"{nowhere}: a+-0x1; allowed: 0 to 0xfff"),
        (Program(vm, (slot,), (bad,)), 4, "'x'; allowed: read, write, fetch"),
    ]:
        with pytest.raises(ProgramError) as caught:
            model.validate(program)
        assert str(caught.value) == f"<program>:{line}: {message}"


def test_files_that_are_none(tmp_path: Path) -> None:
    good, long, binary = tmp_path / "good", tmp_path / "long", tmp_path / "binary"
    good.write_text(CANONICAL + "#" * (MAX_FILE_SIZE - len(CANONICAL)))
    long.write_text(good.read_text() + "#")
    binary.write_bytes(b"s2fuzz 1\n\xff")
    assert load(good) == load(str(good)) == parse(CANONICAL)
    for path, wrong, allowed in [
        (str(tmp_path / "none"), "No such file or directory", "a file that can be read"),
        (str(tmp_path), "Is a directory", "a file that can be read"),
        ("/proc/self/mem", "Input/output error", "a file that can be read"),
        ("a\0b", "embedded null byte", "a file that can be read"),
        ("\udcff/none", "No such file or directory", "a file that can be read"),
        (str(long), "the file is too long", "at most 1M"),
        (str(binary), "byte 0xff at offset 9 is not UTF-8", "UTF-8 text"),
    ]:
        with pytest.raises(ProgramError) as caught:
            load(path)
        name = path.replace("\udcff", r"\udcff")
        assert str(caught.value) == f"{name}: {wrong}; allowed: {allowed}"
    with pytest.raises(ProgramError, match=r"^/dev/null:1: the text ends here; allowed: s2fuzz 1$"):
        load("/dev/null")


PAGES, FLAG = st.integers(0, 1 << 15), st.booleans()
NAMES = st.permutations(["a", "zz", "x0123456", "cpu", "cpux", "logs", "s2fuzz", "mmu"])
ANY_BACKING = (model.GuestAccess, model.GuestCache, model.HostAge, model.HostTestAge)
PAGED_ONLY = (model.HostCollapse, model.HostSplit, model.HostShare)


def operation(draw: st.DrawFn, vm: Vm, slot: Slot, logged: set[str]) -> Operation:
    """A random operation that is valid on *slot*; *logged* follows the logging."""
    make = draw(st.sampled_from([make for make, _ in FORMS[2:]]))
    fits = make in ANY_BACKING or slot.backing in (PAGED if make in PAGED_ONLY else RAM)
    if not fits or (make is model.GetLog and slot.name not in logged):
        make = model.GuestSetWay
    pages, flag = slot.size // vm.granule, draw(FLAG)
    page = draw(st.integers(0, pages - 1))
    byte = draw(st.integers(0, vm.granule - 1)) if make is model.GuestAccess else 0
    values = {
        "cpu": draw(st.integers(0, vm.cpus - 1)),
        "fail": draw(st.none() | st.integers(1, 99)),
        "kind": draw(st.sampled_from(model.ACCESS_KINDS)),
        "on": flag,
        "mmu": flag,
        "flush": flag,
        "slot": slot.name,
        "offset": page * vm.granule + byte,
        "size": draw(st.integers(1, pages - page)) * vm.granule,
    }
    if make is model.SetLog:
        (logged.add if flag else logged.discard)(slot.name)
    return cast("Operation", make(**{field.name: values[field.name] for field in fields(make)}))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A valid program of up to 8 slots and 12 operations."""
    vm = draw(st.builds(Vm, st.just(4 * KIB), st.integers(32, 48), st.integers(1, 8)))
    vm = replace(vm, **{name: draw(FLAG) for name in ("fwb", "dic", "ttl")})
    slots: list[Slot] = []
    end = 0
    for name in draw(NAMES)[: draw(st.integers(1, 8))]:
        backing = cast("model.Backing", draw(st.sampled_from(model.BACKINGS)))
        ipa, size, offset = (draw(PAGES) * vm.granule + extra for extra in (end, vm.granule, 0))
        log, read_only = draw(FLAG) and backing != "device", draw(FLAG)
        slots.append(Slot(name, ipa, size, backing, offset, log, read_only))
        end = ipa + size
    logged = {slot.name for slot in slots if slot.log}
    targets = draw(st.lists(st.sampled_from(slots), max_size=12))
    operations = tuple(operation(draw, vm, slot, logged) for slot in targets)
    return Program(vm, tuple(draw(st.permutations(slots))), operations)


def try_to_parse(text: str | bytes) -> None:
    """Parse *text*, which is a program that comes back, or a `ProgramError`."""
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
    model.validate(program)
    text = print_program(program)
    again = parse(text)
    assert again == program
    assert print_program(again) == text
    model.validate(again)


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
