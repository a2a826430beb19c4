# SPDX-License-Identifier: GPL-2.0-only
"""A program needs something that no version models: each command reports it and exits with 4."""

import json

import pytest

from fuzz.command_line.commands.fuzz import print_summary
from fuzz.comparing import measuring
from fuzz.engines.summary import Summary
from fuzz.engines.unit import Result as UnitResult
from fuzz.engines.unit import Unit
from fuzz.execution.executor import Executor
from fuzz.exploring import exploring
from fuzz.judging.differential import Differential, Lockstep
from fuzz.language.program import Program

from ..console import Result
from .calls import Call, answer, write

RING = "s2fuzz 1\nvm ring=4K\nslot a size=4M backing=thp\ncpu0 read a+0\n"
BLOCK = f"{RING}par\ncpu0 read a+4K\ncpu1 read a+4K\nend\n"
NEEDED = "no verdict: the program needs something that is not modelled: dirty rings (ring=), which {} does not have"


def no_verdict(result: Result, *words: str) -> None:
    """Check exit code 4, an empty stdout, and these words in the last line of stderr."""
    code, out, err = result
    assert (code, out) == (4, "")
    last = err.splitlines()[-1]
    assert last.startswith("s2fuzz: ")
    for word in words:
        assert word in last


@pytest.mark.parametrize("form", ["--events", "--casemate", "--qemu"])
def test_export_writes_nothing(call: Call, form: str) -> None:
    folder = ("-o", "tables") if form == "--qemu" else ()
    result = call("export", form, write(RING), "--model", "rfc-v1", *folder)
    no_verdict(result, "p.s2: ", NEEDED.format("rfc-v1"))


def test_run_prints_the_reason_once(call: Call) -> None:
    code, out, err = call("run", write(RING), "--candidate", "rfc-v1-3")
    assert (code, out) == (4, "p.s2: rfc-v1-3 against original: no verdict\n\n")
    assert err.count(NEEDED.format("original")) == 1
    assert err.splitlines()[-1] == f"s2fuzz: p.s2 on rfc-v1-3: {NEEDED.format('original')}"


def test_explore(call: Call) -> None:
    no_verdict(call("explore", write(BLOCK), "--candidate", "rfc-v1"), "p.s2: ", NEEDED.format("original"))


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every version report that it does not model the first thing that a program needs.

    Each class is replaced where plain Python calls it: compiled code calls its methods directly.
    """
    create = Executor.create

    def refuse(self: Executor) -> object:
        found = create(self)
        self.dead, self.refused = True, "memunmap"
        return found

    def refused(differential: Differential, program: Program) -> Lockstep:
        run = Lockstep(differential, program)
        run.left.dead, run.left.refused = True, "memunmap"
        return run

    monkeypatch.setattr(Executor, "create", refuse)
    monkeypatch.setattr(exploring, "Lockstep", refused)


@pytest.mark.usefixtures("lacking")
def test_explore_of_one_program(call: Call) -> None:
    what = "1 program of length 1: no verdict: the program needs something that is not modelled: memunmap; `s2fuzz tree"
    no_verdict(call("explore", "--length", "1", "--candidate", "rfc-v1"), what)


@pytest.mark.usefixtures("lacking")
def test_compare(call: Call) -> None:
    arguments = "compare", "--candidate", "rfc-v1", "--workload", "create", "--cpus", "1"
    words = "compare: original: operation 1: no verdict: the program needs something that is not modelled: memunmap; "
    no_verdict(call(*arguments), words)
    result = call(*arguments, "--json")
    assert result[0] == 4
    assert answer(result)["error"]["kind"] == "no verdict"


@pytest.mark.usefixtures("lacking")
def test_the_model_of_a_selftest(call: Call) -> None:
    words = "p.s2: v5.14, which defines right outcomes: no verdict: the program needs something that is not modelled: "
    no_verdict(call("export", "--selftest", write(RING.replace(" ring=4K", ""))), words)


def test_explore_reads_the_versions_from_the_comments(call: Call) -> None:
    block = "# candidate: rfc-v1\n# reference: v5.14\n" + BLOCK.replace("ring=4K", "")
    result = call("explore", write(block), "--preemptions", "0", "--json")
    found = answer(result)
    assert (found["reference"], found["candidate"]) == ("v5.14", "rfc-v1"), result


def test_compare_with_a_version_that_gets_stuck(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(_: object) -> None:
        raise measuring.WorkloadError("original: operation 1: stuck")

    monkeypatch.setattr(measuring, "run", stuck)
    arguments = "compare", "--candidate", "rfc-v1", "--workload", "create", "--cpus", "1"
    no_verdict(call(*arguments), "compare: original: operation 1: stuck")


@pytest.mark.parametrize("command", ["report", "minimize", "promote"])
def test_commands_that_need_a_finding(call: Call, command: str) -> None:
    where = ("--out", ".") if command == "promote" else ()
    no_verdict(
        call(command, write(RING), "--candidate", "rfc-v1", *where), "p.s2 on rfc-v1: ", NEEDED.format("original")
    )
    result = call(command, "p.s2", "--candidate", "rfc-v1", *where, "--json")
    assert (result[0], answer(result)["exit_code"]) == (4, 4)
    assert answer(result)["error"]["kind"] == "no verdict"


def test_the_json_of_run(call: Call) -> None:
    found = answer(call("run", write(RING), "--candidate", "rfc-v1", "--json"))
    needed = NEEDED.format("original")
    assert found["exit_code"] == 4
    assert found["error"] == {"kind": "no verdict", "message": f"p.s2 on rfc-v1: {needed}"}
    (result,) = found["results"]
    assert (result["verdict"], result["error"]) == ("no verdict", needed.removeprefix("no verdict: "))


def test_the_json_of_explore(call: Call) -> None:
    result = call("explore", write(BLOCK), "--candidate", "rfc-v1", "--json")
    found = answer(result)
    assert (result[0], found["exit_code"]) == (4, 4)
    assert found["error"] == {"kind": "no verdict", "message": f"p.s2: {NEEDED.format('original')}"}
    assert result[2].splitlines() == [f"s2fuzz: p.s2: {NEEDED.format('original')}"]


def test_the_json_of_fuzz(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary("original", "rfc-v1", 1, "random", programs=2, refused={"memunmap": 2})
    assert print_summary(summary, UnitResult(Unit("random", "original", "rfc-v1", 1)), as_json=True) == 4
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "no verdict"
    assert error["message"].startswith("no verdict: 2 of 2 programs could not be judged; ")
    assert error["message"].endswith("; 2 programs without a verdict; not modelled: memunmap")


@pytest.mark.parametrize(
    "command",
    [
        ("run", "p.s2", "--candidate", "tree:/nope"),
        ("fuzz", "--candidate", "tree:/nope"),
        ("report", "p.s2", "--candidate", "tree:/nope"),
        ("tree", "check", "/nope"),
    ],
)
def test_the_json_of_a_tree_that_cannot_be_built(call: Call, command: tuple[str, ...]) -> None:
    write(RING.replace(" ring=4K", ""))
    result = call(*command, "--json")
    wrong = "/nope: no such folder; allowed: the top folder of a Linux tree"
    assert (result[0], answer(result)["exit_code"]) == (2, 2)
    assert answer(result)["error"] == {"kind": "candidate", "message": wrong}
    assert result[2].splitlines()[-1] == f"s2fuzz: {wrong}"
