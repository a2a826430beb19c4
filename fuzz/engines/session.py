# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: one program after the other, each finding once."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from candidate import Candidate

from ..distribution import debugging
from ..findings.found import (
    CRASH,
    Found,
    crash_reason,
    crash_signature,
    file_name,
    file_text,
    in_order,
    write_atomically,
)
from ..generation.generator import Generator
from ..judging.cost import Total
from ..judging.differential import DIVERGENCE, REGRESSION, Differential, Verdict
from ..language.program import Program, ProgramError, Vm
from ..language.text import load

# Measuring costs takes a twentieth of the time: one program in so many has it done.
MEASURED: Final = 4


@dataclass(slots=True)
class Summary:
    """What a session did and found.

    :param reference: name of the version that counts as the original
    :param candidate: name of the version under test
    :param programs: so many were judged, with so many operations, in so many seconds
    :param findings: in order of weight (`fuzz.judging.differential.CLASSES`), then of signature
    :param crashes: exceptions in our own code, never the fault of the candidate
    :param costs: of both sides, of every `MEASURED`-th program together
    :param interrupted: Ctrl-C ended it
    :param trouble: why files could not be written; "" if they could
    """

    reference: str
    candidate: str
    seed: int
    programs: int = 0
    operations: int = 0
    seconds: float = 0.0
    findings: list[Found] = field(default_factory=list)
    crashes: list[Found] = field(default_factory=list)
    costs: Total = field(default_factory=Total)
    interrupted: bool = False
    trouble: str = ""

    @property
    def failed(self) -> bool:
        """Whether the candidate is worse, or differs for no known reason."""
        return any(found.kind in (REGRESSION, DIVERGENCE) for found in self.findings)


class Engine:
    """Random programs of one seed, judged.

    :param reference: the version that counts as the original
    :param candidate: the version under test
    :param seed: from 0; the same seed makes the same programs
    :param out: where the programs of this candidate are kept, an existing directory; None: nowhere
    """

    def __init__(self, reference: Candidate, candidate: Candidate, seed: int, out: Path | None = None) -> None:
        self.generator = Generator(seed)
        self.differential = Differential(reference, candidate)
        self.out = out
        self.summary = Summary(reference.name, candidate.name, seed)
        self.found: dict[tuple[str, str], Found] = {}

    def run(
        self,
        seconds: float | None = None,
        programs: int | None = None,
        progress: Callable[[Summary], None] | None = None,
    ) -> Summary:
        """Judge programs until time, number or patience (Ctrl-C) ends.

        :param seconds: for so long, to the end of the program that runs then
        :param programs: so many
        :param progress: called after each program with the summary so far
        """
        start = time.monotonic()
        summary = self.summary
        try:
            while programs is None or summary.programs < programs:
                self.one()
                summary.seconds = time.monotonic() - start
                if progress is not None:
                    progress(summary)
                if seconds is not None and summary.seconds >= seconds:
                    break
        except KeyboardInterrupt:
            summary.interrupted = True
        summary.seconds = time.monotonic() - start
        return summary

    def one(self) -> None:
        """Make the next program and judge it."""
        number = self.summary.programs + 1
        program = Program(Vm(), ())
        try:
            program = self.generator.next()
            self.differential.measure = number % MEASURED == 1
            verdict = self.differential.run(program)
        except Exception as error:
            if debugging():
                traceback.print_exc()
            self.note(Found(CRASH, crash_signature(error), crash_reason(error), program, number, -1))
        else:
            self.take(verdict, program, number)
            self.summary.costs.add(verdict.costs)
        self.summary.programs += 1
        self.summary.operations += len(program.operations)

    def take(self, verdict: Verdict, program: Program, number: int) -> None:
        """Note what a verdict says, each signature once a program."""
        seen: set[tuple[str, str]] = set()
        for finding in verdict.findings:
            if (finding.kind, finding.signature) not in seen:
                seen.add((finding.kind, finding.signature))
                self.note(Found(finding.kind, finding.signature, finding.reason, program, number, finding.at))

    def note(self, found: Found) -> None:
        """Count a finding; keep its program if it is the smallest so far."""
        key = (found.kind, found.signature)
        seen = self.found.get(key)
        known = seen or self.earlier(found)
        best = found
        if known is not None:
            found.count = known.count + 1
            found.path = known.path
            if found.size() >= known.size():
                known.count = found.count
                best = known
        if best is seen:
            return
        self.found[key] = best
        if best is found:
            self.save(found)
        ordered = in_order(self.found.values())
        self.summary.findings = [each for each in ordered if each.kind != CRASH]
        self.summary.crashes = [each for each in ordered if each.kind == CRASH]

    def earlier(self, found: Found) -> Found | None:
        """The same finding as its file has it from an earlier session, if that is as small and still shows it."""
        if self.out is None:
            return None
        path = self.out / file_name(found.kind, found.signature)
        try:
            program = load(path)
        except ProgramError:
            return None
        if len(program.operations) > len(found.program.operations):
            return None
        shown: list[tuple[str, str, str, int]] = []
        self.differential.measure = False
        try:
            verdict = self.differential.run(program)
            shown = [(each.kind, each.signature, each.reason, each.at) for each in verdict.findings]
        except Exception as error:
            shown = [(CRASH, crash_signature(error), crash_reason(error), -1)]
        for kind, signature, reason, at in shown:
            if (kind, signature) == (found.kind, found.signature):
                return Found(kind, signature, reason, program, 0, at, 0, path)
        return None

    def save(self, found: Found) -> None:
        """Write the program of a finding, if there is a place for it."""
        if self.out is None:
            return
        path = self.out / file_name(found.kind, found.signature)
        summary = self.summary
        try:
            write_atomically(path, file_text(found, summary.reference, summary.candidate, summary.seed, path))
            found.path = path
        except OSError as error:
            summary.trouble = f"{path}: {error.strerror or error}"
