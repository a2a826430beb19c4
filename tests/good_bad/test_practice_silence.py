# SPDX-License-Identifier: GPL-2.0-only
"""progress: kernel code that causes no event for seconds of CPU time is stopped, and is a finding."""

import os
from pathlib import Path

import pytest

from candidate import Candidate
from fuzz.judging.differential import COMMON, REGRESSION
from fuzz.judging.forked import CopyLostError, Forked
from fuzz.language.text import parse
from fuzz.reports.runs import Run
from fuzz.reports.watched import Judging
from reference.pgtable import Pgtable
from reference.services.structs import kvm_s2_mmu

from .case import ORIGINAL
from .practice_silence import ABORT, CREATION, DESTROY, EVENTLESS, LONG_SCAN, SCAN, SPLIT, loop_forever

UNLOCKED = "slot a size=2M backing=anon\ncpu0 write a+0\ncpu0 write a+4K\nhost discard a+0 2M\ncpu0 read a+0\n"
READ = "slot a size=4K backing=anon\ncpu0 write a+0\nhost discard a+0 4K\ncpu0 read a+0\n"
LOGGED = "slot a size=4K backing=anon\ncpu0 write a+0\nlog a on\n"
# Enough for the right versions here, even as plain Python.
SECONDS = 0.5


def judged(
    version: Candidate, text: str, reference: Candidate = ORIGINAL, trace: bool = False, seconds: float = SECONDS
) -> Run:
    """Judge a program and return the run."""
    programs = [("p.s2", parse(f"s2fuzz 1\nvm\n{text}"))]
    with Judging(programs, reference, [version], trace, seconds) as judging:
        return judging.run(0, 0)


@pytest.mark.parametrize(
    ("version", "text", "function", "at", "said"),
    [
        (EVENTLESS, UNLOCKED, "stage2_unmap_walker", 2, "operation 3: host discard a+0 2M"),
        (ABORT, READ, "kvm_handle_guest_abort", 2, "operation 3: cpu0 read a+0"),
        (SPLIT, LOGGED, "stage2_attr_walker", 1, "in kvm_set_memory_region, the last walker stage2_attr_walker"),
        (DESTROY, READ, "kvm_free_stage2_pgd", 3, "destruction of the VM"),
        (CREATION, READ, "kvm_set_memory_region", -1, "creation of the VM"),
    ],
    ids=["walker", "before the first event", "after a walk", "destruction", "creation"],
)
def test_code_that_does_not_return(version: Candidate, text: str, function: str, at: int, said: str) -> None:
    run = judged(version, text)
    (found,) = [each for each in run.findings() if each.signature == f"progress: {function}: does not return"]
    assert (found.kind, found.at) == (REGRESSION, at)
    assert found.reason.startswith(f"{version.name}: no event for 0.5 s of CPU time in ")
    assert said in found.reason
    assert run.error == ""


def test_the_original_comes_first() -> None:
    run = judged(ORIGINAL, UNLOCKED, reference=EVENTLESS)
    assert [(each.kind, each.signature) for each in run.findings()] == [
        (COMMON, "progress: stage2_unmap_walker: does not return")
    ]
    assert "eventless-loop: no event" in run.findings()[0].reason


def test_earlier_violations_are_kept() -> None:
    """Both versions have bug R1: its access flag fault comes first."""
    text = "slot a size=8K backing=anon\ncpu0 read a+0\nhost age a+0 4K\ncpu0 read a+0\nhost discard a+0 8K\n"
    run = judged(EVENTLESS, text)
    assert [(each.kind, each.at) for each in run.findings()] == [(REGRESSION, 3), (COMMON, 2)]


def test_long_periods_without_an_event_are_no_finding() -> None:
    """Together they exceed the limit. Each one leaves most of the limit as a reserve for a loaded machine."""
    text = "slot a size=2M backing=anon\n" + "cpu0 write a+0\nhost discard a+0 2M\n" * 5
    limit = 4 * SCAN
    before = os.times()
    assert [each.kind for each in judged(LONG_SCAN, text, seconds=limit).findings() if each.kind == REGRESSION] == []
    # User and system time of the judging process.
    assert sum(os.times()[2:4]) - sum(before[2:4]) > limit


def test_the_trace_ends_at_the_silent_operation() -> None:
    trace = judged(EVENTLESS, UNLOCKED, trace=True).trace
    assert trace is not None
    assert "operation 2: cpu0 write a+4K" in trace
    assert "!! progress: stage2_unmap_walker:" in trace
    assert "operation 4" not in trace
    assert trace.index("stage2_unmap_walker: walk of 2M at") < trace.index("!! progress")


def test_one_silent_run_decides_nothing(tmp_path: Path) -> None:
    """A version that loops only in the first run, in any process, is no finding."""
    seen = tmp_path / "seen"

    class Once(Pgtable):
        def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
            if not seen.exists():
                seen.touch()
                loop_forever()
            return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)

    for trace in (False, True):
        seen.unlink(missing_ok=True)
        run = judged(Candidate("once", Once, ORIGINAL.mmu, ""), UNLOCKED, trace=trace)
        assert seen.exists()
        assert (run.word, run.error, run.trace is not None) == (judged(ORIGINAL, UNLOCKED).word, "", trace)


def test_wall_clock_time_decides_nothing() -> None:
    """Waiting, or running outside kernel code, is no finding: only the total time limit stops the process."""

    def wait(_: object) -> None:
        Path("/proc/self/stat").read_text()
        os.read(os.pipe()[0], 1)

    for work in (wait, lambda _: loop_forever()):
        with Forked(work, 0.1, 2.0) as forked, pytest.raises(CopyLostError, match="made no progress for 2 s") as lost:
            forked.ask(None)
        assert (lost.value.position, lost.value.status) == (None, None)
