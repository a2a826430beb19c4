# SPDX-License-Identifier: GPL-2.0-only
"""The summary of a session of fuzzing, for reports; its findings as files."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from candidate.tree.lines.difference import Exercise

from ..closing import Closing
from ..coverage.exercised import only_one_is_tree
from ..findings.accepted import Accepted
from ..findings.found import CRASH
from ..findings.record import FindingRecord
from ..findings.replay import Replayer
from ..findings.store import Store
from ..judging.cost import Total
from ..judging.differential import COMMON, DIVERGENCE, REGRESSION
from ..judging.finding import Key
from ..judging.silence import is_silent
from ..minimizing.bounded import smaller
from .refused import says_nothing
from .registry import DEFAULT
from .unit import Result


@dataclass(slots=True)
class Summary:
    """The work and the findings of a session.

    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    :param engine: its name
    :param programs: so many were judged, with so many operations, in so many seconds of an engine's process
    :param findings: in the order of `fuzz.findings.found.in_order`
    :param crashes: exceptions in our own code, and programs of which a process died or hung
    :param unreplayed: findings, and crashes, that were seen once and not again in a fresh process
    :param costs: of both sides, of every `fuzz.engines.session.MEASURED`-th program together
    :param elapsed: seconds of the whole session: also what stands before judging, replays and minimising
    :param interrupted: Ctrl-C ended it
    :param trouble: the reason why files could not be written; "" if they could
    :param accepted: findings that the user knows of
    :param first: of each finding the first record, by its key, in the order in which they came
    :param exercise: how much of the difference of two kernel trees ran, once the session is over; None: not known
    :param refused: as in `fuzz.engines.unit.UnitState`, with *blocks* and *repeated*
    """

    reference: str
    candidate: str
    seed: int
    engine: str = DEFAULT
    programs: int = 0
    operations: int = 0
    seconds: float = 0.0
    elapsed: float = 0.0
    findings: list[FindingRecord] = field(default_factory=list)
    crashes: list[FindingRecord] = field(default_factory=list)
    unreplayed: list[FindingRecord] = field(default_factory=list)
    costs: Total = field(default_factory=Total)
    interrupted: bool = False
    trouble: str = ""
    accepted: Accepted = field(default_factory=Accepted)
    refused: dict[str, int] = field(default_factory=dict)
    exercise: Exercise | None = None
    first: dict[tuple[str, str], FindingRecord] = field(default_factory=dict)
    blocks: int = 0
    repeated: int = 0

    @property
    def idle(self) -> bool:
        """True if nothing ran of that by which two kernel trees differ, as far as is known.

        Where most programs have no verdict, that is said in its place. Where the two did not do the same, something
        ran: an interrupted session may have lost its last counts.
        """
        if self.unknown or any(found.kind != COMMON for found in self.findings):
            return False
        return self.exercise is not None and not self.exercise.exercised

    @property
    def unknown(self) -> bool:
        """True if most programs have no verdict: that nothing was found says nothing."""
        return says_nothing(self.programs, self.refused)

    @property
    def only_one_is_tree(self) -> bool:
        """True if one side alone is a kernel tree."""
        return only_one_is_tree(self.reference, self.candidate)

    @property
    def failed(self) -> bool:
        """True if the candidate is worse, or differs for no known reason, and nobody accepts that."""
        worse = [found for found in self.findings if found.kind in (REGRESSION, DIVERGENCE)]
        return any(self.accepted.match(found.kind, found.signature) is None for found in worse)


class NewFindings:
    """The findings of a session, each once, with the number of the first program that showed it.

    :param summary: of the session
    """

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        self.told: set[tuple[str, str]] = set()

    def take(self) -> list[FindingRecord]:
        """Return those that were not returned before, in the order in which they came."""
        there = {each.finding.key for each in self.summary.findings} - self.told
        self.told |= there
        return [each for key, each in self.summary.first.items() if key in there]


class Keeper(Closing):
    """Keeps the findings of a session as they come, once they replay.

    The first program of a finding is replayed at once. Smaller ones wait for the end of the session (`finish`): most
    of them give way to others that are smaller still, and replays take the cores from the processes that judge.

    :param summary: of the session; kept up to date
    :param out: where the programs of this candidate are kept, an existing directory; None: nowhere
    :param replayer: replays them; by default one of its own, which `close` ends
    """

    def __init__(self, summary: Summary, out: Path | None = None, replayer: Replayer | None = None) -> None:
        self.summary = summary
        self.store = Store(out, summary.reference, summary.candidate, replayer)
        self.records: dict[str, FindingRecord] = {}
        # Of findings that are kept, programs that nobody has replayed yet.
        self.waiting: dict[Key, list[FindingRecord]] = {}
        # So many of `Result.messages` were taken.
        self.taken = 0

    def close(self) -> None:
        """End the process that replays."""
        self.store.close()

    def watch(self, result: Result) -> None:
        """Take in a unit's result so far.

        Records are taken in their order, so that the result does not depend on when this is called.
        """
        for record in result.messages[self.taken :]:
            self.take(record, result.interrupted)
            # Only now: one that Ctrl-C came between is taken again.
            self.taken += 1
        summary, state = self.summary, result.state
        summary.programs, summary.operations, summary.seconds = state.programs, state.operations, state.seconds
        summary.costs, summary.refused = state.costs, state.refused
        summary.blocks, summary.repeated = state.blocks, state.repeated
        summary.interrupted = result.interrupted
        self.update()

    def finish(self, result: Result, beside: int = 1) -> None:
        """Take in a unit's result once it is over, and the programs that wait.

        The smallest come first, and larger ones that are not kept then are not replayed. What is kept is the same as
        if each had been replayed when it came. After Ctrl-C one program of each finding is replayed; another Ctrl-C
        ends that: what no fresh process has shown by then is kept apart.

        :param beside: so many are replayed at a time
        """
        try:
            self.watch(result)
            waiting, self.waiting = self.waiting, {}
            groups = [sorted(programs, key=FindingRecord.size) for programs in waiting.values()]
            self.store.offer_all([programs[:1] for programs in groups] if result.interrupted else groups, beside)
        except KeyboardInterrupt:
            self.summary.interrupted = result.interrupted = True
            for record in result.messages[self.taken :]:
                self.note(record)
                self.store.hold(self.kept_as(record))
            self.taken = len(result.messages)
        self.update()

    def is_behind(self, result: Result) -> bool:
        """Tell whether `finish` has programs to replay."""
        return bool(self.waiting) or self.taken < len(result.messages)

    def take(self, record: FindingRecord, hurry: bool = False) -> None:
        """Note a finding with a smaller program than before.

        :param hurry: start no replay that is known to take its time
        """
        self.note(record)
        kept = self.kept_as(record)
        key = record.finding.key
        if key in self.store.kept and not is_silent(record.signature):
            self.waiting.setdefault(key, []).append(kept)
        elif hurry and is_silent(record.signature):
            self.store.hold(kept)
        else:
            self.store.offer(kept)

    def note(self, record: FindingRecord) -> None:
        """Note a finding for the summary."""
        self.summary.first.setdefault(record.finding.key, record)
        self.records[record.finding.title] = record

    def kept_as(self, record: FindingRecord) -> FindingRecord:
        """Return the record that the store has of its own: it counts and names files as the folder has it."""
        return replace(record, seed=self.summary.seed, count=1)

    def minimize(self, seconds: float | None = None) -> None:
        """Keep smaller programs of the findings that the candidate has to answer for, unless somebody accepts them.

        They have been kept as they were found: whatever ends this, nothing is lost. Ctrl-C ends it.

        :param seconds: after which nothing more is tried; None: the number of runs is the only bound
        """
        start, summary = time.monotonic(), self.summary
        for found in list(summary.findings):
            left = None if seconds is None else seconds - (time.monotonic() - start)
            answers = found.kind in (REGRESSION, DIVERGENCE) and not summary.accepted.match(found.kind, found.signature)
            if not answers or not found.number:
                # What its file had already has been through this.
                continue
            if summary.interrupted or (left is not None and left <= 0):
                break
            try:
                smallest = smaller(found, summary.reference, summary.candidate, self.store.replayer, seconds=left)
            except KeyboardInterrupt:
                summary.interrupted = True
                break
            if smallest is not found:
                self.store.offer(smallest)
        self.update()

    def update(self) -> None:
        """Bring the findings of the summary up to date."""
        found, unreplayed = self.store.findings(), self.store.unreplayed()
        for each in (*found, *unreplayed):
            each.count = self.records[each.finding.title].count
        summary = self.summary
        summary.findings = [each for each in found if each.kind != CRASH]
        summary.crashes = [each for each in found if each.kind == CRASH]
        summary.unreplayed = unreplayed
        summary.trouble = self.store.files.trouble
