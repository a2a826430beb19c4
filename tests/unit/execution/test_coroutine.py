# SPDX-License-Identifier: GPL-2.0-only
"""Coroutines: code that leaves in the middle and resumes there."""

import gc

import pytest
from greenlet import greenlet

from fuzz.execution.coroutine import Coroutine


def test_coroutines_take_turns() -> None:
    said: list[str] = []

    def body(name: str) -> None:
        for step in range(2):
            said.append(f"{name}{step}")
            (one if name == "a" else other).suspend()

    one, other = Coroutine(lambda: body("a")), Coroutine(lambda: body("b"))
    while not (one.done and other.done):
        for each in (one, other):
            if not each.done:
                each.resume()
                said.append("|")
    assert "".join(said) == "a0|b0|a1|b1|||"


def test_an_exception_is_raised_by_resume() -> None:
    def body() -> None:
        one.suspend()
        raise KeyError("here")

    one = Coroutine(body)
    one.resume()
    assert not one.done
    with pytest.raises(KeyError, match="here"):
        one.resume()
    assert one.done


def test_ended_code_runs_no_further() -> None:
    """Check that ended code runs no further and leaves no stack."""
    before = stacks()
    assert ended() == ([0], True, True)
    assert stacks() == before


def ended() -> tuple[list[int], bool, bool]:
    """End code that ran for one step and code that never ran; return its output, and whether both are done."""
    said: list[int] = []

    def body() -> None:
        for step in range(9):
            said.append(step)
            one.suspend()

    one, never = Coroutine(body), Coroutine(body)
    one.resume()
    for each in (one, never, one):
        each.end()
    return said, one.done, never.done


def stacks() -> int:
    """Count the greenlets."""
    gc.collect()
    return sum(isinstance(each, greenlet) for each in gc.get_objects())


def test_a_coroutine_can_leave_to_another_one() -> None:
    """Check that the other coroutine starts then, and that control returns to the caller of resume() at the end."""
    said: list[str] = []

    def first() -> None:
        said.append("a0")
        one.transfer_to(other)
        said.append("a1")

    def second() -> None:
        said.append("b0")
        other.transfer_to(one)
        raise AssertionError("it is never resumed")

    one, other = Coroutine(first), Coroutine(second)
    one.resume()
    assert said == ["a0", "b0", "a1"]
    assert one.done
    assert not other.done
    other.end()
    assert other.done


def test_an_exception_of_another_coroutine_is_raised_by_resume() -> None:
    def second() -> None:
        raise KeyError("there")

    one = Coroutine(lambda: one.transfer_to(other))
    other = Coroutine(second)
    with pytest.raises(KeyError, match="there"):
        one.resume()
    assert (one.done, other.done) == (False, True)
    one.end()
    assert one.done


def test_a_coroutine_can_leave_from_nested_calls() -> None:
    """Check it with several coroutines, each of which handles its own exception."""
    said: list[str] = []

    def body(number: int, depth: int) -> None:
        try:
            if depth:
                body(number, depth - 1)
            raise KeyError(number)
        except KeyError as error:
            each[number].suspend()
            said.append(f"{number}{error.args[0]}")

    each = [Coroutine(lambda number=number: body(number, 40)) for number in range(3)]  # type: ignore[misc]
    while not all(one.done for one in each):
        for one in each:
            if not one.done:
                one.resume()
    assert said == ["00", "11", "22"] * 41


def test_ended_code_leaves_no_garbage() -> None:
    gc.collect()
    gc.disable()
    try:
        assert ended()[1:] == (True, True)
        assert gc.collect() == 0
    finally:
        gc.enable()
