# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes in a candidate's Python, and crashes of kernel code."""

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

import candidate
from candidate import Candidate
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Mistake, Result, Unit, from_line, to_line
from fuzz.execution.executor import Executor
from fuzz.execution.mistakes import CandidateMistakeError
from fuzz.findings import replay_server
from fuzz.findings.replay import Replayer
from fuzz.judging.differential import Differential
from fuzz.judging.forked import CopyLostError, Forked
from fuzz.language.text import parse, print_program
from fuzz.minimizing.minimizer import judge_here
from fuzz.minimizing.watched import WatchedJudge
from fuzz.reports.watched import run_all
from reference.compiled.choice import CHOICE
from reference.mmu import Mmu
from reference.pgtable import KVM_PGTABLE_WALK_LEAF, Pgtable, kvm_pgtable_walker, stage2_map_data

from ..run_here import run_here

PROGRAM = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n")
Body = Callable[[Any, Any], Any]


def unmapping(body: Body) -> Candidate:
    """Return a candidate with this body as its unmap function."""

    class Mine(Pgtable):
        def kvm_pgtable_stage2_unmap(self, pgt: Any, addr: int, size: int) -> Any:
            return body(self, pgt)

    return Candidate("mine", Mine, Mmu, "a test")


def late(pgtable: Any, pgt: Any) -> Any:
    if pgt is None:
        value = 1
    return value


def absent(pgtable: Any, pgt: Any) -> Any:
    import no_such_module  # type: ignore[import-not-found]

    return no_such_module


def wrong_structure(pgtable: Any, pgt: Any) -> Any:
    walker = kvm_pgtable_walker(pgtable.stage2_attr_walker, KVM_PGTABLE_WALK_LEAF, stage2_map_data(0, pgt.mmu, None))
    return pgtable.kvm_pgtable_walk(pgt, 1 << 30, 4096, walker)


MISTAKES: dict[str, Body] = {
    "NameError": lambda pgtable, pgt: no_such_name,  # type: ignore[name-defined] # noqa: F821
    "UnboundLocalError": late,
    "ModuleNotFoundError": absent,
    "SystemExit": lambda pgtable, pgt: sys.exit(5),
    "missing": lambda pgtable, pgt: pgtable.k.get_page(),
    "too many": lambda pgtable, pgt: pgtable.kvm_pte_valid(1, 2),
    "unexpected": lambda pgtable, pgt: pgtable.kvm_pte_valid(pte=1, level=2),
    "no attribute": lambda pgtable, pgt: pgt.no_such_field,
    "of a kernel function": lambda pgtable, pgt: pgtable.k.no_such_function(),
    "of an integer": lambda pgtable, pgt: pgt.pgd.mmu,
    "str": lambda pgtable, pgt: 1 + "x",  # type: ignore[operator]
    "not callable": lambda pgtable, pgt: pgtable.PAGE_SIZE(),
}
CRASHES: dict[str, Body] = {
    "AttributeError": lambda pgtable, pgt: None.mmu,  # type: ignore[attr-defined]
    "TypeError": lambda pgtable, pgt: None + 1,  # type: ignore[operator]
    "IndexError": lambda pgtable, pgt: pgtable.mem[1 << 50],
    "KeyError": lambda pgtable, pgt: {0: 1}[1],
    "ZeroDivisionError": lambda pgtable, pgt: 1 // 0,
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_the_judging(name: str) -> None:
    with pytest.raises(CandidateMistakeError) as caught:
        Differential(candidate.get("original"), unmapping(MISTAKES[name])).run(PROGRAM)
    told = str(caught.value)
    assert told.startswith("tests/unit/execution/test_mistakes.py:")
    assert "\n" not in told
    if name.endswith(("Error", "Exit")):
        assert f": {name}: " in told


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_is_a_finding(name: str) -> None:
    verdict = Differential(candidate.get("original"), unmapping(CRASHES[name])).run(PROGRAM)
    worst = [finding.signature for finding in verdict.findings if finding.kind == "regression"]
    assert any(f"oops {name}" in signature for signature in worst)


def test_an_access_to_the_wrong_structure_is_a_crash() -> None:
    program = parse(print_program(PROGRAM).replace("cpu0 read a+0", "cpu0 read a+0\ncpu0 read a+4K"))
    verdict = Differential(candidate.get("original"), unmapping(wrong_structure)).run(program)
    # Compiled code notices before it calls the walker.
    compiled = "reference.pgtable" in CHOICE.files
    oops = "TypeError in kvm_pgtable_visitor_cb" if compiled else "AttributeError in stage2_attr_walker"
    assert any(f"oops {oops}" in finding.signature for finding in verdict.findings)


def test_a_constructor_that_fails_is_a_mistake() -> None:
    class Mine(Mmu):
        def set_up(self, host: Any, pgtable: Any) -> None:
            super().set_up(host, pgtable)
            self.PAGE_SIZE = None.size  # type: ignore[attr-defined]

    with pytest.raises(CandidateMistakeError, match=r"tests/unit/execution/test_mistakes\.py:[0-9]+: AttributeError"):
        Executor(Candidate("mine", Pgtable, Mine, "a test"), PROGRAM)


def test_a_mistake_in_a_call_by_inherited_code() -> None:
    """Check that the line of the function is reported, because no line of the candidate is on the stack."""

    class Mine(Pgtable):
        def stage2_unmap_walker(self, addr: int) -> int:  # type: ignore[override]
            return 0

    with pytest.raises(
        CandidateMistakeError, match=r"tests/unit/execution/test_mistakes\.py:[0-9]+: TypeError: .*stage2_unmap_walker"
    ):
        Differential(candidate.get("original"), Candidate("mine", Mine, Mmu, "a test")).run(PROGRAM)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    """Register a candidate with a mistake in this process; return its name."""
    monkeypatch.setattr(candidate, "_REGISTRY", dict(candidate._REGISTRY))
    monkeypatch.setattr(candidate, "_CHANGES", {})
    bad = unmapping(MISTAKES["NameError"])
    return candidate.register("mine", bad.pgtable, bad.mmu, "a test").name


def test_a_session_ends_with_a_mistake(registered: str) -> None:
    result = Result(Unit("random", "original", registered, 1, programs=200))
    run_here(result.unit, result.record)
    assert "NameError" in result.mistake
    assert "of seed 1" in result.mistake
    assert result.state.ended
    assert result.state.programs < 200
    assert not any(record.kind == "crash" for record in result.found.values())


def test_a_mistake_can_be_sent_through_a_pipe() -> None:
    assert from_line(to_line(Mistake("x.py:1: wrong"))) == Mistake("x.py:1: wrong")


def test_a_supervisor_raises_the_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fuzz.engines.supervisor.follow", lambda child, *_: child.result.record(Mistake("x.py:1")) or ""
    )
    with pytest.raises(CandidateMistakeError, match=r"x\.py:1"):
        run_unit(Unit("random", "original", "rfc-v1", 1, programs=1))


def test_a_replayer_raises_the_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replayer, "_ask", lambda *_, **__: b'{"mistake": "x.py:1"}\n')
    with pytest.raises(CandidateMistakeError, match=r"x\.py:1"):
        Replayer().shows(print_program(PROGRAM), "original", "rfc-v1")


def test_minimizing_raises_the_mistake() -> None:
    versions = candidate.get("original"), unmapping(MISTAKES["NameError"])
    with pytest.raises(CandidateMistakeError):
        judge_here(*versions)(PROGRAM)
    with WatchedJudge(*versions) as judge, pytest.raises(CandidateMistakeError, match="NameError"):
        judge(PROGRAM)


@pytest.mark.parametrize("trace", [False, True])
def test_a_run_raises_the_mistake(trace: bool) -> None:
    programs = [("p.s2", PROGRAM)]
    with pytest.raises(CandidateMistakeError, match=r"tests/unit/execution/test_mistakes\.py:[0-9]+: NameError"):
        list(run_all(programs, candidate.get("original"), [unmapping(MISTAKES["NameError"])], trace))


def test_code_that_ends_its_process_is_the_candidates() -> None:
    def leave(*_: object) -> int:
        os._exit(9)

    ended = "the Python code of the candidate ended its process with exit code 9, in kvm_mmu_notifier_invalidate_range"
    with pytest.raises(CandidateMistakeError, match=ended):
        list(run_all([("p.s2", PROGRAM)], candidate.get("original"), [unmapping(leave)], False))


def test_an_exit_outside_of_kernel_code_is_no_candidates() -> None:
    with Forked(lambda _: os._exit(9)) as forked, pytest.raises(CopyLostError, match="ended with exit code 9"):
        forked.ask(1)


def test_the_process_continues_after_a_mistake() -> None:
    def work(request: int) -> tuple[int, int]:
        if request == 2:
            raise CandidateMistakeError("x.py:1: wrong")
        return request, os.getpid()

    with Forked(work) as forked:
        first = forked.ask(1)
        with pytest.raises(CandidateMistakeError, match=r"^x\.py:1: wrong$"):
            forked.ask(2)
        assert forked.ask(3) == (3, first[1])


def test_a_replay_server_reports_the_mistake(registered: str) -> None:
    request = {"program": print_program(PROGRAM), "reference": "original", "candidate": registered}
    told = replay_server.answer({**request, "seconds": 60.0, "silence": 10.0})
    assert list(told) == ["mistake"]
    assert "NameError" in told["mistake"]
