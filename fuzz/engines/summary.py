# SPDX-License-Identifier: GPL-2.0-only
"""The summary of a session of fuzzing, for reports, and the files of its findings."""

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
from ..judging.hurry import hurried
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
    :param programs: number of programs judged, with *operations* operations, in *seconds* seconds of an engine's
      process
    :param findings: in the order of `fuzz.findings.found.in_order`
    :param crashes: exceptions in our own code, and programs that killed or hung a process
    :param unreplayed: findings and crashes that were seen once, but not again in a fresh process
    :param costs: of both sides, summed over every `fuzz.engines.unit_run.MEASURED`-th program
    :param elapsed: seconds of the whole session, including setup, replays and minimising
    :param interrupted: Ctrl-C ended it
    :param trouble: the reason why files could not be written; "" if they could
    :param accepted: findings that the user knows of and accepts
    :param first: the first record of each finding, by its key, in order of arrival
    :param exercise: how much of the difference of two kernel trees ran, set when the session is over; None: not known
    :param refused: as in `fuzz.engines.unit.UnitState`, like *blocks*, *repeated* and *same*
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
    same: int = 0

    @property
    def idle(self) -> bool:
        """True if, as far as is known, no program with a verdict ran the code in which two kernel trees differ.

        False if most programs have no verdict: that is reported instead. False also if the two sides behaved
        differently: some of that code ran, and an interrupted session may have lost its last counts.
        """
        if self.unknown or any(found.kind != COMMON for found in self.findings):
            return False
        return self.exercise is not None and not self.exercise.exercised

    @property
    def unknown(self) -> bool:
        """True if most programs have no verdict, so that the absence of findings says nothing."""
        return says_nothing(self.programs, self.refused)

    @property
    def without_effect(self) -> bool:
        """True if lines in which two trees differ ran, and both did the same in every program without a par block.

        In a par block this is not known.
        """
        ran = self.exercise is not None and self.exercise.ran > 0
        return ran and 0 < self.same == self.programs - self.blocks - sum(self.refused.values())

    @property
    def only_one_is_tree(self) -> bool:
        """True if exactly one side is a kernel tree."""
        return only_one_is_tree(self.reference, self.candidate)

    @property
    def failed(self) -> bool:
        """True if the candidate is worse, or differs for no known reason, and the user has not accepted that."""
        worse = [found for found in self.findings if found.kind in (REGRESSION, DIVERGENCE)]
        return any(self.accepted.match(found.kind, found.signature) is None for found in worse)


class NewFindings:
    """The findings of a session, each returned once, with the number of the first program that showed it.

    :param summary: of the session
    """

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        self.told: set[tuple[str, str]] = set()

    def take(self) -> list[FindingRecord]:
        """Return the findings not returned before, in order of arrival."""
        there = {each.finding.key for each in self.summary.findings} - self.told
        self.told |= there
        return [each for key, each in self.summary.first.items() if key in there]


class Keeper(Closing):
    """Keeper of the findings of a session: each is kept on arrival, once it replays.

    The first program of a finding is replayed at once. Smaller programs wait for the end of the session (`finish`):
    most of them are superseded by even smaller ones, and replays take cores from the processes that judge.

    :param summary: of the session; kept up to date
    :param out: an existing directory for the programs of this candidate; None: keep no files
    :param replayer: replays them; by default one of its own, which `close` ends
    """

    def __init__(self, summary: Summary, out: Path | None = None, replayer: Replayer | None = None) -> None:
        self.summary = summary
        self.store = Store(out, summary.reference, summary.candidate, replayer)
        self.records: dict[str, FindingRecord] = {}
        # For each kept finding, its programs not yet replayed.
        self.waiting: dict[Key, list[FindingRecord]] = {}
        # Number of `Result.messages` already processed.
        self.taken = 0

    def close(self) -> None:
        """End the process that replays programs."""
        self.store.close()

    def watch(self, result: Result) -> None:
        """Process a unit's result so far.

        Records are processed in order, so that the result does not depend on when this is called.
        """
        for record in result.messages[self.taken :]:
            self.take(record, slow_replays=not result.interrupted)
            # Incremented only now: a record interrupted by Ctrl-C is processed again.
            self.taken += 1
        summary, state = self.summary, result.state
        summary.programs, summary.operations, summary.seconds = state.programs, state.operations, state.seconds
        summary.costs, summary.refused = state.costs, state.refused
        summary.blocks, summary.repeated, summary.same = state.blocks, state.repeated, state.same
        summary.interrupted = result.interrupted
        self.update()

    def finish(self, result: Result, beside: int = 1) -> None:
        """Process a unit's final result, and the programs that wait.

        The smallest programs come first; larger ones that would not be kept are not replayed. The kept programs are the
        same as if each had been replayed on arrival. After Ctrl-C, one program of each finding is replayed. Another
        Ctrl-C ends that too: findings not shown by a fresh process until then are kept apart.

        :param beside: number of concurrent replays
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

    def take(self, record: FindingRecord, slow_replays: bool = True) -> None:
        """Record a finding with a smaller program than before.

        :param slow_replays: also start a replay that is known to take long
        """
        self.note(record)
        kept = self.kept_as(record)
        key = record.finding.key
        if key in self.store.kept and not is_silent(record.signature):
            self.waiting.setdefault(key, []).append(kept)
        elif is_silent(record.signature) and (not slow_replays or (key in self.store.kept and hurried())):
            self.store.hold(kept)
        else:
            self.store.offer(kept)

    def note(self, record: FindingRecord) -> None:
        """Record a finding for the summary."""
        self.summary.first.setdefault(record.finding.key, record)
        self.records[record.finding.title] = record

    def kept_as(self, record: FindingRecord) -> FindingRecord:
        """Return the store's own copy of a record, with the seed and count that its folder uses."""
        return replace(record, seed=self.summary.seed, count=1)

    def minimize(self, seconds: float | None = None) -> None:
        """Minimise the programs of regressions and divergences that the user has not accepted.

        The original programs are already kept, so nothing is lost if this is interrupted. Ctrl-C ends it.

        :param seconds: time limit; None: only the number of runs is bounded
        """
        start, summary = time.monotonic(), self.summary
        for found in list(summary.findings):
            left = None if seconds is None else seconds - (time.monotonic() - start)
            answers = found.kind in (REGRESSION, DIVERGENCE) and not summary.accepted.match(found.kind, found.signature)
            if not answers or not found.number:
                # A program that came from a file was minimised before.
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
        """Update the findings of the summary."""
        found, unreplayed = self.store.findings(), self.store.unreplayed()
        for each in (*found, *unreplayed):
            each.count = self.records[each.finding.title].count
        summary = self.summary
        summary.findings = [each for each in found if each.kind != CRASH]
        summary.crashes = [each for each in found if each.kind == CRASH]
        summary.unreplayed = unreplayed
        summary.trouble = self.store.files.trouble
