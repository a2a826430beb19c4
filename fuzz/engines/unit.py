# SPDX-License-Identifier: GPL-2.0-only
"""A unit of fuzzing work, its progress messages, and its result."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from candidate.tree.lines.counts import CodeCounts, from_wire

from ..findings.record import FindingRecord
from ..judging.cost import Costs, Total
from ..judging.finding import Finding


@dataclass(frozen=True, slots=True)
class Unit:
    """The work of an engine; the same unit, bounded by programs, does the same everywhere.

    :param engine: name of an engine of `fuzz.engines.registry`
    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    :param seed: from 0
    :param programs: maximum number of programs to judge; None: no such bound
    :param seconds: maximum time to judge, by the clock; None: no such bound
    :param first: number of the first program, from 1; the random engine skips the seed's programs before it
    :param corpus: texts of programs to start from
    :param features: observe features, and send programs that show fresh ones
    :param seen: features that are not fresh
    :param until: ``kind signature``, or its beginning, of a finding that ends the unit when it is seen; "" for none
    :param again: text of a program to judge before all others; "" for none
    :param contents: `candidate.Candidate.content` of reference and candidate; a kernel tree with other content is not
      judged. Empty: judge whatever content there is
    :param cpu: maximum CPU time of the engine's process, in seconds; None: no such bound
    """

    engine: str
    reference: str
    candidate: str
    seed: int
    programs: int | None = None
    seconds: float | None = None
    first: int = 1
    corpus: tuple[str, ...] = ()
    features: bool = False
    seen: tuple[int, ...] = ()
    until: str = ""
    again: str = ""
    contents: tuple[str, ...] = ()
    cpu: float | None = None

    def ends_with(self, title: str) -> bool:
        """Tell whether a finding of this title ends the unit."""
        return bool(self.until) and title.startswith(self.until)

    def mistake_text(self, mistake: object, number: int) -> str:
        """Return a mistake in the candidate's Python with the program that hit it."""
        return f"{mistake} (program {number} of seed {self.seed})"

    def to_json(self) -> str:
        """Return the unit as one line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Unit":
        """Return the unit that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        lists = {name: tuple(fields[name]) for name in ("corpus", "seen", "contents")}
        return Unit(**{**fields, **lists})


@dataclass(slots=True)
class Fresh:
    """A program with features that are neither in `Unit.seen` nor shown by an earlier program of the unit.

    :param features: all of its features, sorted
    """

    text: str
    features: tuple[int, ...]


@dataclass(slots=True)
class UnitState:
    """The state of a unit.

    :param programs: number judged so far, with *operations* operations, in *seconds* seconds
    :param counts: ``kind signature`` -> programs that showed it
    :param costs: of both sides, of every `fuzz.engines.unit_run.MEASURED`-th program
    :param features: number of distinct features seen, including `Unit.seen`
    :param ended: nothing more will come
    :param refused: what is not modelled -> programs that needed it; they have no verdict but count in *programs*
    :param blocks: programs with a par block that have a verdict
    :param repeated: number of these that were run again on each side and behaved the same
    :param same: programs in which two trees did the same, event for event (`fuzz.judging.verdict.Verdict.same`)
    :param cpu: seconds of CPU time of the engine's process in that time
    :param number: of the last program judged; programs still to come have larger ones
    """

    programs: int = 0
    operations: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    costs: Total = field(default_factory=Total)
    features: int = 0
    ended: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    repeated: int = 0
    cpu: float = 0.0
    number: int = 0
    same: int = 0

    def beside(self, other: "UnitState") -> "UnitState":
        """Return the combined state of two processes that ran in parallel."""
        both = self.after(other)
        both.seconds = max(self.seconds, other.seconds)
        both.ended = self.ended and other.ended
        return both

    def after(self, earlier: "UnitState") -> "UnitState":
        """Return the combined state of two processes that ran one after the other."""
        costs = Total(self.costs.programs + earlier.costs.programs)
        for each in (earlier.costs, self.costs):
            costs.reference.add(each.reference)
            costs.candidate.add(each.candidate)
        return UnitState(
            self.programs + earlier.programs,
            self.operations + earlier.operations,
            self.seconds + earlier.seconds,
            dict(Counter(earlier.counts) + Counter(self.counts)),
            costs,
            max(self.features, earlier.features),
            self.ended,
            dict(Counter(earlier.refused) + Counter(self.refused)),
            self.blocks + earlier.blocks,
            self.repeated + earlier.repeated,
            self.cpu + earlier.cpu,
            max(self.number, earlier.number),
            self.same + earlier.same,
        )


@dataclass(slots=True)
class Mistake:
    """A mistake in the candidate's Python, in the words of `fuzz.execution.mistakes.CandidateMistakeError`; it ends the
    unit.

    Also sent for a kernel tree that cannot be built, or that no longer has the unit's content.

    :param number: of the program that hit the mistake
    """

    text: str
    number: int = 0


@dataclass(slots=True)
class Ran:
    """Counts of how often the code of kernel trees has run in this process so far.

    :param counts: of the judged programs, in the form of `candidate.tree.lines.counts.CodeCounts.to_wire`
    :param unjudged: of the programs without a verdict, likewise
    """

    counts: dict[str, str] = field(default_factory=dict)
    unjudged: dict[str, str] = field(default_factory=dict)


Message = FindingRecord | Fresh | UnitState | Mistake | Ran


def to_line(message: Message) -> bytes:
    """Return a message as one line of JSON."""
    return json.dumps([type(message).__name__, asdict(message)]).encode()


def from_line(line: bytes) -> Message:
    """Return the message that `to_line` wrote.

    :raises ValueError: the line is not a message
    """
    match json.loads(line):
        case ["FindingRecord", dict(values)]:
            return FindingRecord(Finding(**values.pop("finding")), **values)
        case ["Mistake", dict(values)]:
            return Mistake(**values)
        case ["Ran", dict(values)]:
            return Ran(**values)
        case ["Fresh", dict(values)]:
            return Fresh(values["text"], tuple(values["features"]))
        case ["UnitState", dict(values)]:
            costs = values.pop("costs")
            total = Total(costs["programs"], Costs(**costs["reference"]), Costs(**costs["candidate"]))
            return UnitState(costs=total, **values)
    raise ValueError(f"no message: {line[:80]!r}")


@dataclass(slots=True)
class Result:
    """The result of a unit.

    :param state: the latest state, summed over all child processes
    :param found: by `fuzz.judging.finding.Finding.title`, each with the smallest program
    :param messages: each record that was ever in *found*, in order of arrival
    :param fresh: in the order of their discovery
    :param interrupted: Ctrl-C ended it
    :param accidents: one line for each death of a child process that did not recur with the same program
    :param mistake: of the candidate's Python, which ended the unit; "" for none
    :param mistaken: number of the program that hit it
    """

    unit: Unit
    state: UnitState = field(default_factory=UnitState)
    found: dict[str, FindingRecord] = field(default_factory=dict)
    messages: list[FindingRecord] = field(default_factory=list)
    fresh: list[Fresh] = field(default_factory=list)
    interrupted: bool = False
    accidents: list[str] = field(default_factory=list)
    mistake: str = ""
    mistaken: int = 0
    _earlier: UnitState = field(default_factory=UnitState)
    _ran: Ran = field(default_factory=Ran)
    _ran_earlier: CodeCounts = field(default_factory=CodeCounts)
    _unjudged_earlier: CodeCounts = field(default_factory=CodeCounts)

    def next_child(self) -> None:
        """Note that later messages come from another process."""
        self._earlier = self.state
        self._ran_earlier, self._unjudged_earlier = self.counts(), self.unjudged()
        self._ran = Ran()

    def counts(self) -> CodeCounts:
        """Return how often judged programs ran the code of kernel trees, in all child processes together."""
        return _sum(self._ran_earlier, from_wire(self._ran.counts))

    def unjudged(self) -> CodeCounts:
        """Return how often programs without a verdict ran it."""
        return _sum(self._unjudged_earlier, from_wire(self._ran.unjudged))

    def end_child(self, seconds: float, cpu: float) -> None:
        """Note that a process died without its last state; *seconds* and *cpu* count from its own beginning."""
        self.state.seconds = max(self.state.seconds, self._earlier.seconds + seconds)
        self.state.cpu = max(self.state.cpu, self._earlier.cpu + cpu)

    def record_lost(self, record: FindingRecord, operations: int) -> None:
        """Record and count the finding for which a process was killed, so that the process cannot send it.

        :param operations: number of operations of the program
        """
        self.state.counts[record.finding.title] = self.state.counts.get(record.finding.title, 0) + 1
        self.state.programs += 1
        self.state.number = record.number
        self.state.operations += operations
        self.record(record)

    def record(self, message: Message) -> None:
        """Record a message."""
        match message:
            case FindingRecord():
                known = self.found.get(message.finding.title)
                if known is None or message.size() < known.size():
                    self.found[message.finding.title] = message
                    self.messages.append(message)
            case Fresh():
                self.fresh.append(message)
            case UnitState():
                self.state = message.after(self._earlier)
            case Ran():
                self._ran = message
            case Mistake():
                self.mistake, self.mistaken = message.text, message.number
        self.count()

    def count(self) -> None:
        """Update the counts of findings."""
        for key, count in self.state.counts.items():
            if key in self.found:
                self.found[key].count = count

    def sum_counts(self, others: Sequence["Result"]) -> None:
        """Sum up the counts of kernel trees' code from the results of all parts of the work."""
        self._ran_earlier = _sum(*(each.counts() for each in others))
        self._unjudged_earlier = _sum(*(each.unjudged() for each in others))


def _sum(*counts: CodeCounts) -> CodeCounts:
    total = CodeCounts()
    for each in counts:
        total.merge(each)
    return total
