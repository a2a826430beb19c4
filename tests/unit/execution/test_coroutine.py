# SPDX-License-Identifier: GPL-2.0-only
"""Code that leaves in the middle, and goes on there."""

import threading

import pytest

from fuzz.execution.coroutine import Coroutine


def test_turns() -> None:
    said: list[str] = []

    def body(name: str) -> None:
        for step in range(2):
            said.append(f"{name}{step}")
            (one if name == "a" else other).leave()

    one, other = Coroutine(lambda: body("a")), Coroutine(lambda: body("b"))
    while not (one.done and other.done):
        for each in (one, other):
            if not each.done:
                each.resume()
                said.append("|")
    assert "".join(said) == "a0|b0|a1|b1|||"


def test_what_it_raises_is_raised_by_resume() -> None:
    def body() -> None:
        one.leave()
        raise KeyError("here")

    one = Coroutine(body)
    one.resume()
    assert not one.done
    with pytest.raises(KeyError, match="here"):
        one.resume()
    assert one.done


def test_end() -> None:
    """Code that is ended runs no further, and leaves no thread."""
    before = threading.active_count()
    said: list[int] = []

    def body() -> None:
        for step in range(9):
            said.append(step)
            one.leave()

    one, never = Coroutine(body), Coroutine(body)
    one.resume()
    for each in (one, never, one):
        each.end()
    assert (said, one.done, never.done) == ([0], True, True)
    assert threading.active_count() == before
