# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a gate: the findings of a change, which of them are new, and their places in the code."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import candidate
from candidate.inspection.sources import method_line, shown_file
from candidate.tree import MMU

from ..engines.summary import Summary
from ..findings.accepted import Entry
from ..findings.record import FindingRecord, in_order
from ..findings.renamed import names_of
from ..findings.replay import Replayer
from ..findings.severity import severity
from ..judging.finding import DIVERGENCE, REGRESSION, Key
from ..judging.known import definitions
from ..minimizing.bounded import smaller
from ..reports.calls import KernelCall
from ..reports.report import no_verdict, not_exercised
from ..reports.seeking import seek
from ..reports.trail import Trail, function_of

# The states of a finding.
NEW: Final = "new"
BEFORE: Final = "in the baseline"
ACCEPTED: Final = "accepted"
# The classes of findings that the candidate is responsible for.
CLASSES: Final = (REGRESSION, DIVERGENCE)


@dataclass(slots=True)
class GateFinding:
    """A finding that the candidate is responsible for.

    :param candidate: name of the version that shows it
    :param record: the finding, and the smallest program that shows it
    :param state: `NEW`, `BEFORE` or `ACCEPTED`
    :param entry: the entry of the user's file that accepts it; None: there is none
    :param trail: the calls that lead to it
    """

    candidate: str
    record: FindingRecord
    state: str
    entry: Entry | None = None
    trail: Trail = field(default_factory=Trail)

    @property
    def key(self) -> Key:
        """Class and signature."""
        return self.record.finding.key

    @property
    def rule(self) -> str:
        """The rule that it breaks; for a difference between the sides: ``map`` or ``result``."""
        return self.record.signature.partition(":")[0]

    @property
    def severity(self) -> str:
        """The name of its severity, in lower case."""
        return severity(self.record.signature).name.lower()

    def place(self) -> KernelCall:
        """Return the place to look at: the innermost code of the candidate on the way to the finding.

        If there is none, it is the code of the candidate that made the two sides differ, else the function in the
        signature, else the innermost call, else the definition of that function.
        """
        calls = [call for call in self.trail.calls if call.file]
        own = [call for call in calls if call.own]
        function = function_of(self.record.signature)
        named = [call for call in calls if call.function == function]
        found = [*calls, *named, *([self.trail.own] if self.trail.own else []), *own]
        return found[-1] if found else defined(self.candidate, function)


def defined(name: str, function: str) -> KernelCall:
    """Return the definition of a kernel function in a version; the version's file if it does not have the function.

    :param name: name of the version
    :param function: name of the function; "": not known
    """
    version = candidate.get(name)
    if version.is_tree:
        return KernelCall(function, MMU)
    for owner in definitions(version, function) if function else ():
        written = next(each for each in (function, f"{function}__") if each in vars(owner))
        return KernelCall(function, shown_file(owner), method_line(owner, written))
    return KernelCall(function, shown_file(version.pgtable), method_line(version.pgtable, ""))


@dataclass(slots=True)
class Gate:
    """The outcome of a gate.

    :param summary: the summary of the session
    :param findings: findings that the candidate is responsible for, most severe first
    :param gone: findings of the baseline that no longer appear
    :param stale: entries of the user's file that matched nothing
    :param strict: stale entries fail the gate
    :param compared: there is a baseline
    """

    summary: Summary
    findings: list[GateFinding]
    gone: list[Key] = field(default_factory=list)
    stale: list[Entry] = field(default_factory=list)
    strict: bool = False
    compared: bool = False

    @property
    def new(self) -> list[GateFinding]:
        """The findings that fail the gate."""
        return [each for each in self.findings if each.state == NEW]

    @property
    def failed(self) -> bool:
        """True if there are new findings, or stale entries that must be removed."""
        return bool(self.new or (self.strict and self.stale))

    @property
    def others(self) -> Counter[str]:
        """The number of findings that the candidate is not responsible for, by class."""
        return Counter(each.kind for each in self.summary.findings if each.kind not in CLASSES)

    @property
    def troubles(self) -> list[str]:
        """The reasons why the outcome is incomplete, one line each: bugs of s2fuzz, findings that do not replay."""
        crashes = [f"a mistake of s2fuzz: {each.signature}: {each.reason}" for each in self.summary.crashes]
        lost = [f"did not replay: {each.kind} {each.signature}: {each.reason}" for each in self.summary.unreplayed]
        unknown = [no_verdict(self.summary.programs, self.summary.refused)] if self.summary.unknown else []
        idle = [not_exercised(self.summary.exercise)] if self.summary.idle else []
        return [*crashes, *lost, *unknown, *idle]


def gate_of(summary: Summary, before: list[Key] | None, strict: bool = False, contents: tuple[str, ...] = ()) -> Gate:
    """Make the outcome of a session: minimise the programs of new findings, and find the trail to each finding.

    :param before: findings of the baseline; None: there is no baseline
    :param strict: entries of the user's file that match nothing fail the gate
    :param contents: as for `fuzz.engines.unit.Unit`
    :raises NoProcessError: no process can be started
    """
    known = set(before or ())
    kept: set[Key] = set()
    versions = summary.reference, summary.candidate
    findings: list[GateFinding] = []
    with Replayer(contents=contents) as replayer:
        for record in in_order(each for each in summary.findings if each.kind in CLASSES):
            entry = summary.accepted.match(record.kind, record.signature)
            # The baseline may have the finding under a former signature.
            former = known.intersection((record.kind, name) for name in names_of(record.signature))
            kept |= former
            state = ACCEPTED if entry else BEFORE if former else NEW
            told = smaller(record, *versions, replayer) if state == NEW else record
            findings.append(
                GateFinding(summary.candidate, told, state, entry, seek(told.program, *versions, told.finding))
            )
    for record in summary.findings:
        # An entry may be for a finding that is common or cured, so it is not stale.
        summary.accepted.match(record.kind, record.signature)
    gone = sorted(known - kept)
    return Gate(summary, findings, gone, summary.accepted.stale(), strict, before is not None)
