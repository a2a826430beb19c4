# SPDX-License-Identifier: GPL-2.0-only
"""SIGTERM and SIGHUP end a command as Ctrl-C does; ignored signals stay ignored; no process or file is left behind."""

import json
import os
import signal
from pathlib import Path

import pytest

from ..console import MISSING_CLEAN
from ..processes import Started, wait_for

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.mark.parametrize(
    ("numbers", "ignored", "code"),
    [
        ([INT], [], 130),
        ([TERM], [], 143),
        ([HUP], [], 129),
        # nohup ignores these signals, and so does a shell without job control for a background job.
        ([HUP, TERM], [HUP], 143),
        ([INT, TERM], [INT], 143),
    ],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP", "SIGHUP ignored", "Ctrl-C ignored"],
)
def test_fuzz_ends_with_its_report(tmp_path: Path, numbers: list[int], ignored: list[int], code: int) -> None:
    fuzz = Started(tmp_path, "fuzz", "--candidate", "rfc-v1", "--programs", "1000000", "--json", ignored=ignored)
    wait_for(lambda: list(tmp_path.glob("findings/rfc-v1/regression-*.s2")), "a finding")
    ended, out, err = fuzz.end(*numbers)
    assert ended == code, err
    answer = json.loads(out)
    assert answer["interrupted"]
    assert any(each["class"] == "regression" for each in answer["findings"])


@pytest.mark.parametrize(("number", "code"), [(TERM, 143), (HUP, 129)])
def test_minimize_leaves_the_best_so_far(tmp_path: Path, number: int, code: int) -> None:
    """Shrink a program on kernel code that does not return, so that the command keeps running."""
    program = tmp_path / "p.s2"
    program.write_text(MISSING_CLEAN + "host discard a+0 2M\n" * 20)
    minimize = Started(tmp_path, "minimize", "p.s2", "--candidate", "eventless-loop", "--seconds", "3600")
    wait_for(lambda: "s2fuzz:" in minimize.err.read_text(), "shrinking", 600)
    ended, _, err = minimize.end(number)
    assert ended == code, err


@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, 143)])
def test_explore_reports_its_findings(tmp_path: Path, number: int, code: int) -> None:
    """Explore a program whose schedules take hours to run."""
    accesses = "".join(f"cpu{cpu} write a+{4 * page}K\n" for page in range(4) for cpu in range(2))
    (tmp_path / "p.s2").write_text(f"s2fuzz 1\nvm\nslot a size=2M backing=anon\npar\n{accesses}end\n")
    explore = Started(tmp_path, "explore", "p.s2", "--candidate", "rfc-v1", "--preemptions", "4")
    wait_for(lambda: "s2fuzz:" in explore.err.read_text(), "exploring")
    ended, out, err = explore.end(number)
    assert ended == code, err
    assert "there are more, but s2fuzz was interrupted" in out


@pytest.mark.parametrize(("numbers", "ignored", "code"), [([HUP], [], 129), ([INT, TERM], [INT], 143)])
def test_a_campaign_ends_in_order(tmp_path: Path, numbers: list[int], ignored: list[int], code: int) -> None:
    arguments = ("campaign", "c", "--candidate", "rfc-v1", "--workers", "1")
    campaign = Started(tmp_path, *arguments, ignored=ignored)
    log = tmp_path / "c" / "log"
    wait_for(lambda: log.exists() and "session 1" in log.read_text(), "a session")
    ended, _, err = campaign.end(*numbers)
    assert ended == code, err
    assert "ended: interrupted" in log.read_text()


def test_children_die_with_a_killed_command(tmp_path: Path) -> None:
    """Kill a command whose child loops in kernel code and handles no signal."""
    program = tmp_path / "p.s2"
    program.write_text("s2fuzz 1\nvm\nslot a size=4K backing=anon\ncpu0 read a+0\n")
    run = Started(tmp_path, "run", "p.s2", "--candidate", "eventless-abort")
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children")
    wait_for(lambda: children.read_text().split(), "the process that judges")
    (child,) = children.read_text().split()
    assert int(child) != os.getpid()
    assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL


def test_the_demo_says_that_it_was_interrupted(tmp_path: Path) -> None:
    demo = Started(tmp_path, "demo", "--seconds", "3600")
    wait_for(lambda: " s  common" in demo.out.read_text() or " s  regression" in demo.out.read_text(), "a finding")
    ended, _, err = demo.end(INT)
    assert ended == 130, err
    assert "s2fuzz: demo: interrupted after " in err
