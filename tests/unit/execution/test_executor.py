# SPDX-License-Identifier: GPL-2.0-only
"""The origin of an exception, and the state that an executor keeps for one operation."""

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from fuzz.reports.trace import Trace

PROGRAM = "s2fuzz 1\nvm\nslot a size=4K backing=anon\ncpu0 read a+0\n"


def test_an_internal_error_is_not_blamed_on_the_candidate() -> None:
    executor = Executor(candidate.get("original"), parse(PROGRAM))
    trace = Trace(executor)
    executor.create()
    trace.lines = None  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="append"):
        executor.step(0)


AGED = "s2fuzz 1\nvm\nslot a size=2M backing=thp\nhost age a+0 2M\nhost split a+0\nhost age a+0 2M\n"


def test_pages_to_age_are_kept_for_one_operation() -> None:
    executor = Executor(candidate.get("original"), parse(AGED))
    executor.create()
    side = executor.side
    start, end = side.layouts[0].hva, side.layouts[0].hva + side.layouts[0].size
    counts = []
    for at in range(3):
        executor.step(at)
        counts.append(len(side.pages_to_age(start, end)))
        assert side.pages_to_age(start, end) is side.pages_to_age(start, end)
    assert counts[0] == 1
    assert counts[2] == 512
