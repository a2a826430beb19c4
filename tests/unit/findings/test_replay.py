# SPDX-License-Identifier: GPL-2.0-only
"""Replay in a fresh process: the findings of a program, and no exception however that process ends."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import candidate
from fuzz.findings import replay_server
from fuzz.findings.found import CRASH
from fuzz.findings.replay import HUNG, Replayer, replay
from fuzz.judging.differential import Differential, Verdict
from fuzz.judging.versions_with_bug import has_bug
from fuzz.language.program import Program
from fuzz.language.text import parse, print_program
from reference import stores

from ..console import MISSING_CLEAN
from ..processes import wait_for

REQUEST = {"program": MISSING_CLEAN, "reference": "original", "candidate": "rfc-v1", "seconds": 60, "silence": 10}


def judged_here() -> set[tuple[str, str]]:
    verdict = Differential(candidate.get("original"), candidate.get("rfc-v1")).run(parse(MISSING_CLEAN))
    return {(finding.kind, finding.signature) for finding in verdict.findings}


@pytest.fixture(scope="module")
def replayer() -> Iterator[Replayer]:
    with Replayer() as made:
        yield made


def test_a_replay_shows_the_findings_of_a_verdict_here() -> None:
    assert replay(MISSING_CLEAN, "original", "rfc-v1") == judged_here()


def test_a_replay_shows_reasons_and_operations(replayer: Replayer) -> None:
    shown = replayer.shows(MISSING_CLEAN, "original", "rfc-v1")
    assert {each.key for each in shown} == judged_here()
    assert all(each.reason and each.at in range(4) for each in shown)


def test_a_program_without_findings(replayer: Replayer) -> None:
    assert replayer.keys(MISSING_CLEAN, "original", "rfc-v1-fixed") == set()


def test_a_hang_is_reported(replayer: Replayer) -> None:
    with Replayer(seconds=1e-4) as hasty:
        assert hasty.keys(MISSING_CLEAN, "original", "rfc-v1") == {(CRASH, HUNG)}


def test_text_that_is_no_program_is_a_crash(replayer: Replayer) -> None:
    assert replayer.keys("nonsense", "original", "rfc-v1") == {(CRASH, "ProgramError in text.parse")}


def test_an_unknown_version_is_a_crash(replayer: Replayer) -> None:
    ((kind, signature),) = replayer.keys(MISSING_CLEAN, "original", "rfc-v9")
    assert kind == CRASH
    assert signature.startswith("UnknownCandidateError")


def test_a_lost_server_is_replaced(replayer: Replayer) -> None:
    replayer.keys(MISSING_CLEAN, "original", "rfc-v1")
    assert replayer.server is not None
    replayer.server.kill()
    assert replayer.keys(MISSING_CLEAN, "original", "rfc-v1") == judged_here()


def test_a_server_that_cannot_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert replay(MISSING_CLEAN, "original", "rfc-v1") == {(CRASH, "process not started")}
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert replay(MISSING_CLEAN, "original", "rfc-v1") == {(CRASH, "process lost")}


@pytest.mark.parametrize("deed", ["killed", "left"])
def test_the_end_of_the_process_is_reported(deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the process that the server forks."""

    def dies(_: Differential, program: Program) -> Verdict:
        if deed == "left":
            os._exit(7)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("alive")

    monkeypatch.setattr(Differential, "run", dies)
    answer = replay_server.answer(REQUEST)
    assert answer == ({"exit": 7} if deed == "left" else {"signal": signal.SIGKILL})


def test_programs_do_not_affect_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Program] = []

    def once(_: Differential, program: Program) -> Verdict:
        seen.append(program)
        assert len(seen) == 1
        return Verdict()

    monkeypatch.setattr(Differential, "run", once)
    assert [replay_server.answer(REQUEST) for _ in range(3)] == [{"shown": []}] * 3
    assert seen == []


OTHER = parse("s2fuzz 1\nvm\nslot a size=4K backing=anon\ncpu0 read a+0\n")


def test_expected_programs_are_replayed_concurrently_with_the_same_findings(replayer: Replayer) -> None:
    texts = [MISSING_CLEAN, print_program(OTHER), f"{MISSING_CLEAN}cpu0 read a+0\n", "no program"]
    alone = [replayer.shows(text, "original", "rfc-v1") for text in texts]
    replayer.expect([*texts, MISSING_CLEAN], "original", "rfc-v1", beside=2)
    assert len(replayer.expected) == len(texts)
    # Ask in another order than the programs are run, and ask for one unexpected program in between.
    found = {text: replayer.shows(text, "original", "rfc-v1") for text in (texts[2], f"{texts[0]}\n", *texts)}
    assert [found[text] for text in texts] == alone
    assert found[f"{texts[0]}\n"] == alone[0]
    assert not replayer.expected
    assert {(each.kind, each.signature) for each in alone[0]} == judged_here()


def test_a_server_lost_with_expected_programs_is_replaced(replayer: Replayer) -> None:
    alone = replayer.keys(print_program(OTHER), "original", "rfc-v1")
    replayer.expect([MISSING_CLEAN, print_program(OTHER)], "original", "rfc-v1", beside=2)
    assert replayer.server is not None
    replayer.server.kill()
    assert replayer.keys(print_program(OTHER), "original", "rfc-v1") == alone
    assert replayer.keys(MISSING_CLEAN, "original", "rfc-v1") == judged_here()


def test_expected_programs_never_asked_for_leave_no_process() -> None:
    with Replayer() as made:
        made.expect([MISSING_CLEAN, print_program(OTHER)], "original", "rfc-v1", beside=2)
        assert made.server is not None
        number = made.server.pid
    wait_for(lambda: not Path(f"/proc/{number}").exists(), "the end of the server")
    assert not [path for path in Path("/proc").glob("[0-9]*/stat") if session_of(path) == number]


def session_of(stat: Path) -> int:
    """Return the session of a process, or 0 if the process is gone."""
    try:
        return int(stat.read_text().rpartition(")")[2].split()[3])
    except OSError:
        return 0


def test_the_server_ends_with_its_input() -> None:
    with Replayer() as made:
        made.keys(MISSING_CLEAN, "original", "rfc-v1")
        server = made.server
        assert server is not None
        server.end_input()
        assert server.wait(60) == 0


def test_closing_leaves_no_process() -> None:
    made = Replayer()
    made.keys(MISSING_CLEAN, "original", "rfc-v1")
    assert made.server is not None
    number = made.server.pid
    made.close()
    wait_for(lambda: not Path(f"/proc/{number}").exists(), "the end of the server")


def test_constant_facts_are_looked_up_before_processes_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_once", {})
    monkeypatch.setattr(stores, "_together", {})
    has_bug.cache_clear()
    replay_server.prepare(REQUEST)
    looked_up = len(stores._once), has_bug.cache_info().misses
    assert all(looked_up)
    assert replay_server.judge(REQUEST)[0]
    assert (len(stores._once), has_bug.cache_info().misses) == looked_up
