# SPDX-License-Identifier: GPL-2.0-only
"""Work shared by several copies of a process: each piece is answered once, even if a copy dies."""

import os
import signal
from pathlib import Path

import pytest

from fuzz.findings.replay_beside import answers
from fuzz.processes.fork import Fork
from fuzz.processes.starting import NoProcessError

from ..processes import wait_for


def test_each_request_has_its_answer() -> None:
    assert sorted(answers([3, 1, 2], 2, lambda request: request * 10)) == [(0, 30), (1, 10), (2, 20)]
    assert list(answers([], 2, str)) == []
    assert list(answers(["a", "b"], 1, str.upper)) == [(0, "A"), (1, "B")]


def test_a_bounded_number_of_pieces_runs_concurrently(tmp_path: Path) -> None:
    def begin(name: str) -> int:
        """Wait until the next piece has begun; return the number of pieces begun so far."""
        (tmp_path / name).touch()
        wait_for(lambda: name == "2" or (tmp_path / {"0": "1", "1": "2"}[name]).exists(), "the other piece")
        return len(list(tmp_path.iterdir()))

    # The third piece begins when the first one is done, while the second one still waits.
    assert dict(answers(["0", "1", "2"], 2, begin)) == {0: 2, 1: 3, 2: 3}


def test_only_the_piece_whose_process_dies_has_no_answer() -> None:
    def die(request: int) -> int:
        if request == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return request

    assert sorted(answers([1, 2, 3, 4], 2, die)) == [(0, 1), (1, None), (2, 3), (3, 4)]


def test_without_processes_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Fork) -> None:
        raise NoProcessError("a process that replays", OSError("refused"))

    monkeypatch.setattr(Fork, "start", refuse)
    assert list(answers([1, 2, 3], 2, str)) == [(0, None), (1, None), (2, None)]
