# SPDX-License-Identifier: GPL-2.0-only
"""Many programs on a simulated machine beside the model: counted, saved, tried again."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, cast

import pytest

import candidate
from fuzz.language.program import Program
from fuzz.language.text import load, parse
from fuzz.real import check as module
from fuzz.real.answers import RealAnswers, RealOutcome
from fuzz.real.check import MOST_HANGS, RealCheck, corpus, generic, kinds_of, random_programs
from fuzz.real.compare import differences
from fuzz.real.errors import RealError, RealSilentError, UnplayableError
from fuzz.real.model import Expected, ModelRun
from fuzz.real.run import RealRun
from fuzz.real.session import RealSession
from fuzz.real.translate import played

from ..console import in_process

PAGE: Final = 4096
PROGRAM: Final = parse("s2fuzz 1\nvm cpus=1\nslot a size=2M backing=thp\ncpu0 write a+0\ncpu0 read a+0\n")
GOOD: Final = {0: RealOutcome("ok", "0"), 1: RealOutcome("ok", "1")}
STALE: Final = {**GOOD, 1: RealOutcome("ok", "0")}


class Pretended:
    """A session without a machine; *starts*: the number of its starts."""

    release = "6.0"
    page_size = PAGE

    def __init__(self) -> None:
        self.starts = 0

    def start(self) -> None:
        self.starts += 1


def done(outcomes: dict[int, RealOutcome], said: tuple[str, ...] = (), status: int = 0) -> RealRun:
    """Return the result of the program above, with these answers."""
    part = played(PROGRAM, PAGE)
    expected: Expected = ModelRun(candidate.get("v5.14"), part.program).finish()
    answers = RealAnswers(outcomes, {1: list(said)}, seconds=0.5, status=status)
    different = differences(part.program, expected, answers)
    return RealRun("x", "6.0", "v5.14", part, expected, answers, different, [], [])


def test_kinds() -> None:
    assert kinds_of(done(GOOD)) == {}
    text = "operation 2: cpu0 read a+0: model ok 1, kernel ok 0"
    assert kinds_of(done(STALE)) == {"GuestAccess: ok ok": text}
    assert list(kinds_of(done(GOOD, ("WARNING: CPU: 0 PID: 1 at a/b.c:7 f+0x1/0x2",)))) == ["WARNING at a/b.c:N f()"]
    crashed = done(GOOD, status=11)
    assert list(kinds_of(crashed)) == ["status 11"]
    assert (crashed.answer()["exit_status"], done(GOOD).answer()["exit_status"]) == (11, 0)
    assert "the process that played it exited with status 0xb\n" in crashed.text()
    assert generic("slot abc has 12M at 0x1f") == "slot has N at N"


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> tuple[RealCheck, list[Any]]:
    """Return a check, and the list of results of its programs; an error in the list is raised."""
    results: list[Any] = []

    def run(*_: object) -> RealRun:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, RealRun)
        return result

    monkeypatch.setattr(module, "run", run)
    return RealCheck(cast(RealSession, Pretended()), candidate.get("v5.14")), results


def take(check: RealCheck, program: Program = PROGRAM) -> None:
    """Run a program."""
    check.play(program, "here")


def test_programs_that_agree_are_counted(pretended: tuple[RealCheck, list[Any]], tmp_path: Path) -> None:
    check, results = pretended
    results += [done(GOOD), UnplayableError("its slots have 1G of thp memory"), done(GOOD)]
    for _ in range(3):
        take(check)
    check.save(tmp_path)
    assert (check.programs, check.agree, check.operations, check.kernel) == (2, 2, 4, 1.0)
    assert check.left_out == {"its slots have N of thp memory": 1}
    assert check.text().endswith("not played: its slots have N of thp memory: 1\nno difference\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("again", [True, False])
def test_programs_that_differ_are_saved(pretended: tuple[RealCheck, list[Any]], tmp_path: Path, again: bool) -> None:
    check, results = pretended
    results += [done(STALE), done(GOOD), done(STALE), done(STALE if again else GOOD)]
    for _ in range(3):
        take(check)
    check.save(tmp_path)
    (file,) = tmp_path.iterdir()
    assert load(str(file)) == played(PROGRAM, PAGE).program
    assert ("not reproduced" in file.read_text()) is not again
    assert f"    2 like this; {'' if again else 'NOT '}reproduced on a fresh machine; {file}" in check.text()
    (answer,) = check.answer()["differences"]
    assert (answer["count"], answer["replays"], answer["file"]) == (2, again, str(file))
    assert check.text().endswith("2 differences of 1 kind\n")


def test_a_machine_that_hangs_is_a_difference(pretended: tuple[RealCheck, list[Any]], tmp_path: Path) -> None:
    check, results = pretended
    results += [RealSilentError("it hangs"), done(GOOD), RealSilentError("it hangs")]
    take(check)
    take(check)
    check.save(tmp_path)
    (kind,) = check.kinds.values()
    assert (kind.text, kind.replays) == ("the machine does not answer", True)
    assert cast(Pretended, check.session).starts == 2
    # If the machine always hangs, it is QEMU's fault.
    results += [RealSilentError("it hangs")] * MOST_HANGS
    for _ in range(MOST_HANGS - 2):
        take(check)
    with pytest.raises(RealSilentError):
        take(check)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_results_before_qemu_died_are_printed(
    pretended: tuple[RealCheck, list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: list[str],
) -> None:
    check, results = pretended
    monkeypatch.setattr("fuzz.real.kernels.find", lambda _: None)
    monkeypatch.setattr("fuzz.real.session.RealSession", lambda *_: nullcontext(check.session))
    monkeypatch.setattr(module, "corpus", lambda: [("one", PROGRAM)])
    results += [done(STALE), done(GOOD), RealError("real: QEMU: it died; use another")]
    real = in_process(capsys, "real", "check", "--out", str(tmp_path), "--programs", "9", "--model", "v5.14")
    code, out, err = real(*form)
    assert (code, err.splitlines()[-1]) == (2, "s2fuzz: real: QEMU: it died; use another")
    if form:
        answer = json.loads(out)
        assert (answer["programs"], answer["agree"], answer["differences"][0]["file"]) == (2, 1, None)
    else:
        assert "1 of 2 programs agree" in out
        assert out.startswith("difference in one: operation 2: cpu0 read a+0")


def test_a_folder_that_cannot_be_written(pretended: tuple[RealCheck, list[Any]], tmp_path: Path) -> None:
    check, results = pretended
    results += [done(STALE), done(STALE)]
    take(check)
    check.save(tmp_path / "none")
    assert "No such file or directory" in check.trouble
    assert "not saved" in check.text()


def test_programs_to_play() -> None:
    assert len(list(corpus())) > 50
    first = [where for where, _ in zip(random_programs(3, PAGE), range(2), strict=False)]
    assert [where for where, _ in first] == ["seed 3, program 1", "seed 3, program 2"]
