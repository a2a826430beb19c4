# SPDX-License-Identifier: GPL-2.0-only
"""Forked copies of this process: they answer, end, and do not change it."""

import errno
import gc
import os
import signal
from collections.abc import Iterator

import pytest

from fuzz.processes.fork import Fork
from fuzz.processes.starting import NoProcessError

from . import PATIENCE, state, wait_for


def work(request: object) -> object:
    """Handle a request in a copy."""
    if request == "die":
        os.kill(os.getpid(), signal.SIGTERM)
    if request == "leave":
        os._exit(7)
    if request == "raise":
        raise ValueError("a mistake of ours")
    if request == "signals":
        return signal.getsignal(signal.SIGINT) == signal.SIG_IGN, signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if request == "frozen":
        return gc.get_freeze_count()
    return request, os.getpid()


@pytest.fixture
def fork() -> Iterator[Fork]:
    made = Fork("the copy", work)
    made.start()
    yield made
    made.close()


def asked(fork: Fork, request: object) -> object:
    """Send a request; return its answer."""
    fork.send(request)
    assert fork.ready(PATIENCE)
    answer = fork.read()
    return None if answer is None else answer[0]


def test_requests_and_answers(fork: Fork) -> None:
    big = "x" * 1_000_000
    assert asked(fork, big) == (big, fork.pid)
    assert asked(fork, [1, ("a", None)]) == ([1, ("a", None)], fork.pid)
    assert not fork.ready(0.01)
    assert fork.pid != os.getpid()


@pytest.mark.parametrize(("request_", "code"), [("die", -signal.SIGTERM), ("leave", 7), ("raise", 1)])
def test_the_death_of_a_copy_is_reported(fork: Fork, request_: str, code: int) -> None:
    assert asked(fork, request_) is None
    assert fork.death() == code
    # Writing to a dead copy does no harm, and another copy can be started.
    fork.send("anybody?")
    fork.close()
    fork.start()
    assert asked(fork, 1) == (1, fork.pid)


def test_signals_are_handled_by_the_parent(fork: Fork) -> None:
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert asked(fork, "signals") == (True, before[1])
    assert before == (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_shared_objects_are_not_collected(fork: Fork) -> None:
    """Check this because a collection in the copy would touch, and thus copy, all shared memory."""
    frozen = asked(fork, "frozen")
    assert isinstance(frozen, int)
    assert frozen > 10_000


def test_closing_ends_the_copy_and_leaves_nothing() -> None:
    before = set(os.listdir("/proc/self/fd"))
    made = Fork("the copy", work)
    made.start()
    pid = made.pid
    made.close()
    made.close()
    assert (made.pid, state(pid)) == (-1, "Z")
    assert set(os.listdir("/proc/self/fd")) == before


def test_the_end_of_a_killed_copy_is_seen(fork: Fork) -> None:
    os.kill(fork.pid, signal.SIGKILL)
    wait_for(lambda: fork.ready(0), "its end")
    assert fork.read() is None
    assert fork.death() == -signal.SIGKILL


def test_a_fork_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    before = set(os.listdir("/proc/self/fd"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    monkeypatch.setattr(os, "fork", refuse)
    made = Fork("the copy", work)
    for _ in range(2):
        with pytest.raises(NoProcessError, match="the copy cannot be started: Resource temporarily unavailable; try: "):
            made.start()
    assert set(os.listdir("/proc/self/fd")) == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
