# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts for reports from a process that may die or hang: the same as in this process, or the cause of death."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, fields, replace
from types import TracebackType
from typing import Any, Final

from candidate import Candidate
from candidate.tree.lines.counts import from_wire

from ..checkers import Violation
from ..coverage.exercised import exercise
from ..distribution import debugging
from ..execution.mistakes import CandidateMistakeError
from ..findings.found import crash_reason
from ..judging import silence
from ..judging.differential import Differential, Finding, Verdict
from ..judging.finding import Key
from ..judging.forked import CopyLostError, Forked
from ..judging.silence import silent_finding
from ..language.program import Program
from ..sides.pulse import REFERENCE, Position
from .runs import Run
from .sidebyside import Section, columns_of, record, render
from .trace_lines import Line

# Jobs of the process: judge a program; trace it as far as it gets; judge the part before an operation.
_JUDGE: Final = "judge"
_TRACE: Final = "trace"
_BEFORE: Final = "before"
# Fields of `Run` that both processes know.
_KNOWN: Final = ("file", "program", "reference", "candidate", "verdict")
# Values of `CopyLostError.status` for a death caused from outside; SIGKILL also occurs when memory runs out.
_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)


class Judging:
    """A judge of programs on candidates, one at a time, in a forked process. A context manager.

    :param programs: names and valid programs
    :param trace: render `Run.trace` too
    :param seconds: of CPU time without an event after which kernel code counts as not returning
    :param aims: for each program the finding that its trace should show; None: all that it shows
    """

    def __init__(
        self,
        programs: Sequence[tuple[str, Program]],
        reference: Candidate,
        candidates: Sequence[Candidate],
        trace: bool,
        seconds: float = silence.SECONDS,
        aims: Sequence[Key | None] = (),
    ) -> None:
        self.programs = programs
        self.reference = reference
        self.candidates = candidates
        self.trace = trace
        self.seconds = seconds
        self.aims = aims
        # The trace so far; it outlives the process if that hangs.
        self.notes = os.memfd_create("s2fuzz-trace")
        self.forked = Forked(self._work, seconds)

    def __enter__(self) -> "Judging":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forked.close()
        os.close(self.notes)

    def run(self, number: int, which: int) -> Run:
        """Judge a program on a candidate, both given by index.

        Kernel code that does not return is a finding, once a second process has shown it too.
        """
        file, program = self.programs[number]
        run = Run(file, program, self.reference.name, self.candidates[which].name)
        try:
            try:
                answer = self.forked.ask((_JUDGE, number, which, 0))
            except CopyLostError as lost:
                if lost.position is None:
                    raise
                answer = self.forked.ask((_TRACE if self.trace else _JUDGE, number, which, 0))
                if self.trace:
                    # The kernel code returned this time, so judge the program.
                    answer = self.forked.ask((_JUDGE, number, which, 0))
        except CopyLostError as lost:
            if lost.position is None:
                run.error = f"the process that judged it {lost}"
                run.killed = lost.status in _FROM_OUTSIDE
            else:
                self._stuck(run, lost.position, number, which)
            return run
        _take(run, answer)
        if run.verdict is not None:
            run.exercise = exercise(run.reference, run.candidate, run.verdict.counts)
        if run.traceback and debugging():
            print(run.traceback, end="", file=sys.stderr)
        return run

    def _stuck(self, run: Run, stuck: Position, number: int, which: int) -> None:
        """Fill in the finding, and the trace so far, for kernel code that does not return."""
        found = silent_finding(stuck, run.reference, run.candidate, run.program, self.seconds)
        if self.trace:
            sections = self._sections(run.program, stuck, found)
            run.trace = render(sections, (run.reference, run.candidate), [found])
        verdict = Verdict()
        try:
            before = Run(run.file, run.program, run.reference, run.candidate)
            _take(before, self.forked.ask((_BEFORE, number, which, max(stuck.at, 0))))
            if before.verdict is not None:
                # Drop findings from the end of the shorter program: they are not this program's.
                verdict.findings = [each for each in before.verdict.findings if each.at < stuck.at]
                verdict.consequences = [each for each in before.verdict.consequences if each[1].at < stuck.at]
        except CopyLostError:
            # The shorter program does not end either.
            pass
        verdict.findings.append(found)
        run.verdict = verdict

    def _sections(self, program: Program, stuck: Position, found: Finding) -> list[Section]:
        """Return the trace up to the hang."""
        sides: tuple[dict[int, list[Line]], dict[int, list[Line]]] = ({}, {})
        size = os.fstat(self.notes).st_size
        for text in os.pread(self.notes, size, 0).decode().splitlines():
            at, side, *line = json.loads(text)
            sides[side].setdefault(at, []).append(Line(*line))
        mark = Line(f"!! {found.signature}: {found.reason}", f"!! {found.signature}", found.signature)
        sides[stuck.side != REFERENCE].setdefault(stuck.at, []).append(mark)
        return columns_of(program, stuck.at, *sides)

    def _work(self, job: tuple[str, int, int, int]) -> Any:
        """Do a job in the forked process."""
        what, number, which, end = job
        file, program = self.programs[number]
        candidate = self.candidates[which]
        if what == _TRACE:
            record(program, self.reference, candidate, self._noter())
            return None
        if what == _BEFORE:
            program = replace(program, operations=program.operations[:end])
        run = Run(file, program, self.reference.name, candidate.name)
        aim = self.aims[number] if self.aims else None
        judge(run, self.reference, candidate, self.trace and what == _JUDGE, aim)
        return _wire(run)

    def _noter(self) -> Callable[[int, int, Line], None]:
        """Return the function that writes the lines of a trace to `notes`."""
        os.ftruncate(self.notes, 0)
        os.lseek(self.notes, 0, os.SEEK_SET)

        def note(at: int, side: int, line: Line) -> None:
            data = json.dumps([at, side, line.text, line.key, line.violation]).encode() + b"\n"
            while data:
                data = data[os.write(self.notes, data) :]

        return note


def judge(run: Run, reference: Candidate, candidate: Candidate, trace: bool, aim: Key | None = None) -> None:
    """Fill in verdict, trace and error of a run, in this process.

    :param aim: the finding that the trace should show, if it occurs; None: all findings
    :raises CandidateMistakeError: the Python of a version has a mistake
    """
    try:
        run.verdict = Differential(reference, candidate, measure=True).run(run.program)
        if run.verdict.refused:
            run.refused, run.verdict = run.verdict.refused, None
            return
        if trace:
            names = (reference.name, candidate.name)
            findings = run.verdict.findings
            meant = [each for each in findings if each.key == aim] or findings
            run.trace = render(record(run.program, reference, candidate), names, meant)
    except CandidateMistakeError:
        raise
    except Exception as error:
        run.traceback = traceback.format_exc()
        run.verdict = None
        run.error = crash_reason(error)


def _wire(run: Run) -> dict[str, Any]:
    """Return the fields of a run that the other process lacks; compiled classes cannot be pickled."""
    wire = {each.name: getattr(run, each.name) for each in fields(run) if each.name not in _KNOWN}
    verdict = run.verdict
    if verdict is not None:
        wire["findings"] = [astuple(each) for each in verdict.findings]
        wire["consequences"] = [
            (side, each.checker, each.function, each.what, each.level, each.reason, each.at)
            for side, each in verdict.consequences
        ]
        wire["costs"] = verdict.costs
        wire["notes"] = verdict.notes
        wire["causes"] = verdict.causes
        wire["same"] = verdict.same
        wire["counts"] = verdict.counts.to_wire()
    return wire


def _take(run: Run, wire: dict[str, Any]) -> None:
    """Fill in a run from `_wire`'s result; fields of a violation that no report shows are lost."""
    if "findings" in wire:
        run.verdict = Verdict([Finding(*each) for each in wire.pop("findings")])
        for side, checker, function, what, level, reason, at in wire.pop("consequences"):
            violation = Violation(checker, function, what, level, reason)
            violation.at = at
            run.verdict.consequences.append((side, violation))
        run.verdict.costs = wire.pop("costs")
        run.verdict.notes = wire.pop("notes")
        run.verdict.causes = wire.pop("causes")
        run.verdict.same = wire.pop("same")
        run.verdict.counts = from_wire(wire.pop("counts"))
    for name, value in wire.items():
        setattr(run, name, value)


def run_all(
    programs: Sequence[tuple[str, Program]],
    reference: Candidate,
    candidates: Sequence[Candidate],
    trace: bool = False,
    aims: Sequence[Key | None] = (),
) -> Iterator[Run]:
    """Judge each program on each candidate; an exception in our own code ends in `Run.error`.

    :param programs: names and valid programs
    :param trace: render `Run.trace` too
    :param aims: as in `Judging`
    :raises CandidateMistakeError: the Python of a version has a mistake
    :raises NoProcessError: no process can be started
    """
    with Judging(programs, reference, candidates, trace, aims=aims) as judging:
        for number in range(len(programs)):
            for which in range(len(candidates)):
                yield judging.run(number, which)
