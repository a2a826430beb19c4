# SPDX-License-Identifier: GPL-2.0-only
"""Messages name the failure, the likely intended name and the remedy, in any locale."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from fuzz.campaign.view.lines import bars_for, sparkline
from fuzz.command_line.commands import cover
from fuzz.command_line.failures import failure
from fuzz.command_line.parser import Parser
from fuzz.command_line.registry import make_parser
from fuzz.engines.unit import Result as UnitResult
from fuzz.processes.starting import NoProcessError, starting
from fuzz.reports.watched import Judging
from fuzz.suggestions import closest, did_you_mean, near_file

from ..console import MISSING_CLEAN, ROOT, Result, in_process, refused

Call = Callable[..., Result]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs a command in this process, in a directory with a program."""
    monkeypatch.chdir(tmp_path)
    Path("program.s2").write_text(MISSING_CLEAN)

    return in_process(capsys)


@pytest.mark.parametrize(
    ("usage", "meant"),
    [
        ("fuz", "fuzz"),
        ("campain c", "campaign"),
        ("corpus shwo", "show"),
        ("hardware chek", "check"),
        ("fuzz --candidate rfc-v1 --engine randm", "random"),
        ("campaign c --candidate rfc-v1 --engine ramdom", "random"),
        ("convert program.s2 --to bianry", "binary"),
        ("fuzz --candidte rfc-v1", "--candidate"),
        ("fuzz --candidate rfc-v1 --programms 3", "--programs"),
        ("run program.s2 --trce", "--trace"),
        ("run program.s2 --candidate rfcv1", "rfc-v1"),
        ("run program.s2 --reference Original", "original"),
        ("fuzz --candidate bug-nestedput", "bug-nested-put"),
        ("bench --find --bug bug-nestd-put", "bug-nested-put"),
        ("run progam.s2", "program.s2"),
        ("minimize progam.s2 --candidate rfc-v1", "program.s2"),
        ("convert progam.s2", "program.s2"),
        ("run --known program.s3 program.s2", "program.s2"),
    ],
)
def test_the_nearest_name_is_suggested(call: Call, usage: str, meant: str) -> None:
    refused(call(*usage.split()), "did you mean '", f"{meant}'?")


def test_nothing_is_suggested_without_a_similar_name(call: Call) -> None:
    assert "did you mean" not in call("run", "zzzzzz")[2]
    assert "did you mean" not in call("qqqq")[2]
    assert closest("x", []) == did_you_mean("x", []) == ""


@pytest.mark.parametrize("case", ["a/nowhere/x.s2", "b/x.s2"])
def test_the_nearest_file_may_be_a_folder(tmp_path: Path, case: str) -> None:
    (tmp_path / "aa").mkdir()
    assert near_file(tmp_path / case) in ("", f" (did you mean {str(tmp_path / 'aa')!a}?)")
    assert str(tmp_path / "aa") in near_file(tmp_path / "aaa" / "x.s2")


@pytest.mark.parametrize("command", ["fuzz", "campaign c", "minimize program.s2", "promote program.s2", "cover"])
def test_all_candidates_at_once_are_for_run(call: Call, command: str) -> None:
    refused(call(*command.split(), "--candidate", "all"), "`s2fuzz run --candidate all PROGRAM` takes all", "rfc-v1")


@pytest.mark.parametrize("wrong", ["--line reference/pgtable.py:1", "--line x.py:2", "--html program.s2/in"])
def test_cover_refuses_before_it_replays(call: Call, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setattr(cover, "chosen", lambda names: pytest.fail("replays"))
    refused(call("cover", "program.s2", *wrong.split()), wrong.split()[0])


def test_a_process_that_cannot_be_started(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the message names the process and a remedy, and that there is no verdict."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--programs", "1")
    assert (code, out) == (4, "")
    assert "the process of engine random cannot be started: Resource temporarily unavailable; try: " in err
    assert "Errno" not in err
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--programs", "1", "--json")
    answer = json.loads(out)
    assert (code, answer["exit_code"], answer["error"]["kind"]) == (4, 4, "no verdict")
    code, out, err = call("minimize", "--candidate", "rfc-v1", "program.s2")
    assert (code, out) == (4, "")
    assert "process not started: Resource temporarily unavailable" in err


def test_an_engine_that_is_killed_from_outside(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.engines.supervisor.follow", lambda *_: "was killed by SIGKILL")
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--programs", "1000000")
    assert (code, out) == (4, "")
    assert "engine random: its process was killed by SIGKILL, 3 times, before it judged anything; try: " in err


def test_a_judging_process_that_cannot_be_forked(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("os.fork", refuse)
    said = "the process that judges cannot be started: Resource temporarily unavailable; try: "
    code, out, err = call("run", "program.s2", "--candidate", "original")
    assert (code, out) == (4, "")
    assert said in err.splitlines()[-1]
    code, out, err = call("run", "program.s2", "--candidate", "original", "--json")
    assert (code, json.loads(out)["exit_code"]) == (4, 4)
    assert said in json.loads(out)["error"]["message"]


def test_a_judging_process_that_is_killed_from_outside(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a killed process gives no verdict, and that a crashed one is an internal error."""
    for number, expected, words in (
        (signal.SIGKILL, 4, "no verdict: the process that judged it was killed by SIGKILL; try: free memory"),
        (signal.SIGTERM, 4, "no verdict: the process that judged it was killed by SIGTERM; try: free memory"),
        # This stands for a crash of the interpreter: pytest handles the signals of real crashes.
        (signal.SIGUSR1, 3, "a mistake of s2fuzz, not of the candidate: the process that judged it was killed by SIG"),
    ):
        monkeypatch.setattr(Judging, "_work", lambda *_, number=number: os.kill(os.getpid(), number))
        code, _, err = call("run", "program.s2", "--candidate", "original")
        assert code == expected
        assert f"program.s2 on original: {words}" in err.splitlines()[-1]
        assert call("run", "program.s2", "--candidate", "original", "--json")[0] == expected


def test_a_session_that_judged_nothing_has_no_verdict(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.engines.lanes.run_unit", lambda unit, watch: UnitResult(unit))
    code, out, _ = call("fuzz", "--workers", "1", "--candidate", "original", "--programs", "1")
    assert code == 4
    assert "0 programs" in out


def test_a_process_that_does_not_start_is_named() -> None:
    said = "a thing cannot be started: Cannot allocate memory; try: free memory"
    with pytest.raises(NoProcessError, match=said), starting("a thing"):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def raised(error: OSError) -> OSError:
    try:
        raise error
    except OSError as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "x.s2"),
            2,
            "x.s2: No space left on device; try: free space on the disk",
        ),
        (OSError(errno.EMFILE, "Too many open files"), 4, "raised() failed, so the command ended: Too many open"),
        (OSError(errno.EIO, "Input/output error"), 2, "raised() failed: Input/output error"),
    ],
)
def test_errors_of_the_system_have_their_exit_codes(error: OSError, code: int, words: str) -> None:
    found, message = failure(raised(error))
    assert found == code
    assert words in message
    assert "answer" not in message


def test_help_lists_the_exit_codes(call: Call) -> None:
    text = call("--help")[1]
    assert "2  bad usage or input, or a mistake in the candidate's Python" in text
    assert "4  no verdict available" in text


def test_bars_for_any_encoding() -> None:
    points = [(1.0, 1), (2.0, 8)]
    plain = TextIOWrapper(BytesIO(), encoding="ascii")
    assert sparkline(points, 2, bars_for(plain)).isascii()
    assert not sparkline(points, 2, bars_for(TextIOWrapper(BytesIO(), encoding="utf-8"))).isascii()


ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_locale_that_knows_only_ascii(tmp_path: Path) -> None:
    """Check the summary, which draws a curve once something was judged."""
    environment = {**os.environ, **ASCII, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "fuzz", "campaign", "c\u00e9", "--candidate", "rfc-v1", "--hours", "0.001"]
    command += ["--workers", "1", "--unit-seconds", "1"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout.isascii()
    assert b"features over time  " in done.stdout
    assert list((tmp_path / "c\u00e9" / "findings").glob("*.s2"))


@pytest.mark.parametrize(
    ("typed", "place", "words"),
    [
        ("run a.s2 --trace b.s2 --cost c.s2", "program", ["a.s2", "b.s2", "c.s2"]),
        ("corpus merge one --corpus all two", "source", ["one", "two"]),
        ("cover --candidate rfc-v1 a.s2 --json b.s2", "program", ["a.s2", "b.s2"]),
    ],
)
def test_a_list_continues_after_an_option(typed: str, place: str, words: list[str]) -> None:
    assert [str(word) for word in getattr(make_parser().parse_args(typed.split()), place)] == words


def test_each_word_of_a_list_after_an_option_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser("s2fuzz count")
    parser.add_argument("number", nargs="+", type=int, metavar="NUMBER")
    parser.add_argument("--up", action="store_true")
    assert parser.parse_args(["1", "--up", "2"]).number == [1, 2]
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["1", "--up", "x"])
    assert "argument NUMBER: invalid int value: 'x'" in capsys.readouterr().err
