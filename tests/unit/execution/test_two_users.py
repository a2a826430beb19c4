# SPDX-License-Identifier: GPL-2.0-only
"""Two threads of user space that collect and clear dirty logs concurrently, here on ports (on trees: tests/tree)."""

import random
from typing import Final

import pytest

from fuzz.generation.builder import ProgramBuilder
from fuzz.generation.threads import of_user
from fuzz.language.binary import decode, encode
from fuzz.language.operations import USERS, GetLog
from fuzz.language.program import ProgramError
from fuzz.language.text import parse, print_program

from ..block_run import Run

LOGGED: Final = "s2fuzz 1\nvm cpus=2 {}\nslot a size=2M backing=anon log=on\ncpu0 write a+0\ncpu0 write a+8K\n"
BLOCK: Final = "par\nuser0 log a {}\nuser1 log a {}\ncpu1 write a+4K\n{}end\nlog a get\n"
PLACES: Final = ("before lock 1", "after lock 1", "after store 1", "after flush 1", "before unlock 1", "after unlock 1")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("to", ["user1", "cpu1"])
def test_a_page_is_in_one_of_two_collections(place: str, to: str) -> None:
    """Check that each written page is in a log, and that pages written before the block are in one of its two logs."""
    run = Run("original", LOGGED.format("") + BLOCK.format("get", "get", f"switch user0 to {to} {place}\n"))
    assert run.violations == []
    first, second, _ = (part.value for part in run.outcomes[2].parts)
    last = run.outcomes[3].value
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert isinstance(last, list)
    assert (first[0] & 5, second[0] & 5, last[0] & 5) == (5, 0, 0)
    assert first[0] | second[0] | last[0] == 7
    if to == "user1":
        assert run.count("waits for the slots lock, which user0 holds") == 1


@pytest.mark.parametrize("calls", [("get", "clear 0 2M"), ("clear 0 2M", "get"), ("clear 0 2M", "clear 0 2M")])
def test_two_threads_clear_concurrently(calls: tuple[str, str]) -> None:
    for place in PLACES:
        switch = f"switch user0 to cpu1 {place}\n"
        run = Run("original", LOGGED.format("manual=on") + "log a get\n" + BLOCK.format(*calls, switch))
        assert (place, run.violations) == (place, [])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("log a get", "log a off", "log SLOT by user1; allowed: cpuN read"),
        ("log a get", "slot a delete", "slot SLOT by user1; allowed: cpuN read"),
        (
            "slot a delete",
            "log a get",
            "slot by user0 together with another thread of user space; allowed: log get and log clear",
        ),
        (
            "log a off",
            "log a get",
            "log by user0 together with another thread of user space; allowed: log get and log clear",
        ),
    ],
)
def test_calls_that_are_wrong_in_some_order_are_refused(first: str, second: str, message: str) -> None:
    text = LOGGED.format("") + f"par\nuser1 {second}\nuser0 {first}\ncpu1 read a+0\nend\n"
    with pytest.raises(ProgramError) as error:
        parse(text)
    assert message in str(error.value)


def test_both_forms_preserve_the_second_thread() -> None:
    program = parse(LOGGED.format("") + BLOCK.format("get", "get", "switch user1 to cpu1 after lock 1\n"))
    assert decode(encode(program)) == program
    assert parse(print_program(program)) == program


def test_the_generator_makes_two_threads_that_collect() -> None:
    program = parse(LOGGED.format(""))
    found: list[list[int]] = []
    for seed in range(200):
        builder = ProgramBuilder(random.Random(seed), 0, program)
        builder.access(builder.slots[0], seed << 12 & 0x1FF000)
        found.append([each.cpu for each in of_user(builder, builder.slots[0]) if isinstance(each.operation, GetLog)])
    assert list(USERS) in found
    assert [USERS[0]] in found
