# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: one program after the other, each finding once."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from candidate import Candidate

from .differential import COMMON, CURED, DIVERGENCE, REGRESSION, Differential, Verdict
from .distribution import debugging
from .findings import (
    BEHIND,
    CRASH,
    Found,
    crash_reason,
    crash_signature,
    file_name,
    file_text,
    in_order,
    write_atomically,
)
from .generator import Generator
from .program import Program, Vm


@dataclass(slots=True)
class Summary:
    """What a session did and found.

    :param reference: name of the version that counts as the original
    :param candidate: name of the version under test
    :param programs: so many were judged, with so many operations, in so many seconds
    :param findings: in order of weight (`fuzz.differential.CLASSES`), then of signature
    :param behind: what only the candidate did wrong, and only behind the first
        violation of a program: without weight, since it may follow from that one
    :param crashes: exceptions in our own code, never the fault of the candidate
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
    behind: list[Found] = field(default_factory=list)
    crashes: list[Found] = field(default_factory=list)
    interrupted: bool = False
    trouble: str = ""

    @property
    def failed(self) -> bool:
        """Whether the candidate is worse, or differs for no known reason."""
        return any(found.kind in (REGRESSION, DIVERGENCE) for found in self.findings)


class Engine:
    """Random programs of one seed, judged.

    No signature is passed to `Differential` as known, common ones included: a
    candidate may break in a new way what the original breaks too (RFC v1 does),
    and both have the same signature then.

    :param reference: the version that counts as the original
    :param candidate: the version under test
    :param seed: from 0; the same seed makes the same programs
    :param out: where the programs are written, an existing directory; None: nowhere
    """

    def __init__(self, reference: Candidate, candidate: Candidate, seed: int, out: Path | None = None) -> None:
        self.generator = Generator(seed)
        self.differential = Differential(reference, candidate)
        self.out = out
        self.summary = Summary(reference.name, candidate.name, seed)
        self.found: dict[tuple[str, str], Found] = {}
        # Signatures that the original has shown: no news where the candidate has them.
        self.original: set[str] = set()

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
        self.finish()
        summary.seconds = time.monotonic() - start
        return summary

    def one(self) -> None:
        """Make the next program and judge it."""
        number = self.summary.programs + 1
        program = Program(Vm(), ())
        try:
            program = self.generator.next()
            verdict = self.differential.run(program)
        except Exception as error:
            if debugging():
                traceback.print_exc()
            self.note(Found(CRASH, crash_signature(error), crash_reason(error), program, number, -1))
        else:
            self.take(verdict, program, number)
        self.summary.programs += 1
        self.summary.operations += len(program.operations)

    def take(self, verdict: Verdict, program: Program, number: int) -> None:
        """Note what a verdict says, each signature once a program."""
        seen: set[tuple[str, str]] = set()
        for finding in verdict.findings:
            if finding.kind in (COMMON, CURED):
                self.original.add(finding.signature)
            if (finding.kind, finding.signature) not in seen:
                seen.add((finding.kind, finding.signature))
                self.note(Found(finding.kind, finding.signature, finding.reason, program, number, finding.at))
        for side, violation in verdict.consequences:
            signature = violation.signature
            if side == "original":
                self.original.add(signature)
            elif (BEHIND, signature) not in seen:
                seen.add((BEHIND, signature))
                self.note(Found(BEHIND, signature, violation.reason, program, number, violation.at))

    def note(self, found: Found) -> None:
        """Count a finding; keep its program if it is the smallest so far."""
        key = (found.kind, found.signature)
        known = self.found.get(key)
        if known is None:
            self.found[key] = found
        else:
            found.count = known.count + 1
            found.path = known.path
            if found.size() >= known.size():
                known.count = found.count
                return
            self.found[key] = found
        if found.kind != BEHIND:
            self.save(found)
        self.sort()

    def save(self, found: Found) -> None:
        """Write the program of a finding, if there is a place for it."""
        if self.out is None:
            return
        path = self.out / file_name(found.kind, found.signature)
        summary = self.summary
        try:
            write_atomically(path, file_text(found, summary.reference, summary.candidate, summary.seed, path.name))
            found.path = path
        except OSError as error:
            summary.trouble = f"{path}: {error.strerror or error}"

    def sort(self) -> None:
        """Bring the lists of the summary up to date."""
        summary = self.summary
        ordered = in_order(self.found.values())
        judged = {found.signature for found in ordered if found.kind != BEHIND}
        summary.findings = [found for found in ordered if found.kind not in (BEHIND, CRASH)]
        summary.crashes = [found for found in ordered if found.kind == CRASH]
        news = [found for found in ordered if found.kind == BEHIND and found.signature not in judged]
        summary.behind = [found for found in news if found.signature not in self.original]

    def finish(self) -> None:
        """Write what could only be told at the end."""
        self.sort()
        for found in self.summary.behind:
            self.save(found)
