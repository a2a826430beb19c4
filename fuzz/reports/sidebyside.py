# SPDX-License-Identifier: GPL-2.0-only
"""Both sides' events of a program side by side, around the differences and the findings."""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import partial
from textwrap import wrap
from typing import Final

from candidate import Candidate
from reference.tlb import AnyTlb

from ..execution.executor import Executor
from ..judging.differential import DIVERGENCE, Finding
from ..language.program import Program
from ..language.text import headings
from ..sides.pulse import CANDIDATE
from .trace import TURN, Trace
from .trace_lines import Line

# Number of rows that are shown before and after each relevant one.
CONTEXT: Final = 12
NARROWEST: Final = 80
WIDEST: Final = 160
# Width when the number of columns is unknown: in a file, in a pipe.
UNKNOWN: Final = 120
# If more events than this differ in one operation, they are paired in order:
# finding the best pairs takes quadratic time.
MAX_MATCHED: Final = 6000


@dataclass(slots=True)
class EventRow:
    """One line of the output: an event of either side, or of both.

    *same*: both sides did it. *violation*: its signature, or "".
    """

    left: Line | None
    right: Line | None
    same: bool

    @property
    def violation(self) -> str:
        line = self.left or self.right
        return line.violation if line is not None else ""


@dataclass(slots=True)
class Section:
    """An operation: its index as in `Finding.at`, its heading, its rows."""

    at: int
    heading: str
    rows: list[EventRow] = field(default_factory=list)


def record(
    program: Program,
    reference: Candidate,
    candidate: Candidate,
    note: Callable[[int, int, Line], None] | None = None,
) -> list[Section]:
    """Run a valid program on both versions as `fuzz.judging.differential` does.

    :param note: called with each new line: index of the operation, 0 or 1 for the side, the line
    :returns: creation, each operation, destruction
    """
    sides = [Executor(reference, program), Executor(candidate, program, CANDIDATE)]
    traces = [Trace(side) for side in sides]
    for trace in traces:
        # Show instructions only if the two sides have different tlb.c code.
        trace.instructions = tlb_identity(reference.tlb) != tlb_identity(candidate.tlb)
    last = len(program.operations)
    sections: list[Section] = []
    for at, heading in enumerate(headings(program), -1):
        if 0 <= at < last and any(side.dead for side in sides):
            continue
        columns: list[list[Line]] = []
        for number, (side, trace) in enumerate(zip(sides, traces, strict=True)):
            if note is not None:
                trace.note = partial(note, at, number)
            outcome, violations = side.perform(at)
            columns.append(trace.take(violations, outcome))
        sections.append(Section(at, heading, align(*columns)))
    for side in sides:
        side.dismantle()
    return sections


def tlb_identity(tlb: type[AnyTlb]) -> str:
    """Return an identifier of the code of a tlb.c."""
    return str(getattr(tlb, "content", tlb.__qualname__))


def columns_of(
    program: Program, last: int, left: Mapping[int, list[Line]], right: Mapping[int, list[Line]]
) -> list[Section]:
    """Build the sections of `record` from the lines that it sent.

    :param last: index of the operation in progress
    :param left: lines of the left side, keyed by operation; *right* likewise
    """
    names = headings(program)
    return [Section(at, names[at + 1], align(left.get(at, []), right.get(at, []))) for at in range(-1, last + 1)]


def align(left: list[Line], right: list[Line]) -> list[EventRow]:
    """Pair the events that both sides did, in order."""
    start = 0
    end = min(len(left), len(right))
    while start < end and left[start].key == right[start].key:
        start += 1
    rows = [EventRow(a, b, True) for a, b in zip(left[:start], right[:start], strict=True)]
    a, b = [line.key for line in left[start:]], [line.key for line in right[start:]]
    if len(a) + len(b) > MAX_MATCHED:
        blocks = [("replace", 0, len(a), 0, len(b))]
    else:
        blocks = list(SequenceMatcher(None, a, b, autojunk=False).get_opcodes())
    for what, i, i_end, j, j_end in blocks:
        # Different events are not paired, because a pair reads like one changed event.
        if what == "equal":
            pairs = zip(left[start + i : start + i_end], right[start + j : start + j_end], strict=True)
            rows += [EventRow(one, other, True) for one, other in pairs]
        else:
            rows += [EventRow(line, None, False) for line in left[start + i : start + i_end]]
            rows += [EventRow(None, line, False) for line in right[start + j : start + j_end]]
    return rows


def of_interest(sections: list[Section], findings: Collection[Finding]) -> tuple[int, set[int]]:
    """Return the first row in which the events differ, or -1, and the rows to show with their context."""
    first = -1
    chosen: set[int] = set()
    violated = {finding.signature for finding in findings}
    diverged = {finding.at for finding in findings if finding.kind == DIVERGENCE}
    number = 0
    for section in sections:
        for row in section.rows:
            if row.violation in violated:
                violated.remove(row.violation)
                chosen.add(number)
            elif not row.same and not row.violation and (first < 0 or section.at in diverged):
                diverged.discard(section.at)
                first = number if first < 0 else first
                chosen.add(number)
            elif row.left is not None and row.left.text.startswith(TURN):
                chosen.add(number)
            number += 1
    return first, chosen


def count_text(rows: list[EventRow]) -> str:
    """Return the number of events as text, and whether the two sides are alike."""
    differ = sum(not row.same for row in rows)
    alike = f"{differ} of them on one side only" if differ else "alike"
    return f"{len(rows)} event{'' if len(rows) == 1 else 's'}, {alike}" if rows else "no events"


def table_lines(row: EventRow, width: int) -> Iterator[str]:
    """Yield a row as text, each side wrapped to *width* columns."""
    if row.same and row.left is not None and row.violation:
        # The same violation on both sides: one line across reads better than two equal ones.
        yield from (f"= {line}" for line in wrap(row.left.text, 2 * width, subsequent_indent="     "))
        return
    cells = [wrap(line.text, width, subsequent_indent="    ") if line else [] for line in (row.left, row.right)]
    mark = " " if row.same else "<" if row.right is None else ">"
    for i in range(max(map(len, cells))):
        one, other = (cell[i] if i < len(cell) else "" for cell in cells)
        yield f"  {one:<{width}} {mark} {other}".rstrip()


def render(
    sections: list[Section],
    names: tuple[str, str],
    findings: Collection[Finding] = (),
    width: int | None = None,
) -> str:
    """Return the text: every operation, and the relevant events.

    Relevant are the events around the first one that only one side did, and around each finding. Omitted events are
    counted.

    :param sections: from `record`
    :param names: of the left and the right side
    :param findings: of the verdict on the program
    :param width: columns; by default those of the terminal
    """
    columns = width or shutil.get_terminal_size((UNKNOWN, 24)).columns
    cell = (max(NARROWEST, min(columns, WIDEST)) - 5) // 2
    first, chosen = of_interest(sections, findings)
    shown = {i for at in chosen for i in range(max(at - CONTEXT, 0), at + CONTEXT + 1)}
    left, right = names
    lines = [f"  {left:<{cell}}   {right}".rstrip(), f"  {'-' * cell}   {'-' * cell}"]
    number = 0
    for section in sections:
        numbers = range(number, number + len(section.rows))
        number = numbers.stop
        if not any(i in shown for i in numbers):
            lines.append(f"{section.heading}  [{count_text(section.rows)}]")
            continue
        lines.append(section.heading)
        skipped: list[EventRow] = []
        for i, row in zip(numbers, section.rows, strict=True):
            if i not in shown:
                skipped.append(row)
                continue
            if skipped:
                lines.append(f"  ... {count_text(skipped)}")
                skipped = []
            if i == first:
                lines.append("  >>> the first difference of the two sides (<: only left, >: only right)")
            lines += table_lines(row, cell)
        if skipped:
            lines.append(f"  ... {count_text(skipped)}")
    if first < 0:
        lines.append("Both sides did the same, event for event.")
    return "\n".join(lines) + "\n"
