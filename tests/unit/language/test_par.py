# SPDX-License-Identifier: GPL-2.0-only
"""Par blocks as text, the table of what may run beside what, and who takes a block apart."""

from dataclasses import replace
from random import Random
from typing import Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.generation.mutations import crossover, mutate
from fuzz.language import operations as ops
from fuzz.language.beside import COUNTS, FAULTS, LINES, MAX_ACCESSES, MAX_SWITCHES, TABLE
from fuzz.language.binary import encode
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
from fuzz.language.validate import ValidationState, validate

VM: Final = Vm(cpus=3)
SIZE: Final = 4 << 20
PAGE: Final = 4 << 10
SLOT: Final = Slot("a", 1 << 30, SIZE, "anon")
HEAD: Final = "s2fuzz 1\nvm cpus=3\nslot a size=4M backing=anon\n"


def access(cpu: int) -> st.SearchStrategy[GuestAccess]:
    """Accesses by a vCPU."""
    kind = cast(st.SearchStrategy[AccessKind], st.sampled_from(ACCESS_KINDS))
    return st.builds(GuestAccess, st.just(cpu), kind, st.just("a"), st.integers(0, SIZE - 1), st.booleans())


def of_host(actor: int) -> st.SearchStrategy[Threaded]:
    """Operations of a thread of the host."""
    page = st.integers(0, SIZE // PAGE - 3).map(lambda number: number * PAGE)
    size = st.sampled_from((PAGE, 2 * PAGE))
    slot = st.just("a")
    ranges = [st.builds(make, slot, page, size) for make in (ops.HostDiscard, ops.HostMigrate, ops.HostUnmap)]
    places = [st.builds(make, slot, page) for make in (ops.HostMerge, ops.HostSplit, ops.HostTestAge)]
    age = st.builds(ops.HostAge, slot, page, size, st.booleans())
    return st.builds(Threaded, st.just(actor), st.one_of(*ranges, *places, age))


@st.composite
def blocks(draw: st.DrawFn) -> Par:
    """Legal blocks of three vCPUs and two threads of the host."""
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
def test_what_is_printed_is_parsed(drawn: list[Par]) -> None:
    program = Program(VM, (SLOT,), (*drawn, GuestAccess(0, "read", "a", 0)))
    validate(program)
    text = print_program(program)
    assert parse(text) == program
    assert print_program(parse(text)) == text
    assert len(headings(program)) == len(drawn) + 3


# A block of two vCPUs, in the fourth to the sixth line of a program.
TWO: Final = "par\ncpu0 read a+0\ncpu1 read a+0\n"
# A vCPU and a thread of the host.
BESIDE: Final = "par\ncpu0 read a+0\nhost0 split a+0\n"
# Lines behind the slot; the line, from 1, and the beginning of what is wrong in it.
ERRORS: Final = {
    name: (text, line, wrong)
    for name, line, wrong, text in (
        ("not a block's", 6, "host write in a par block", "par\ncpu0 read a+0\nhost write a+0 4K\nend"),
        ("place", 7, "no such place in slot a: a+9M", "par\n\ncpu0 read a+0\ncpu1 read a+9M # too far\nend"),
        ("fail", 5, "fail= in a par block", "par\ncpu0 read a+0 fail=1\ncpu1 read a+0\nend"),
        ("one operation", 4, "par with 1 operation(s)", "par\ncpu0 read a+0\nend"),
        ("one vCPU", 4, "par with one actor", "par\ncpu0 read a+0\ncpu0 read a+0\nend"),
        ("one thread", 4, "par with one actor", "par\nhost0 split a+0\nhost0 split a+0\nend"),
        ("no such thread", 6, "unknown statement 'host4'", "par\ncpu0 read a+0\nhost4 split a+0\nend"),
        ("thread outside", 4, "unknown statement 'host0'", "host0 split a+0"),
        ("thread's place", 6, "no such place in slot a: a+0x1", "par\ncpu0 read a+0\nhost0 split a+1\nend"),
        ("not a thread's", 6, "unknown operation 'host get'", "par\ncpu0 read a+0\nhost0 get\nend"),
        ("vCPU's step", 7, "start of cpu0", f"{BESIDE}switch cpu0 to host0 after start 1\nend"),
        ("thread's step", 7, "fault of host0", f"{BESIDE}switch host0 to cpu0 after fault 1\nend"),
        ("fault= of a step", 7, "fault=2 with end 1", f"{BESIDE}switch host0 to cpu0 after end 1 fault=2\nend"),
        ("one CPU", 5, "cpu0 and cpu1 both run on CPU 1", f"cpu0 move 1\n{TWO}end"),
        ("not there", 7, "cpu2 does nothing", f"{TWO}switch cpu0 to cpu2 after load 1\nend"),
        ("itself", 7, "switch cpu0 to cpu0", f"{TWO}switch cpu0 to cpu0 after load 1\nend"),
        ("before", 7, "before load", f"{TWO}switch cpu0 to cpu1 before load 1\nend"),
        ("count", 7, "load 0", f"{TWO}switch cpu0 to cpu1 after load 0\nend"),
        ("fault twice", 7, "fault=2 with fault 1", f"{TWO}switch cpu0 to cpu1 after fault 1 fault=2\nend"),
        ("two at one place", 8, "second switch at one place", TWO + "switch cpu0 to cpu1 after load 1\n" * 2 + "end"),
        ("order", 8, "operation behind a switch", f"{TWO}switch cpu0 to cpu1 after load 1\ncpu0 read a+0\nend"),
        ("to", 7, "'switch cpu0 cpu1 after", f"{TWO}switch cpu0 cpu1 after load 1\nend"),
        ("no actor", 7, "'host' is no actor", f"{TWO}switch cpu0 to host after load 1\nend"),
        ("no end", 7, "the text ends in a par block", TWO),
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


def test_a_line_is_that_of_the_canonical_text() -> None:
    good = GuestAccess(0, "read", "a", 0)
    par = Par((good, replace(good, cpu=1)), (Switch(0, 1, "after", "load", 1),))
    bad = replace(par, operations=(good, replace(good, cpu=1, offset=SIZE)))
    with pytest.raises(ProgramError) as caught:
        validate(Program(VM, (SLOT,), (par, good, bad)))
    assert caught.value.line == 4 + 5 + 1 + 2


def test_the_table_has_each_kind_of_operation_once() -> None:
    assert sorted(LINES, key=str) == sorted(ops.OPERATIONS, key=str)
    assert sum(len(line.kinds) for line in TABLE) == len(LINES)
    assert all("(" in line.says or "lock" in line.says or "hardware" in line.says for line in TABLE)


PROGRAM: Final = parse(
    HEAD + "cpu0 read a+0\npar\ncpu0 write a+0\ncpu1 write a+4K\nswitch cpu0 to cpu1 after load 1\nend\ncpu2 read a+0\n"
)


def test_blocks_have_no_binary_form() -> None:
    with pytest.raises(ProgramError, match="a par block has no binary form"):
        encode(PROGRAM)
    assert encode(sequential(PROGRAM))


def test_who_knows_one_actor_takes_the_operations_in_a_row() -> None:
    flat = sequential(PROGRAM)
    assert [each.cpu for each in flat.operations if isinstance(each, GuestAccess)] == [0, 0, 1, 2]
    assert not has_blocks(flat)
    assert sequential(flat) is flat
    random = Random(1)
    for _ in range(50):
        for made in (mutate(PROGRAM, random), crossover(PROGRAM, PROGRAM, random)):
            validate(made)
            assert not has_blocks(made)


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
