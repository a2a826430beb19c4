# SPDX-License-Identifier: GPL-2.0-only
"""What a session of fuzzing did and found, for reports; its findings as files."""

from dataclasses import dataclass, field
from pathlib import Path

import candidate

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
from ..judging.cost import Total
from ..judging.differential import DIVERGENCE, REGRESSION, Differential
from ..language.program import ProgramError
from ..language.text import load, parse
from .unit import FoundRecord, Result


@dataclass(slots=True)
class Summary:
    """What a session did and found.

    :param reference: name of the version that counts as the original
    :param candidate: name of the version under test
    :param engine: what made the programs
    :param programs: so many were judged, with so many operations, in so many seconds
    :param findings: in order of weight (`fuzz.judging.differential.CLASSES`), then of signature
    :param crashes: exceptions in our own code, and programs of which a process died or hung
    :param costs: of both sides, of every `fuzz.engines.session.MEASURED`-th program together
    :param interrupted: Ctrl-C ended it
    :param trouble: why files could not be written; "" if they could
    """

    reference: str
    candidate: str
    seed: int
    engine: str = "random"
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


class Keeper:
    """Keeps the findings of a session as they come.

    :param summary: of the session; kept up to date
    :param out: where the programs of this candidate are kept, an existing directory; None: nowhere
    """

    def __init__(self, summary: Summary, out: Path | None = None) -> None:
        self.summary = summary
        self.out = out
        self.found: dict[str, Found] = {}
        self.records: dict[str, FoundRecord] = {}

    def watch(self, result: Result) -> None:
        """Take in a unit's result so far."""
        for key, record in result.found.items():
            if self.records.get(key) is not record:
                self.records[key] = record
                self.take(key, record)
            self.found[key].count = record.count
        summary, state = self.summary, result.state
        summary.programs, summary.operations, summary.seconds = state.programs, state.operations, state.seconds
        summary.costs = state.costs
        summary.interrupted = result.interrupted
        ordered = in_order(self.found.values())
        summary.findings = [each for each in ordered if each.kind != CRASH]
        summary.crashes = [each for each in ordered if each.kind == CRASH]

    def take(self, key: str, record: FoundRecord) -> None:
        """Note a finding with a smaller program than before; keep its program if it is the smallest there is."""
        program = parse(record.text)
        found = Found(record.kind, record.signature, record.reason, program, record.number, record.at)
        known = self.found.get(key) or self.earlier(found)
        if known is not None and known.size() <= found.size():
            self.found[key] = known
            return
        self.found[key] = found
        found.path = known.path if known else None
        self.save(found)

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
        differential = Differential(candidate.get(self.summary.reference), candidate.get(self.summary.candidate))
        shown: list[tuple[str, str, str, int]] = []
        try:
            verdict = differential.run(program)
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
