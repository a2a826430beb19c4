# SPDX-License-Identifier: GPL-2.0-only
"""Replays of a session: they may be postponed or interrupted, and nothing is lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.engines.summary import Keeper, Summary
from fuzz.engines.unit import Result, Unit, from_line, to_line
from fuzz.findings.finding_files import ALTERNATIVES
from fuzz.findings.record import FindingRecord
from fuzz.judging.differential import Finding
from fuzz.language.text import load, parse, print_program

from ..replaying import Here, Scripted
from ..run_here import run_here
from .random_session import EMPTY, files


def test_kept_programs_do_not_depend_on_when_messages_are_read(tmp_path: Path) -> None:
    """Read one or many messages at a time, as a loaded machine does."""
    made: list[dict[str, str]] = []
    unit = Unit("random", "original", "rfc-v1", 1, 40)
    lines: list[bytes] = []
    run_here(unit, lambda message: lines.append(to_line(message)))
    for every in (1, 7, 1_000_000):
        folder = tmp_path / str(every)
        folder.mkdir()
        result, keeper = Result(unit), Keeper(Summary("original", "rfc-v1", 1), folder, Here())
        # Decode the messages anew each time, because a result changes the messages that it receives.
        for number, message in enumerate(map(from_line, lines), 1):
            result.record(message)
            if number % every == 0:
                keeper.watch(result)
        keeper.finish(result)
        made.append(files(folder))
    assert made[0] == made[1] == made[2]
    assert len([name for name in made[0] if name.startswith(f"{ALTERNATIVES}/")]) > 3


def test_postponed_replays_change_only_the_number_of_replays(tmp_path: Path) -> None:
    """Check that a store which replays each record immediately keeps the same programs in the same files."""
    unit = Unit("random", "original", "rfc-v1", 1, 200)
    lines: list[bytes] = []
    run_here(unit, lambda message: lines.append(to_line(message)))
    results = [Result(unit), Result(unit)]
    for result in results:
        for message in map(from_line, lines):
            result.record(message)
    made: list[dict[str, str]] = []
    replays: list[int] = []
    for name, result in zip(("at-once", "at-the-end"), results, strict=True):
        (folder := tmp_path / name).mkdir()
        replayer = Here()
        keeper = Keeper(Summary("original", "rfc-v1", 1), folder, replayer)
        if name == "at-once":
            for record in result.messages:
                keeper.store.offer(replace(record, count=1))
        else:
            keeper.finish(result)
        made.append(files(folder))
        replays.append(len(replayer.asked))
    assert made[0] == made[1]
    assert replays[1] < replays[0]


def test_ctrl_c_ends_pending_replays(tmp_path: Path) -> None:
    """Start with a larger program of the finding in place."""
    long, short = (parse(f"{print_program(EMPTY)}cpu0 read a+0\n{more}") for more in ("cpu0 write a+0\n", ""))
    finding = Finding("regression", "a: b: c", "why", 0)
    result = Result(Unit("random", "original", "rfc-v1", 1))

    class Interrupted(Scripted):
        def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
            if program == print_program(short):
                raise KeyboardInterrupt
            return super().shows(program, reference, candidate)

    keeper = Keeper(Summary("original", "rfc-v1", 1), tmp_path, Interrupted({print_program(long): [finding]}))
    for program in (long, short):
        result.record(FindingRecord(finding, print_program(program), 1))
    keeper.watch(result)
    assert [found.program for found in keeper.summary.findings] == [long]
    keeper.finish(result)
    assert keeper.summary.interrupted
    assert [found.program for found in keeper.summary.findings] == [long]
    assert [load(path) for path in tmp_path.iterdir()] == [long]


def test_a_replay_interrupted_by_ctrl_c_is_repeated(tmp_path: Path) -> None:
    unit = Unit("random", "original", "rfc-v1", 1)
    result = Result(unit)
    texts = [print_program(EMPTY), f"{print_program(EMPTY)}cpu0 read a+0\n"]
    for signature, text in zip(("a: b: c", "d: e: f"), texts, strict=True):
        result.record(FindingRecord(Finding("regression", signature, "why", 0), text, 1))
    shown = [Finding("regression", signature, "why", 0) for signature in ("a: b: c", "d: e: f")]

    class Interrupted(Scripted):
        times = 0

        def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
            self.times += 1
            if self.times == 2:
                raise KeyboardInterrupt
            return super().shows(program, reference, candidate)

    keeper = Keeper(Summary("original", "rfc-v1", 1), tmp_path, Interrupted(dict.fromkeys(texts, shown)))
    with pytest.raises(KeyboardInterrupt):
        keeper.watch(result)
    result.interrupted = True
    keeper.watch(result)
    assert [found.signature for found in keeper.summary.findings] == ["a: b: c", "d: e: f"]
    assert [found.count for found in keeper.summary.findings] == [1, 1]


def test_a_second_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    """Check that records not replayed by then are kept separately and reported."""
    result = Result(Unit("random", "original", "rfc-v1", 1), interrupted=True)
    shown = Finding("regression", "a: b: c", "why", 0)
    for signature in ("a: b: c", "d: e: f", "g: h: i"):
        result.record(FindingRecord(replace(shown, signature=signature), f"{print_program(EMPTY)}# {signature}\n", 1))

    class Interrupted(Scripted):
        def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
            if self.asked:
                raise KeyboardInterrupt
            return super().shows(program, reference, candidate)

    keeper = Keeper(Summary("original", "rfc-v1", 1), tmp_path, Interrupted({print_program(EMPTY): [shown]}))
    assert keeper.is_behind(result)
    keeper.finish(result)
    assert [found.signature for found in keeper.summary.findings] == ["a: b: c"]
    assert [found.signature for found in keeper.summary.unreplayed] == ["d: e: f", "g: h: i"]
    assert all(found.path is not None and found.path.exists() for found in keeper.summary.unreplayed)
    assert not keeper.is_behind(result)
