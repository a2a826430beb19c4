# SPDX-License-Identifier: GPL-2.0-only
"""The start of a tree's process: a limit of the system is no broken library, and nothing is left open."""

import errno
import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from candidate.tree import TreeError
from candidate.tree.runtime.driver_core import DriverCore
from candidate.tree.runtime.errors import NOT_STARTED, TreeNotStartedError
from candidate.tree.runtime.pool import TreePool
from candidate.tree.runtime.process import Process
from candidate.tree.runtime.tallies import Tallies

# A program that reads nothing and answers nothing.
SILENT: Final = Path("/bin/true")


class Limited:
    """Stands in for a function of the system, which fails from a certain call on."""

    def __init__(self, function: object, calls: int, number: int) -> None:
        self.function, self.calls, self.number = function, calls, number

    def __call__(self, *arguments: object, **named: object) -> object:
        self.calls -= 1
        if self.calls < 0:
            raise OSError(self.number, os.strerror(self.number))
        assert callable(self.function)
        return self.function(*arguments, **named)


def start(library: Path) -> Process:
    return Process(library, Tallies(), DriverCore())


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("module", "name", "calls"),
    [(os, "memfd_create", 0), (os, "ftruncate", 0), (os, "pipe", 0), (os, "pipe", 1), (subprocess, "Popen", 0)],
)
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_a_limit_of_the_system_is_no_broken_library(
    module: object, name: str, calls: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    monkeypatch.setattr(module, name, Limited(getattr(module, name), calls, number))
    with pytest.raises(TreeNotStartedError, match=f"^{NOT_STARTED}: {os.strerror(number)}$"):
        start(SILENT)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("library", "words"), [("/none/library.so", "No such file or directory"), ("/bin/true", "does not start")]
)
def test_a_broken_library_is_built_again(library: str, words: str) -> None:
    before = descriptors()
    with pytest.raises(TreeError, match=f"^{library}: {words}: build it again$"):
        start(Path(library))
    assert descriptors() == before


def test_a_pool_without_processes_counts_nothing() -> None:
    pool = TreePool()
    with pytest.raises(TreeError):
        pool.take(SILENT)
    assert pool.idle() == pool.serving() == []
    assert pool.counts().by_library == {}
    pool.tallies.ended.add("library", b"\1" + bytes(7))
    pool.end_all()
    assert pool.counts().by_library == {"library": b"\1" + bytes(7)}
