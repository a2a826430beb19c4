# SPDX-License-Identifier: GPL-2.0-only
"""Waiting for data from other processes, also with very many open files."""

import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from fuzz.processes.fork import Fork
from fuzz.processes.waiting import readable

# `select.select` takes smaller descriptors only.
LARGE: Final = 1100


@pytest.fixture(name="pipe")
def large_pipe() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a pipe whose descriptors are large."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * LARGE), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        ends: list[int] = []
        for end in os.pipe():
            stack.callback(os.close, end)
            ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, LARGE))
            stack.callback(os.close, ends[-1])
        yield ends[0], ends[1]


def test_large_descriptors(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    assert readable([reader], 0) == set()
    os.write(writer, b"x")
    assert readable([reader]) == {reader}


def test_a_closed_end_counts() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    assert readable([reader], -1.0) == {reader}
    os.close(reader)


def test_a_fork_may_have_large_descriptors(pipe: tuple[int, int]) -> None:
    held: list[int] = []
    while not held or held[-1] < LARGE - 10:
        held.append(os.dup(pipe[0]))
    copy = Fork("a copy", lambda request: request + 1)
    try:
        copy.start()
        copy.send(1)
        assert copy.ready(60)
        assert copy.read() == (2,)
    finally:
        copy.close()
        for each in held:
            os.close(each)
