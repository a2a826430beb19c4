# SPDX-License-Identifier: GPL-2.0-only
"""Builds that are interrupted or killed leave nothing for long, and two builds at once share their library."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from candidate.tree.building.cache import RECORD

from ..unit.console import ROOT
from ..unit.processes import interruptible, state
from .tree_check import check, fake, left
from .trees import real_tree, small_tree


@pytest.fixture
def interrupted(tmp_path: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a build in which every compiler run takes forever."""
    compiler = fake(tmp_path, f"echo $$ >>{tmp_path}/pids\nexec sleep 600")
    command = interruptible([sys.executable, "-m", "fuzz", "tree", "check", str(small_tree(tmp_path / "tree"))])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CC": str(compiler)}
    with subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE, start_new_session=True) as child:
        try:
            while not (tmp_path / "pids").exists():
                assert child.poll() is None
                time.sleep(0.01)
            yield child
        finally:
            child.kill()
            for pid in (tmp_path / "pids").read_text().split():
                if state(int(pid)) != "Z":
                    os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_build_leaves_nothing(
    interrupted: subprocess.Popen[str], sent: signal.Signals, code: int, tmp_path: Path, cache: Path
) -> None:
    interrupted.send_signal(sent)
    _, err = interrupted.communicate(timeout=60)
    assert (interrupted.returncode, err) == (code, "s2fuzz: interrupted\n")
    assert left(cache) == []
    assert all(state(int(pid)) == "Z" for pid in (tmp_path / "pids").read_text().split())


def test_the_next_build_removes_what_a_killed_one_left(
    interrupted: subprocess.Popen[str], tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted.kill()
    interrupted.communicate(timeout=60)
    assert len(left(cache)) == 1
    # Empty files yield no library; only the cache folder matters here.
    assert check(tmp_path / "tree", capsys)[0] == 2
    assert left(cache) == []


def test_two_builds_at_once(common_cache: Path) -> None:
    """Both get the library, which was built once; nothing else is left."""
    tree = real_tree()
    command = [sys.executable, "-m", "fuzz", "tree", "check", str(tree), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = {name for name in left(common_cache) if name.startswith("12-O1-")}
    both = [subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [child.communicate(timeout=600)[0] for child in both]
    assert [child.returncode for child in both] == [0, 0]
    told = [json.loads(answer) for answer in answers]
    assert told[0]["library"] == told[1]["library"]
    if not before:
        assert sorted(each["cached"] for each in told) == [False, True]
    assert not [name for name in left(common_cache) if not (common_cache / name / RECORD).is_file()]
