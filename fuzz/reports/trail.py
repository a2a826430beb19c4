# SPDX-License-Identifier: GPL-2.0-only
"""The trail to a finding: kernel calls, the events before it, and what only one of the two sides did."""

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
from .trace import TURN, Trace
from .trace_lines import Line

# Number of events shown before the finding, and of events of one side only.
BEFORE: Final = 6
ALONE: Final = 4
# Events that only show the position of the walk.
_QUIET: Final = ("walk into ", "!! ", TURN)
_LOADED: Final = ": loaded, "
_RESULT: Final = "result: "


@dataclass(slots=True)
class Trail:
    """The trail to a finding.

    :param calls: kernel functions that were running, outermost first
    :param exact: they were running when the rule was broken; otherwise at the place or event that the check concerns
    :param events: the last ones before the finding, on the side that shows it
    :param apart: index of the operation that the next three describe: the finding's own; if the two sides behaved the
      same there, the first one in which they did not
    :param reference: the first events that only the reference had there; *candidate* likewise
    :param more: number of further events of only the reference, and of only the candidate
    :param own: code of the candidate that ran last before it, in an operation in which the two sides differ; None: none
    :param unknown: why nothing of this is known; "" if it is
    """

    calls: tuple[KernelCall, ...] = ()
    exact: bool = False
    events: list[str] = field(default_factory=list)
    apart: int = -1
    reference: list[str] = field(default_factory=list)
    candidate: list[str] = field(default_factory=list)
    more: tuple[int, int] = (0, 0)
    own: KernelCall | None = None
    unknown: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Return the trail as built-in types."""
        return asdict(self)

    @staticmethod
    def from_wire(wire: dict[str, Any]) -> "Trail":
        """Return the trail that `to_wire` wrote, also after a round trip through JSON."""
        calls = tuple(KernelCall(*each) for each in wire["calls"])
        own = KernelCall(*wire["own"]) if wire["own"] else None
        return Trail(**{**wire, "calls": calls, "more": tuple(wire["more"]), "own": own})


class CallTrace(Trace):
    """A trace that also records the calls in progress at each event.

    *stacks*: the call stack at each recorded line

    :param calls: returns the calls in progress
    """

    def __init__(self, executor: Executor, calls: Callable[[], tuple[KernelCall, ...]]) -> None:
        super().__init__(executor)
        self.calls = calls
        self.stacks: list[tuple[KernelCall, ...]] = []

    def keep(self, line: Line) -> None:
        super().keep(line)
        self.stacks.append(self.calls())


@dataclass(slots=True)
class Column:
    """The events of one side in one operation, with the calls of each."""

    lines: list[Line]
    stacks: list[tuple[KernelCall, ...]]


def trail_of(program: Program, reference: Candidate, candidate: Candidate, finding: Finding) -> Trail:
    """Run a program on both versions, and return the trail to one of its findings.

    :param program: a valid one, on which kernel code returns
    :param finding: as the program shows it
    """
    operations = columns(program, reference, candidate, finding.at)
    left, right = operations[-1]
    shown = left if finding.kind == CURED else right
    number = position(shown, finding.signature)
    if number < 0 and finding.kind != DIVERGENCE:
        # A finding of both sides may carry the signature of the other side.
        other = right if shown is left else left
        if (there := position(other, finding.signature)) >= 0:
            shown, number = other, there
    apart = [number for number, (one, other) in enumerate(operations) if only(one, other) or only(other, one)]
    # Index 0 is creation.
    there = len(operations) - 1 if not apart or apart[-1] == len(operations) - 1 else apart[0]
    ours, theirs = only(*operations[there]), only(*reversed(operations[there]))
    trail = Trail(apart=there - 1, more=(max(0, len(ours) - ALONE), max(0, len(theirs) - ALONE)))
    trail.reference, trail.candidate = ([line.text for line in alone[:ALONE]] for alone in (ours, theirs))
    trail.own = last_own([operations[each][1] for each in apart])
    trail.calls = shown.stacks[number] if number >= 0 else ()
    trail.exact = bool(trail.calls)
    function = function_of(finding.signature)
    if told_calls := calls_at(finding.reason, function):
        # For a tree, the checker reports its place.
        trail.calls, trail.exact = told_calls, trail.calls == told_calls
    elif not any(call.function == function for call in trail.calls):
        # Another function, or none, was running when the violation was detected.
        earlier = concerned(shown, number, finding, function, theirs)
        if earlier >= 0:
            trail.calls, trail.exact, number = shown.stacks[earlier], False, earlier + 1
    told = [line.text for line in shown.lines[: max(number, 0)] if is_told(line.text)]
    trail.events = told[-BEFORE:]
    return trail


def columns(program: Program, reference: Candidate, candidate: Candidate, at: int) -> list[tuple[Column, Column]]:
    """Return the events of both sides, at creation and in each operation up to one.

    :param at: index of that operation, as in `fuzz.judging.finding.Finding`
    """
    sides = [Executor(reference, program), Executor(candidate, program, CANDIDATE)]
    versions = reference, candidate
    traces = [
        CallTrace(side, watcher(version, reference, side.side.kernel))
        for side, version in zip(sides, versions, strict=True)
    ]
    found: list[tuple[Column, Column]] = []
    for now in range(-1, at + 1):
        both: list[Column] = []
        for side, trace in zip(sides, traces, strict=True):
            trace.stacks = []
            if now >= 0 and side.dead:
                both.append(Column([], []))
                continue
            outcome, violations = side.perform(now)
            both.append(Column(trace.take(violations, outcome), trace.stacks))
        found.append((both[0], both[1]))
    for side in sides:
        side.dismantle()
    return found


def last_own(columns: list[Column]) -> KernelCall | None:
    """Return the innermost code of the candidate that ran last in some operations; None if none did."""
    for column in reversed(columns):
        for calls in reversed(column.stacks):
            if own := [call for call in calls if call.own]:
                return own[-1]
    return None


def position(column: Column, signature: str) -> int:
    """Return the index of the line of a violation; -1 if there is none."""
    return next((number for number, line in enumerate(column.lines) if line.violation == signature), -1)


def only(column: Column, other: Column) -> list[Line]:
    """Return the events that one side had more often than the other, regardless of their order."""
    left = Counter(line.key for line in other.lines)
    found: list[Line] = []
    for line in column.lines:
        if left[line.key] > 0:
            left[line.key] -= 1
        elif is_told(line.text) and not line.text.startswith(_RESULT):
            found.append(line)
    return found


def function_of(signature: str) -> str:
    """Return the kernel function that a signature names; "" if it names none."""
    parts = signature.split(": ")
    return parts[1] if len(parts) > 2 else ""


def concerned(column: Column, number: int, finding: Finding, function: str, alone: Sequence[Line]) -> int:
    """Return the index of the event that a finding concerns but that was detected later; -1 if it is not known.

    :param number: index of the violation's line, before which the event must be; -1: it has none
    :param function: named by the finding: take the last event in this function
    :param alone: the events that only this side had: a divergence begins at the first of them
    """
    if finding.kind == DIVERGENCE:
        return column.lines.index(alone[0]) if alone and alone[0] in column.lines else -1
    end = number if number >= 0 else len(column.lines)
    for at in range(end - 1, -1, -1):
        if any(call.function == function for call in column.stacks[at]):
            return at
    return -1


def is_told(text: str) -> bool:
    """Tell whether an event shows more than the position of the walk."""
    return not text.startswith(_QUIET) and _LOADED not in text
