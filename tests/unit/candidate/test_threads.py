# SPDX-License-Identifier: GPL-2.0-only
"""Several threads that ask for one kernel tree get the same version, and it is opened once."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Event

import pytest

import candidate
from candidate.tree import opening
from candidate.tree.opening import Opened
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import TlbVhe

NAME = "tree:/of/two/threads"


class Openings:
    """Stands in for the opening of a tree: each one waits for a second one to begin, for a while."""

    def __init__(self) -> None:
        self.count = 0
        self.content = "a"
        self.begun = Event()
        self.both = Barrier(2)

    def opened(self, name: str) -> Opened:
        self.count += 1
        self.begun.set()
        with suppress(BrokenBarrierError):
            self.both.wait(0.5)
        return Opened(Pgtable, Mmu, KvmMain, TlbVhe, name, self.content)

    def content_of(self, _: str) -> str:
        return self.content


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> Openings:
    monkeypatch.setattr(candidate, "_TREES", {})
    found = Openings()
    monkeypatch.setattr(opening, "open_tree", found.opened)
    monkeypatch.setattr(opening, "content_of", found.content_of)
    return found


def twice(get: Callable[[str], candidate.Candidate], openings: Openings) -> list[candidate.Candidate]:
    """Ask for the tree in one thread, and in a second one while the first one opens it."""
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(get, NAME)
        assert openings.begun.wait(60)
        second = threads.submit(get, NAME)
        return [first.result(60), second.result(60)]


def test_one_tree_is_opened_once(openings: Openings) -> None:
    first, second = twice(candidate.get, openings)
    assert first is second
    assert openings.count == 1


def test_a_changed_tree_is_replaced_once(openings: Openings) -> None:
    old = candidate.get(NAME)
    openings.content = "b"
    openings.begun.clear()
    openings.both.reset()
    first, second = twice(candidate.renewed, openings)
    assert first is second
    assert (old.content, first.content) == ("a", "b")
    assert openings.count == 2
    assert candidate.get(NAME) is first


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_copy_of_the_process_does_not_wait_for_a_thread_that_it_lacks(openings: Openings) -> None:
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(candidate.get, NAME)
        assert openings.begun.wait(60)
        child = os.fork()
        if not child:
            signal.alarm(60)
            code = 1
            try:
                openings.both.abort()
                code = 0 if candidate.get(NAME).content == "a" else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        first.result(60)
