# SPDX-License-Identifier: GPL-2.0-only
"""A piece of fuzzing work, what is told while it is done, and what came of it."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from ..judging.cost import Costs, Total


@dataclass(frozen=True, slots=True)
class Unit:
    """What an engine is to do; the same unit, bounded by programs, does the same everywhere.

    :param engine: name of one, as `fuzz.engines.drivers` knows them
    :param reference: name of the version that counts as the original
    :param candidate: name of the version under test
    :param seed: from 0
    :param programs: judge so many at most; None: no such bound
    :param seconds: judge for so long at most; None: no such bound
    :param first: number of the first program, from 1; the random engine skips those of the seed before it
    :param corpus: texts of programs to start from
    :param features: observe features, and tell of programs that show fresh ones
    :param seen: features that are not fresh
    :param until: ``kind signature`` of a finding that ends the unit when it is seen; "" for none
    :param again: text of a program to judge before all others; "" for none
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

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Unit":
        """Exact inverse of `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        return Unit(**{**fields, "corpus": tuple(fields["corpus"]), "seen": tuple(fields["seen"])})


@dataclass(slots=True)
class FoundRecord:
    """A finding, with the smallest program of the unit so far that shows it.

    :param kind: regression, divergence, common, cured, or crash
    :param at: index of the operation, as in `fuzz.judging.differential.Finding`
    :param number: of the program, from 1
    :param text: the program
    :param count: programs that showed it; known from `State` only
    """

    kind: str
    signature: str
    reason: str
    at: int
    number: int
    text: str
    count: int = 1

    @property
    def key(self) -> str:
        """What tells it from others: ``kind signature``."""
        return f"{self.kind} {self.signature}"

    def size(self) -> tuple[int, int]:
        """What the smallest program is smallest by: its lines, then its length."""
        return self.text.count("\n"), len(self.text)


@dataclass(slots=True)
class Fresh:
    """A program that showed features that no earlier program of the unit did, nor its `Unit.seen`.

    :param features: all of its features, sorted
    """

    text: str
    features: tuple[int, ...]


@dataclass(slots=True)
class State:
    """How far a unit is.

    :param programs: judged so far, with so many operations, in so many seconds
    :param counts: ``kind signature`` -> programs that showed it
    :param costs: of both sides, of every `fuzz.engines.session.MEASURED`-th program
    :param features: distinct ones seen, `Unit.seen` included
    :param ended: nothing more will come
    :param refused: what programs needed and nobody models -> programs, counted in *programs* too, without a verdict
    """

    programs: int = 0
    operations: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    costs: Total = field(default_factory=Total)
    features: int = 0
    ended: bool = False
    refused: dict[str, int] = field(default_factory=dict)

    def after(self, earlier: "State") -> "State":
        """What two processes did, one after the other."""
        costs = Total(self.costs.programs + earlier.costs.programs)
        for each in (earlier.costs, self.costs):
            costs.reference.add(each.reference)
            costs.candidate.add(each.candidate)
        return State(
            self.programs + earlier.programs,
            self.operations + earlier.operations,
            self.seconds + earlier.seconds,
            dict(Counter(earlier.counts) + Counter(self.counts)),
            costs,
            max(self.features, earlier.features),
            self.ended,
            dict(Counter(earlier.refused) + Counter(self.refused)),
        )


@dataclass(slots=True)
class Mistake:
    """The candidate's Python has a mistake, as `fuzz.execution.mistakes.CandidateMistake` says it; the unit ends."""

    text: str


Message = FoundRecord | Fresh | State | Mistake


def to_line(message: Message) -> bytes:
    """A message as one line of JSON."""
    return json.dumps([type(message).__name__, asdict(message)]).encode() + b"\n"


def from_line(line: bytes) -> Message:
    """Exact inverse of `to_line`.

    :raises ValueError: no such line
    """
    match json.loads(line):
        case ["FoundRecord", dict(values)]:
            return FoundRecord(**values)
        case ["Mistake", dict(values)]:
            return Mistake(**values)
        case ["Fresh", dict(values)]:
            return Fresh(values["text"], tuple(values["features"]))
        case ["State", dict(values)]:
            costs = values.pop("costs")
            total = Total(costs["programs"], Costs(**costs["reference"]), Costs(**costs["candidate"]))
            return State(costs=total, **values)
    raise ValueError(f"no message: {line[:80]!r}")


@dataclass(slots=True)
class Result:
    """What came of a unit.

    :param state: as it was told last, all child processes together
    :param found: by `FoundRecord.key`, each with the smallest program
    :param messages: each record that was in *found* at some time, in the order in which they were told
    :param fresh: in the order of their discovery
    :param interrupted: Ctrl-C ended it
    :param accidents: one line for each death of a child process that did not come again with the same program
    :param mistake: of the candidate's Python, which ended the unit; "" for none
    """

    unit: Unit
    state: State = field(default_factory=State)
    found: dict[str, FoundRecord] = field(default_factory=dict)
    messages: list[FoundRecord] = field(default_factory=list)
    fresh: list[Fresh] = field(default_factory=list)
    interrupted: bool = False
    accidents: list[str] = field(default_factory=list)
    mistake: str = ""
    _earlier: State = field(default_factory=State)

    def next_child(self) -> None:
        """What is told from now on comes from another process."""
        self._earlier = self.state

    def end_child(self, seconds: float) -> None:
        """A process ended without a word, so many seconds after its session began."""
        self.state.seconds = max(self.state.seconds, self._earlier.seconds + seconds)

    def take_lost(self, record: FoundRecord, operations: int) -> None:
        """Note and count what a process was ended for, which can tell it no more.

        :param operations: of the program
        """
        self.state.counts[record.key] = self.state.counts.get(record.key, 0) + 1
        self.state.programs += 1
        self.state.operations += operations
        self.take(record)

    def take(self, message: Message) -> None:
        """Note what was told."""
        match message:
            case FoundRecord():
                known = self.found.get(message.key)
                if known is None or message.size() < known.size():
                    self.found[message.key] = message
                    self.messages.append(message)
            case Fresh():
                self.fresh.append(message)
            case State():
                self.state = message.after(self._earlier)
            case Mistake():
                self.mistake = message.text
        for key, count in self.state.counts.items():
            if key in self.found:
                self.found[key].count = count
