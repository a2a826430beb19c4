# SPDX-License-Identifier: GPL-2.0-only
"""Commands that end abnormally: internal errors, a full disk, an interruption."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.distribution import form
from fuzz.engines import unit as units
from fuzz.engines.supervisor import Watch
from fuzz.engines.unit import Message, Unit
from fuzz.judging.differential import Differential
from fuzz.judging.forked import Forked
from fuzz.language.program import Program
from fuzz.language.text import load

from ..console import MISSING_CLEAN
from ..replaying import Here
from ..run_here import run_here
from .calls import CHANGES, SAME, Call, told_first, write


def broken(_: Differential, program: Program) -> None:
    raise KeyError("broken on purpose")


def in_this_process(unit: Unit, watch: Watch) -> units.Result:
    """Do the same as `fuzz.engines.supervisor.run_unit` in this process, where a test can patch it."""
    result = units.Result(unit)

    def tell(message: Message) -> None:
        result.record(message)
        watch(result)

    try:
        run_here(unit, tell)
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def test_an_internal_error_while_fuzzing_keeps_the_program(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Differential, "run", broken)
    monkeypatch.setattr("fuzz.engines.lanes.run_unit", in_this_process)
    monkeypatch.setattr("fuzz.findings.replay.Replayer", lambda contents: Here())
    code, out, err = call("fuzz", "--workers", "1", "--candidate", "rfc-v1", "--programs", "3", "--out", "kept")
    assert code == 3
    assert "Mistakes of s2fuzz" in out
    assert "Traceback" not in err
    (path,) = Path("kept", "rfc-v1").glob("*.s2")
    assert path.name.startswith("crash-KeyError")
    assert str(path) in err
    assert load(path).operations


def test_an_internal_error_while_running(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Differential, "run", broken)
    code, out, err = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1")
    assert code == 3
    assert "rfc-v1 against original: error" in out
    assert err.startswith(CHANGES)
    assert err.count("\n") == 2
    assert "KeyError: 'broken on purpose'" in err


def test_debugging_shows_the_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Differential, "run", broken)
    monkeypatch.setenv("S2FUZZ_DEBUG", "1")
    assert "Traceback" in call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1")[2]


def test_a_full_disk_keeps_the_findings_in_the_answer(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--programs", "3", "--out", "kept")
    assert code == 2
    assert "regression  locking:" in out
    assert "No space left on device" in err
    assert list(Path("kept", "rfc-v1").glob("**/*.s2")) == []


def test_interrupted_before_the_first_program(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(unit: Unit, watch: Watch) -> units.Result:
        return units.Result(unit, interrupted=True)

    monkeypatch.setattr("fuzz.engines.lanes.run_unit", interrupted)
    code, out, err = call("fuzz", "--workers", "1", "--candidate", "rfc-v1", "--seconds", "60")
    assert (code, err) == (130, f"{CHANGES}s2fuzz: {form()}\n")
    assert "0 programs and 0 operations judged" in out
    assert "nothing was judged: interrupted before the first verdict" in out
    assert "nothing found" not in out


@pytest.mark.parametrize(("name", "seed", "said"), [("rfc-v1", "1", "finding"), ("original", "8", "nothing found")])
def test_interrupted_later(call: Call, monkeypatch: pytest.MonkeyPatch, name: str, seed: str, said: str) -> None:
    """Check that the summary is printed first and that findings do not change the exit code."""

    def interrupted(unit: Unit, watch: Watch) -> units.Result:
        result = in_this_process(replace(unit, programs=3, seconds=None), watch)
        result.interrupted = True
        return result

    monkeypatch.setattr("fuzz.engines.lanes.run_unit", interrupted)
    code, out, err = call("fuzz", "--workers", "1", "--candidate", name, "--seconds", "60", "--seed", seed)
    behind = "" if name == "original" else "s2fuzz: interrupted; findings are replayed first, Ctrl-C again skips that\n"
    assert (code, told_first(err)) == (130, f"{SAME if name == 'original' else CHANGES}s2fuzz: {form()}\n{behind}")
    assert "3 programs and " in out
    assert ", interrupted\n" in out
    assert said in out
    assert ("in 3 programs before the interruption" in out) == (name == "original")


def test_run_interrupted(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Forked, request: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Forked, "ask", interrupt)
    code, out, err = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1")
    assert (code, out, err) == (130, "", f"{CHANGES}s2fuzz: interrupted\n")
