# SPDX-License-Identifier: GPL-2.0-only
"""A unit while it is being done: judges the programs that the engine chooses and sends messages about what is new."""

import time
import traceback
from collections.abc import Callable
from typing import Final, Protocol

import candidate
from candidate import Candidate
from candidate.tree import TreeError
from candidate.tree.runtime.pool import POOL

from ..distribution import debugging
from ..execution.mistakes import CandidateMistakeError
from ..findings.found import crash_finding
from ..findings.record import FindingRecord
from ..generation.capabilities import Offers
from ..judging.collection import Reclaimer
from ..judging.differential import Differential, Finding, Verdict
from ..judging.finding import Key
from ..judging.hurry import hurried
from ..language.program import Program, has_blocks
from ..language.text import parse, print_program
from .exchanging import exchanging
from .numbers import Numbers
from .repeated import repeat
from .unit import Fresh, Message, Mistake, Ran, Unit, UnitState

# Measuring costs takes a twentieth of a program's time, so only one program in this many is measured.
MEASURED: Final = 16
# One program in this many is run again on each side, if it has a par block: its events must be the same.
REPEATED: Final = 20
# Seconds between two messages with the state.
STATE_EVERY: Final = 0.2
# Seconds between two messages on which code of kernel trees ran.
RAN_EVERY: Final = 2.0
# The placeholder for a program that could not be made.
NOTHING: Final = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\n")


def offers_of(*versions: Candidate) -> Offers:
    """Return what all given versions have, and what makes one of them slow, for the generator."""
    mains = [version.main for version in versions]
    return Offers(
        all(main.SPLITS_EAGERLY for main in mains),
        all(main.HAS_DIRTY_RINGS for main in mains),
        all(version.pgtable.WALKS_UNDER_RCU for version in versions),
        all(main.HAS_GUEST_MEMFD for main in mains),
        par=True,
        lpa2=all(main.HAS_LPA2 for main in mains),
        mte=all(main.HAS_MTE for main in mains),
        tagged_hugetlb=all(main.TAGS_HUGETLB for main in mains),
        nested=all(main.HAS_NESTED for main in mains),
        types=any(version.is_tree for version in versions),
        overtaken=frozenset[type]().union(*map(exchanging, versions)),
        bbm=all(main.HAS_BBM for main in mains) and any(version.pgtable.ASKS_FOR_BBM for version in versions),
        prefault=any(main.PRE_FAULTS for main in mains),
        narrow=any(main.FREES_BY_RANGE for main in mains),
    )


class Flight(Protocol):
    """Storage for the program being judged, in case it kills this process."""

    def begin(self) -> None:
        """Mark the beginning of the unit."""

    def depart(self, number: int, program: Program) -> None:
        """Store the program before it is judged."""

    def arrive(self) -> None:
        """Mark that the program was judged."""


class UnitRun:
    """A unit while it is being done.

    :param unit: its work
    :param tell: called with each message
    :param flight: holds the program in flight; None: not needed
    :param numbers: the numbers of its programs; by default those of the unit in order
    :raises candidate.UnknownCandidateError: one of the names is no version
    :raises fuzz.language.program.ProgramError: an entry of the unit's corpus is not a program
    :raises candidate.tree.TreeError: a kernel tree cannot be built, or no longer has the unit's content
    """

    def __init__(
        self,
        unit: Unit,
        tell: Callable[[Message], None],
        flight: Flight | None = None,
        numbers: Numbers | None = None,
    ) -> None:
        self.unit = unit
        self.tell = tell
        self.flight = flight
        versions = candidate.get(unit.reference), candidate.get(unit.candidate)
        if changed := candidate.other_than(versions, unit.contents):
            raise TreeError(f"{changed} has changed since the session began; run it again")
        self.differential = Differential(*versions)
        self.differential.features = unit.features
        self.offers = offers_of(self.differential.reference, self.differential.candidate)
        self.corpus = [parse(text) for text in unit.corpus]
        self.numbers = numbers or Numbers(unit.first)
        # The number of the last program of the unit, and of the last one judged.
        self.last = None if unit.programs is None else unit.first + unit.programs - bool(unit.again) - 1
        self.number = unit.first - 1
        self.state = UnitState()
        self.sizes: dict[str, tuple[bool, int, int]] = {}
        self.features = set(unit.seen)
        self.reached = False
        self.start = time.monotonic()
        self.spent = time.process_time()
        self.noted = self.start
        self.told_ran = self.start
        self.reclaimer = Reclaimer()
        self.trees = self.differential.reference.is_tree or self.differential.candidate.is_tree

    def begin(self) -> None:
        """Start the clock before the engine drives; judge again the program that killed an earlier process."""
        self.start = time.monotonic()
        self.spent = time.process_time()
        if self.flight is not None:
            self.flight.begin()
        if self.unit.again:
            self.judge(parse(self.unit.again), self.number)

    def ready(self) -> None:
        """Mark the engine as set up: its CPU time counts from here, unless programs were judged before."""
        if not self.state.programs:
            self.spent = time.process_time()

    def over(self) -> bool:
        """Release the memory of the last program, and tell whether the unit is over.

        It is over if the budget is spent, the wanted finding is found, or nothing can be judged. Engines call this
        between two programs.
        """
        self.reclaimer.look()
        unit, state = self.unit, self.state
        return (
            self.reached
            or (unit.programs is not None and state.programs >= unit.programs)
            or (unit.seconds is not None and time.monotonic() - self.start >= unit.seconds)
            or (unit.cpu is not None and time.process_time() - self.spent >= unit.cpu)
        )

    def judge_all(self, make: Callable[[int], Program]) -> None:
        """Judge programs until the unit is over.

        :param make: makes the program of a number, independently of earlier programs; an exception becomes a finding
        """
        while not self.over():
            number = self.numbers.next()
            if self.last is not None and number > self.last:
                break
            try:
                program = make(number)
            except Exception as error:
                self.count_unmade(error, number)
            else:
                self.judge(program, number)

    def judge(self, program: Program, number: int | None = None) -> Verdict | None:
        """Judge a valid program, count it, and send messages on what is new.

        A mistake in the candidate's Python becomes a message and ends the unit.

        :param number: by default the next one
        :returns: the verdict; None if our own code failed, which becomes a finding, or if the candidate's Python failed
        """
        self.number = self.numbers.next() if number is None else number
        if self.flight is not None:
            self.flight.depart(self.number, program)
        verdict = None
        try:
            self.differential.measure = self.number % MEASURED == 1
            verdict = self.differential.run(program)
            self.repeat(program, verdict)
        except CandidateMistakeError as error:
            self.tell(Mistake(self.unit.mistake_text(error, self.number), self.number))
            self.reached = True
            return None
        except Exception as error:
            self.failed(error, program)
        else:
            self.record_verdict(verdict, program)
        if self.flight is not None:
            self.flight.arrive()
        self.count(len(program.operations))
        return verdict

    def count(self, operations: int) -> None:
        """Count a program whose findings have been sent.

        :param operations: number of its operations
        """
        self.state.programs += 1
        self.state.number = self.number
        self.state.operations += operations
        self.progress()

    def repeat(self, program: Program, verdict: Verdict) -> None:
        """Run a program again if it has a par block and is selected by `REPEATED`, while the session has time.

        :raises fuzz.engines.repeated.NotRepeatableError: its events differ
        """
        if verdict.refused or not has_blocks(program) or hurried():
            return
        self.state.blocks += 1
        if self.number % REPEATED == 1:
            versions = self.differential.reference, self.differential.candidate
            self.state.repeated += all(repeat(version, program) for version in versions)

    def failed(self, error: Exception, program: Program) -> None:
        """Record an exception of our own code.

        :param program: the one being judged, or as much of it as exists
        """
        if debugging():
            traceback.print_exception(error)
        self.note(crash_finding(error), program)

    def count_unmade(self, error: Exception, number: int | None = None) -> None:
        """Count a program that could not be made, and record the exception.

        :param number: by default the next one
        """
        self.number = self.numbers.next() if number is None else number
        self.failed(error, NOTHING)
        self.count(0)

    def record_verdict(self, verdict: Verdict, program: Program) -> None:
        """Record the findings of a verdict, each signature once per program."""
        if verdict.refused:
            self.state.refused[verdict.refused] = self.state.refused.get(verdict.refused, 0) + 1
            return
        shown: dict[Key, Finding] = {}
        for finding in verdict.findings:
            before = shown.setdefault(finding.key, finding)
            # A finding that no known bug explains takes precedence, as in `FindingRecord.size`.
            if before.known and not finding.known:
                shown[finding.key] = finding
        for finding in shown.values():
            self.note(finding, program)
        self.state.same += verdict.same
        self.state.costs.add(verdict.costs)
        if self.unit.features and not self.features.issuperset(verdict.features):
            self.features.update(verdict.features)
            self.tell(Fresh(print_program(program), verdict.features))

    def note(self, finding: Finding, program: Program) -> None:
        """Count a finding; send it if its program is the smallest so far."""
        key = finding.title
        self.state.counts[key] = self.state.counts.get(key, 0) + 1
        before = self.sizes.get(key)
        explained = bool(finding.known)
        if before is None or (explained, len(program.operations)) <= before[:2]:
            text = print_program(program)
            size = explained, len(program.operations), len(text)
            if before is None or size < before:
                self.sizes[key] = size
                self.tell(FindingRecord(finding, text, self.number, self.unit.seed))
                # Send the counts with each finding: this process may end before the next state.
                self.tell_ran()
        if self.unit.ends_with(key):
            self.reached = True

    def progress(self) -> None:
        """Send the state of the unit, at most every `STATE_EVERY` seconds."""
        now = time.monotonic()
        if now - self.noted >= STATE_EVERY:
            self.noted = now
            self.tell(self.status(now))
            if now - self.told_ran >= RAN_EVERY:
                self.told_ran = now
                self.tell_ran()

    def tell_ran(self) -> None:
        """Send how often the code of kernel trees ran, if a side is a kernel tree."""
        if self.trees:
            self.tell(Ran(POOL.counts().to_wire(), POOL.unjudged().to_wire()))

    def status(self, now: float) -> UnitState:
        """Return the state of the unit."""
        self.state.seconds = now - self.start
        self.state.cpu = time.process_time() - self.spent
        self.state.features = len(self.features)
        return self.state

    def finish(self) -> None:
        """Send the last state."""
        self.tell_ran()
        self.state.ended = True
        self.tell(self.status(time.monotonic()))
