# SPDX-License-Identifier: GPL-2.0-only
"""Entries of the cache folder are made concurrently, each by one process at a time."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from reference.cache_folder import UNUSED, making_entry, remove_unused

BEGINNING: Final = ".making-"


class RefusedError(Exception):
    """Raised when the folder cannot be written."""


@contextmanager
def making(home: Path, what: str) -> Iterator[Path]:
    with making_entry(home, BEGINNING, what, lambda _, error: RefusedError(str(error))) as work:
        yield work


def killed(home: Path, what: str) -> None:
    """Begin an entry in a process that is killed before it finishes."""
    child = os.fork()
    if not child:
        with making(home, what) as work:
            (work / "file").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


class Second(threading.Thread):
    """Makes an entry of a name that another thread is already making."""

    def __init__(self, home: Path, what: str) -> None:
        super().__init__()
        self.home, self.what = home, what
        self.entered, self.leaves = threading.Event(), threading.Event()
        self.found: list[str] = []

    def run(self) -> None:
        with making(self.home, self.what) as work:
            self.found = os.listdir(work)
            self.entered.set()
            self.leaves.wait(60)


def test_two_entries_are_made_concurrently(tmp_path: Path) -> None:
    with making(tmp_path, "a") as first, making(tmp_path, "b") as second:
        (first / "file").touch()
        (second / "file").touch()
        assert sorted(os.listdir(tmp_path)) == [f"{BEGINNING}a", f"{BEGINNING}b"]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("renamed", [True, False])
def test_the_second_maker_waits_and_starts_anew(renamed: bool, tmp_path: Path) -> None:
    """Check that the first maker does not touch the folder of the second one."""
    second = Second(tmp_path, "a")
    with making(tmp_path, "a") as work:
        (work / "file").touch()
        second.start()
        assert not second.entered.wait(0.1)
        if renamed:
            work.rename(tmp_path / "entry")
            # By now the folder of a third maker has the place of the first one's.
            work.mkdir()
    assert second.entered.wait(60)
    assert second.found == []
    assert f"{BEGINNING}a" in os.listdir(tmp_path)
    second.leaves.set()
    second.join()
    assert os.listdir(tmp_path) == (["entry"] if renamed else [])


@pytest.mark.parametrize("what", ["a", "b"])
def test_leftovers_of_a_killed_process_are_removed(what: str, tmp_path: Path) -> None:
    killed(tmp_path, "a")
    assert os.listdir(tmp_path) == [f"{BEGINNING}a"]
    with making(tmp_path, what) as work:
        assert os.listdir(work) == []
        assert os.listdir(tmp_path) == [work.name]


def test_without_locks_each_process_has_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("fcntl.flock", without)
    with making(tmp_path, "a") as first, making(tmp_path, "a") as second:
        assert first != second
        (first / "file").touch()
        assert os.listdir(second) == []
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / f"{BEGINNING}a").touch()
    with pytest.raises(RefusedError, match="Not a directory"), making(tmp_path, "a"):
        pass
    with pytest.raises(RefusedError, match="File exists"), making(tmp_path / f"{BEGINNING}a", "b"):
        pass


def test_an_entry_that_vanishes_does_not_end_the_cleaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unused, used = tmp_path / "unused", tmp_path / "used"
    unused.mkdir()
    used.mkdir()
    long_ago = time.time() - UNUSED - 60
    os.utime(unused, (long_ago, long_ago))
    # Another process has removed the first entry since the folder was read.
    listed = [tmp_path / "vanished", unused, used]
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))
    remove_unused(tmp_path)
    assert os.listdir(tmp_path) == ["used"]


def test_nothing_is_cleaned_without_a_folder(tmp_path: Path) -> None:
    remove_unused(tmp_path / "none")
