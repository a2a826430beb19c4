# SPDX-License-Identifier: GPL-2.0-only
"""The way to a finding: kernel calls, the events before it, and what one of the two sides alone did."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from candidate import Candidate

from ..execution.executor import Executor
from ..judging.finding import CURED, DIVERGENCE, Finding
from ..language.program import Program
from ..sides.pulse import CANDIDATE
from .calls import KernelCall, calls_at, watcher
from .trace import TURN, Line, Trace

# Events before the finding that are told, and events of one side alone.
BEFORE: Final = 6
ALONE: Final = 4
# Events that only say where the walk is.
_QUIET: Final = ("walk into ", "!! ", TURN)
_LOADED: Final = ": loaded, "
_RESULT: Final = "result: "


@dataclass(slots=True)
class Way:
    """The way to a finding.

    :param calls: kernel functions that were running, outermost first
    :param exact: they were running when the rule was broken; else at the event that a later look concerns
    :param events: the last ones before it, on the side that shows it
    :param reference: events of its operation that the reference alone had, the first ones; *candidate* likewise
    :param more: so many more events of the reference alone, and of the candidate alone
    :param unknown: why nothing of this is known; ""
    """

    calls: tuple[KernelCall, ...] = ()
    exact: bool = False
    events: list[str] = field(default_factory=list)
    reference: list[str] = field(default_factory=list)
    candidate: list[str] = field(default_factory=list)
    more: tuple[int, int] = (0, 0)
    unknown: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Return the way as built-in types."""
        return asdict(self)

    @staticmethod
    def from_wire(wire: dict[str, Any]) -> "Way":
        """Exact inverse of `to_wire`, also where JSON was between."""
        calls = tuple(KernelCall(*each) for each in wire["calls"])
        return Way(**{**wire, "calls": calls, "more": tuple(wire["more"])})


class WayTrace(Trace):
    """A trace that also keeps the calls under way at each event, while *watching*.

    *ways*: of each line that is kept the calls

    :param calls: says which are under way
    """

    def __init__(self, executor: Executor, calls: Callable[[], tuple[KernelCall, ...]]) -> None:
        super().__init__(executor)
        self.calls = calls
        self.watching = False
        self.ways: list[tuple[KernelCall, ...]] = []

    def keep(self, line: Line) -> None:
        super().keep(line)
        self.ways.append(self.calls() if self.watching else ())


@dataclass(slots=True)
class Column:
    """The events of one side in one operation, with the calls of each."""

    lines: list[Line]
    ways: list[tuple[KernelCall, ...]]


def way_of(program: Program, reference: Candidate, candidate: Candidate, finding: Finding) -> Way:
    """Run a program on both versions, and return the way to a finding of it.

    :param program: a valid one; kernel code comes back on it
    :param finding: as the program shows it
    """
    left, right = columns(program, reference, candidate, finding.at)
    shown = left if finding.kind == CURED else right
    number = position(shown, finding.signature)
    if number < 0 and finding.kind != DIVERGENCE:
        # A finding of both sides may have the name that the other one gave it.
        other = right if shown is left else left
        if (there := position(other, finding.signature)) >= 0:
            shown, number = other, there
    ours, theirs = only(left.lines, right.lines), only(right.lines, left.lines)
    way = Way(more=(max(0, len(ours) - ALONE), max(0, len(theirs) - ALONE)))
    way.reference, way.candidate = ([line.text for line in alone[:ALONE]] for alone in (ours, theirs))
    way.calls = shown.ways[number] if number >= 0 else ()
    way.exact = bool(way.calls)
    function = function_of(finding.signature)
    if told_calls := calls_at(finding.reason):
        # Of a tree, the checker says where it was.
        way.calls, way.exact = told_calls, way.calls == told_calls
    elif not any(call.function == function for call in way.calls):
        # Another function was running when it was seen, or none.
        earlier = concerned(shown, number, finding, function, theirs)
        if earlier >= 0:
            way.calls, way.exact, number = shown.ways[earlier], False, earlier + 1
    told = [line.text for line in shown.lines[: max(number, 0)] if is_told(line.text)]
    way.events = told[-BEFORE:]
    return way


def columns(program: Program, reference: Candidate, candidate: Candidate, at: int) -> tuple[Column, Column]:
    """The events of both sides in one operation.

    :param at: index of it, as in `fuzz.judging.finding.Finding`
    """
    sides = [Executor(reference, program), Executor(candidate, program, CANDIDATE)]
    versions = reference, candidate
    traces = [
        WayTrace(side, watcher(version, reference, side.side.kernel))
        for side, version in zip(sides, versions, strict=True)
    ]
    last = len(program.operations)
    found = [Column([], []), Column([], [])]
    for now in range(-1, at + 1):
        for side, trace, column in zip(sides, traces, found, strict=True):
            trace.watching = now == at
            trace.ways = []
            outcome = None
            if now < 0:
                violations = side.create()
            elif side.dead:
                continue
            elif now < last:
                outcome, violations = side.step(now)
            else:
                violations = side.destroy()
            column.lines, column.ways = trace.take(violations, outcome), trace.ways
    for side in sides:
        side.checkers.dismantle()
        side.side.dismantle()
    return found[0], found[1]


def position(column: Column, signature: str) -> int:
    """Return the number of the line of a violation; -1: there is none."""
    return next((number for number, line in enumerate(column.lines) if line.violation == signature), -1)


def only(lines: list[Line], others: list[Line]) -> list[Line]:
    """The events of one side that the other one did not have, or less often, wherever they stand."""
    left = Counter(line.key for line in others)
    found: list[Line] = []
    for line in lines:
        if left[line.key] > 0:
            left[line.key] -= 1
        elif is_told(line.text) and not line.text.startswith(_RESULT):
            found.append(line)
    return found


def function_of(signature: str) -> str:
    """The kernel function that a signature names; "": it names none."""
    parts = signature.split(": ")
    return parts[1] if len(parts) > 2 else ""


def concerned(column: Column, number: int, finding: Finding, function: str, alone: Sequence[Line]) -> int:
    """The event that a finding concerns which was seen only later; -1: it is not known.

    :param number: of the line of the violation, before which the event must be; -1: it has none
    :param function: that the finding names: the event is the last one in it
    :param alone: the events of this side alone: a divergence begins at the first of them
    """
    if finding.kind == DIVERGENCE:
        return column.lines.index(alone[0]) if alone else -1
    end = number if number >= 0 else len(column.lines)
    for at in range(end - 1, -1, -1):
        if any(call.function == function for call in column.ways[at]):
            return at
    return -1


def is_told(text: str) -> bool:
    """Tell whether an event says more than where the walk is."""
    return not text.startswith(_QUIET) and _LOADED not in text
