# SPDX-License-Identifier: GPL-2.0-only
"""A trial of an import in another process."""

import os
import sys

import pytest

from candidate.registry.import_trial import ImportEnd, try_import


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the threads of the test runner, which do no imports."""
    monkeypatch.setattr("threading.active_count", lambda: 1)


def leave() -> None:
    os._exit(7)


def test_an_end_has_a_way_and_a_place() -> None:
    line = leave.__code__.co_firstlineno + 1
    assert try_import(leave, lambda file: file == __file__) == ImportEnd("with exit code 7", __file__, line)
    assert try_import(lambda: os.kill(os.getpid(), 9), lambda file: False) == ImportEnd("by SIGKILL", "", 0)


def test_an_import_that_returns_or_raises_has_no_end() -> None:
    done: list[int] = []

    def fail() -> None:
        done.append(1)
        raise SystemExit(3)

    assert try_import(fail, lambda file: True) is None
    # It ran in the other process.
    assert done == []
    assert sys.gettrace() is None or "import_trial" not in repr(sys.gettrace())


def test_other_threads_prevent_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.active_count", lambda: 2)
    assert try_import(leave, lambda file: True) is None
