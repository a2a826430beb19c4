# SPDX-License-Identifier: GPL-2.0-only
"""Whose mistake an exception is."""

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from fuzz.reports.trace import Trace

PROGRAM = "s2fuzz 1\nvm\nslot a size=4K backing=anon\ncpu0 read a+0\n"


def test_a_mistake_of_ours_is_not_the_candidates() -> None:
    executor = Executor(candidate.get("original"), parse(PROGRAM))
    trace = Trace(executor)
    executor.create()
    trace.lines = None  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="append"):
        executor.step(0)
