# SPDX-License-Identifier: GPL-2.0-only
"""Par blocks as text and records, the table of operations that may run concurrently, and blocks made sequential."""

from dataclasses import replace
from typing import Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.language import operations as ops
from fuzz.language.binary import RECORD_SIZE, decode, encode
from fuzz.language.lock_rules import COUNTS, FAULTS, LOCK_RULES, MAX_ACCESSES, MAX_SWITCHES, RULE_OF
from fuzz.language.operations import (
    ACCESS_KINDS,
    HOSTS,
    MOMENTS,
    ONLY_AFTER,
    STEPS_OF_BOTH,
    STEPS_OF_CPU,
    STEPS_OF_HOST,
    USERS,
    AccessKind,
    GuestAccess,
    Par,
    Point,
    SetLog,
    Switch,
    Threaded,
    is_host,
)
from fuzz.language.program import Program, ProgramError, Slot, Vm, has_blocks, sequential
from fuzz.language.text import headings, parse, print_program
from fuzz.language.validate import validate
from fuzz.language.validation_state import ValidationState

VM: Final = Vm(cpus=3)
SIZE: Final = 4 << 20
PAGE: Final = 4 << 10
SLOT: Final = Slot("a", 1 << 30, SIZE, "anon")
HEAD: Final = "s2fuzz 1\nvm cpus=3\nslot a size=4M backing=anon\n"


def access(cpu: int) -> st.SearchStrategy[GuestAccess]:
    """Draw accesses by a vCPU."""
    kind = cast(st.SearchStrategy[AccessKind], st.sampled_from(ACCESS_KINDS))
    return st.builds(GuestAccess, st.just(cpu), kind, st.just("a"), st.integers(0, SIZE - 1), st.booleans())


def of_host(actor: int) -> st.SearchStrategy[Threaded]:
    """Draw operations of a thread of the host."""
    page = st.integers(0, SIZE // PAGE - 3).map(lambda number: number * PAGE)
    size = st.sampled_from((PAGE, 2 * PAGE))
    slot = st.just("a")
    ranges = [st.builds(make, slot, page, size) for make in (ops.HostDiscard, ops.HostMigrate, ops.HostUnmap)]
    places = [st.builds(make, slot, page) for make in (ops.HostMerge, ops.HostSplit, ops.HostTestAge)]
    age = st.builds(ops.HostAge, slot, page, size, st.booleans())
    return st.builds(Threaded, st.just(actor), st.one_of(*ranges, *places, age))


@st.composite
def blocks(draw: st.DrawFn) -> Par:
    """Draw legal blocks of three vCPUs and two threads of the host."""
    actors = draw(
        st.lists(st.sampled_from((0, 1, 2, *HOSTS[:2])), min_size=2, max_size=MAX_ACCESSES).filter(
            lambda x: len(set(x)) > 1
        )
    )
    operations = [draw(of_host(actor)) if is_host(actor) else draw(access(actor)) for actor in actors]
    switches: dict[object, Switch] = {}
    for _ in range(draw(st.integers(0, MAX_SWITCHES))):
        cpu, to = draw(st.permutations(sorted(set(actors))))[:2]
        own = STEPS_OF_HOST if is_host(cpu) else STEPS_OF_CPU
        point = cast(Point, draw(st.sampled_from((*own, *STEPS_OF_BOTH))))
        fault = point == "fault" or point in STEPS_OF_HOST
        switch = Switch(
            cpu,
            to,
            "after" if point in ONLY_AFTER else draw(st.sampled_from(MOMENTS)),
            point,
            draw(st.sampled_from(FAULTS if fault else COUNTS)),
            1 if fault else draw(st.sampled_from(FAULTS)),
        )
        switches[switch.anchor] = switch
    return Par(tuple(operations), tuple(switches.values()))


@given(st.lists(blocks(), min_size=1, max_size=3))
def test_printed_blocks_can_be_parsed(drawn: list[Par]) -> None:
    program = Program(VM, (SLOT,), (*drawn, GuestAccess(0, "read", "a", 0)))
    validate(program)
    text = print_program(program)
    assert parse(text) == program
    assert print_program(parse(text)) == text
    assert len(headings(program)) == len(drawn) + 3


# A block of two vCPUs, on the fourth to sixth line of a program.
TWO: Final = "par\ncpu0 read a+0\ncpu1 read a+0\n"
# A vCPU and a thread of the host.
BESIDE: Final = "par\ncpu0 read a+0\nhost0 split a+0\n"
# Lines after the slot; the line number, from 1, and the beginning of the message.
ERRORS: Final = {
    name: (text, line, wrong)
    for name, line, wrong, text in (
        ("a vCPU's", 5, "cpuN cache in a par block", "par\ncpu1 cache off\ncpu0 read a+0\nend"),
        ("not a block's", 6, "host write in a par block", "par\ncpu0 read a+0\nhost write a+0 4K\nend"),
        ("by a thread", 6, "cpuN read|write", "par\ncpu0 read a+0\nuser0 cpu1 read a+0\nend"),
        ("not a thread's kind", 6, "table map in a par", "par\ncpu0 read a+0\nhw0 table map a+0 4K r\nend"),
        ("place", 7, "no such place in slot a: a+9M", "par\n\ncpu0 read a+0\ncpu1 read a+9M # too far\nend"),
        ("fail", 5, "fail= in a par block", "par\ncpu0 read a+0 fail=1\ncpu1 read a+0\nend"),
        ("one operation", 4, "par with 1 operation(s)", "par\ncpu0 read a+0\nend"),
        ("one vCPU", 4, "par with one actor", "par\ncpu0 read a+0\ncpu0 read a+0\nend"),
        ("one thread", 4, "par with one actor", "par\nhost0 split a+0\nhost0 split a+0\nend"),
        ("no such thread", 6, "unknown statement 'host4'", "par\ncpu0 read a+0\nhost4 split a+0\nend"),
        ("thread outside", 4, "'host0' outside a par block", "host0 split a+0"),
        ("count too large", 7, "load 1048576", f"{TWO}switch cpu0 to cpu1 after load 1048576\nend"),
        ("thread's place", 6, "no such place in slot a: a+0x1", "par\ncpu0 read a+0\nhost0 split a+1\nend"),
        ("not a thread's", 6, "unknown operation 'host get'", "par\ncpu0 read a+0\nhost0 get\nend"),
        ("vCPU's step", 7, "start of cpu0", f"{BESIDE}switch cpu0 to host0 after start 1\nend"),
        ("thread's step", 7, "fault of host0", f"{BESIDE}switch host0 to cpu0 after fault 1\nend"),
        ("fault= of a step", 7, "fault=2 with end 1", f"{BESIDE}switch host0 to cpu0 after end 1 fault=2\nend"),
        ("one CPU", 5, "cpu0 and cpu1 both run on CPU 1", f"cpu0 move 1\n{TWO}end"),
        ("not there", 7, "cpu2 has no operation", f"{TWO}switch cpu0 to cpu2 after load 1\nend"),
        ("itself", 7, "switch cpu0 to cpu0", f"{TWO}switch cpu0 to cpu0 after load 1\nend"),
        ("before", 7, "before load", f"{TWO}switch cpu0 to cpu1 before load 1\nend"),
        ("count", 7, "load 0", f"{TWO}switch cpu0 to cpu1 after load 0\nend"),
        ("fault twice", 7, "fault=2 with fault 1", f"{TWO}switch cpu0 to cpu1 after fault 1 fault=2\nend"),
        ("two at one place", 8, "second switch at the same", TWO + "switch cpu0 to cpu1 after load 1\n" * 2 + "end"),
        ("order", 8, "operation after a switch", f"{TWO}switch cpu0 to cpu1 after load 1\ncpu0 read a+0\nend"),
        ("to", 7, "'switch cpu0 cpu1 after", f"{TWO}switch cpu0 cpu1 after load 1\nend"),
        ("no actor", 7, "'host' is not an actor", f"{TWO}switch cpu0 to host after load 1\nend"),
        ("no end", 7, "the text ends inside a par block", TWO),
        ("end", 4, "end without par", "end"),
        ("within", 5, "par in a par block", "par\npar\nend"),
        ("words", 4, "unknown 'now'", "par now"),
        ("switch outside", 4, "unknown statement 'switch'", "switch cpu0 to cpu1 after load 1"),
    )
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name: str) -> None:
    text, line, wrong = ERRORS[name]
    with pytest.raises(ProgramError) as caught:
        parse(HEAD + text, "x.s2")
    assert str(caught.value).startswith(f"x.s2:{line}: {wrong}")
    assert "; allowed: " in caught.value.message


def test_error_lines_are_those_of_the_canonical_text() -> None:
    good = GuestAccess(0, "read", "a", 0)
    par = Par((good, replace(good, cpu=1)), (Switch(0, 1, "after", "load", 1),))
    bad = replace(par, operations=(good, replace(good, cpu=1, offset=SIZE)))
    with pytest.raises(ProgramError) as caught:
        validate(Program(VM, (SLOT,), (par, good, bad)))
    assert caught.value.line == 4 + 5 + 1 + 2


def test_the_table_has_each_kind_of_operation_once() -> None:
    missing = [kind.__name__ for kind in (*ops.OPERATIONS, *ops.OPTIONAL) if kind not in RULE_OF]
    assert missing == [], "say in fuzz/language/lock_rules.py which locks it takes"
    assert RULE_OF.keys() <= {*ops.OPERATIONS, *ops.OPTIONAL}
    assert sum(len(rule.kinds) for rule in LOCK_RULES) == len(RULE_OF)
    assert all("(" in rule.evidence or "lock" in rule.evidence or "hardware" in rule.evidence for rule in LOCK_RULES)


PROGRAM: Final = parse(
    HEAD + "cpu0 read a+0\npar\ncpu0 write a+0\ncpu1 write a+4K\nswitch cpu0 to cpu1 after load 1\nend\ncpu2 read a+0\n"
)


@given(st.lists(blocks(), min_size=1, max_size=3))
def test_blocks_survive_encoding(drawn: list[Par]) -> None:
    program = Program(VM, (SLOT,), (GuestAccess(1, "read", "a", 0, fail=1), *drawn, GuestAccess(0, "read", "a", 0)))
    assert decode(encode(program)) == program


def records(*made: bytes) -> Program:
    """Return the valid, stable program of these records after a machine with three CPUs and one slot."""
    head = encode(Program(VM, (SLOT,)))
    program = decode(head + b"".join(made))
    validate(program)
    assert decode(encode(program)) == program
    return program


def cut(program: Program) -> list[bytes]:
    """Return the records of the operations of a program with one slot."""
    data = encode(program)
    return [data[at : at + RECORD_SIZE] for at in range(2 * RECORD_SIZE, len(data), RECORD_SIZE)]


BLOCK: Final = cut(
    parse(HEAD + "par\ncpu0 write a+0\nhost1 discard a+0 4K\ncpu1 read a+4K\n"
          "switch cpu0 to host1 after lookup 1\nswitch host1 to cpu1 after change 1\nend\n")
)  # fmt: skip


def lines(program: Program) -> list[str]:
    """Return the operations of a program as text."""
    return print_program(program).splitlines()[3:]


def changed(record: bytes, at: int, value: int) -> bytes:
    return record[:at] + bytes([value]) + record[at + 1 :]


def test_removing_a_record_removes_an_operation_or_a_switch() -> None:
    first, thread, last, one, other = BLOCK
    assert lines(records(*BLOCK))[1:4] == ["  cpu0 write a+0", "  host1 discard a+0 4K", "  cpu1 read a+4K"]
    # Without the first operation, another actor begins; only switches of the remaining actors stay.
    assert lines(records(thread, last, one, other)) == [
        *("par", "  host1 discard a+0 4K", "  cpu1 read a+4K"),
        *("  switch host1 to cpu1 after lock 1", "  switch host1 to cpu1 after change 1", "end"),
    ]
    assert lines(records(first, thread, other)) == [
        *("par", "  cpu0 write a+0", "  host1 discard a+0 4K", "  switch host1 to cpu0 after change 1", "end")
    ]
    # One operation or one actor alone makes no block; a switch without a block has no meaning.
    assert lines(records(first, one)) == ["cpu0 write a+0"]
    assert lines(records(first, changed(last, 1, 0), one)) == ["cpu0 write a+0", "cpu0 read a+4K"]
    assert lines(records(one, other)) == []
    assert lines(records(*BLOCK[:3], one, one)) == lines(records(*BLOCK[:4]))


def test_one_byte_of_a_switch_changes_one_part_of_it() -> None:
    operations, switch = BLOCK[:3], BLOCK[3]
    said = {
        0: (2, "switch cpu0 to host1 after store 1"),
        # An actor that looks up no frames gets another point, and a switch to its own actor gets another target.
        1: (HOSTS[1], "switch host1 to cpu1 after lock 1"),
        2: (1, "switch cpu0 to cpu1 after lookup 1"),
        3: (0, "switch cpu0 to host1 before lookup 1"),
        8: (3, "switch cpu0 to host1 after lookup 3"),
        16: (2, "switch cpu0 to host1 after lookup 1 fault=2"),
    }
    for at, (value, text) in said.items():
        (line,) = [each.strip() for each in lines(records(*operations, changed(switch, at, value))) if "switch" in each]
        assert line == text


def test_operations_not_allowed_in_blocks_become_accesses() -> None:
    access, other = BLOCK[0], changed(BLOCK[2], 0, ops.OPERATIONS.index(ops.TableMap))
    assert lines(records(access, other))[1:3] == ["  cpu0 write a+0", "  cpu1 read a+4K"]


@given(st.lists(st.sampled_from(BLOCK), min_size=1, max_size=40), st.data())
def test_any_records_of_blocks_are_a_valid_program(chosen: list[bytes], data: st.DataObject) -> None:
    made = bytearray(b"".join(chosen))
    for _ in range(data.draw(st.integers(0, 8))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    records(bytes(made))


def test_a_block_can_be_made_sequential() -> None:
    flat = sequential(PROGRAM)
    assert [each.cpu for each in flat.operations if isinstance(each, GuestAccess)] == [0, 0, 1, 2]
    assert not has_blocks(flat)
    assert sequential(flat) is flat


def test_a_block_that_is_refused_changes_nothing() -> None:
    state = ValidationState(VM)
    state.declare(SLOT)
    assert not SLOT.log
    turned = Threaded(USERS[0], SetLog("a", True))
    with pytest.raises(ProgramError):
        state.check(Par((turned, GuestAccess(0, "read", "a", 0)), (Switch(0, 1, "after", "fault", 1),)))
    assert "a" not in state.logged
    state.check(Par((turned, GuestAccess(0, "read", "a", 0))))
    assert "a" in state.logged
