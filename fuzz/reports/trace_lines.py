# SPDX-License-Identifier: GPL-2.0-only
"""The lines of a trace, and the texts for places, tables and entries.

`fuzz.reports.trace` turns each event into a line.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from reference.machine.descriptor import VALID_BIT, address_bits, describe
from reference.machine.stage1 import describe_stage1

from ..checkers import Checker, Violation
from ..checkers.hyp import HypTable
from ..checkers.table import Table
from ..execution.executor import Executor
from ..language.program import show_bytes
from ..sides.outcome import Outcome
from ..sides.side import Side
from .results import result_text

# The number of a table page depends on earlier allocations and is not a difference in itself.
_IDENTITY: Final = re.compile(r"table page \d+|table@0x[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One event.

    :param text: for people
    :param key: for comparing two sides: the text without the numbers of table pages
    :param violation: its signature where the line is a violation, or ""
    """

    text: str
    key: str
    violation: str = ""


class TraceLines(Checker):
    """A recorder of the lines of one side, with violations after the events that showed them; it judges nothing.

    :param executor: of the side, before anything has run on it. Its checkers see each event first, so that a violation
      follows the event that showed it.
    """

    def __init__(self, executor: Executor) -> None:
        side: Side = executor.side
        super().__init__(side)
        self.executor = executor
        self.checkers = executor.checkers
        self.shown = 0
        # Tables by page as last seen: the shadow drops a freed table, and page
        # numbers are not reused.
        self.tables: dict[int, Table] = {}
        self.lines: list[Line] = []
        # True if instructions of tlb.c are shown; those that belong to the next helper call.
        self.instructions = False
        self.below: list[str] = []
        # Called with each new line.
        self.note: Callable[[Line], None] | None = None
        side.kernel.observe(self)
        for observers in self.checkers.on_translated:
            observers.append(self)

    def take(self, violations: Sequence[Violation], outcome: Outcome | None) -> list[Line]:
        """Return the lines since the last call.

        :param violations: all violations of the operation; those that no event showed come last
        :param outcome: the outcome of the operation; None at creation and destruction
        """
        if outcome is not None:
            executor = self.executor
            text = f"result: {result_text(executor.program.operations[executor.at], outcome)}"
            self.keep(Line(text, text))
            if outcome.detail and outcome.parts:
                self.keep(Line(outcome.detail, outcome.detail))
        for violation in violations[self.shown :]:
            self.show(violation)
        lines = self.lines
        self.lines, self.shown = [], 0
        return lines

    def add(self, text: str, alike: str = "") -> None:
        """Record an event, and the violations that checkers found in it.

        :param alike: the text for comparing versions, if *text* itself depends on the version
        """
        self.keep(Line(text, _IDENTITY.sub("table", alike or text)))
        found = self.checkers.found
        while self.shown < len(found):
            self.show(found[self.shown])
            self.shown += 1

    def show(self, violation: Violation) -> None:
        signature = violation.signature
        self.keep(Line(f"!! {signature}: {violation.reason}", f"!! {signature}", signature))

    def keep(self, line: Line) -> None:
        """Append a line and pass it to `note`."""
        self.lines.append(line)
        if self.note is not None:
            self.note(line)

    def place(self, ipa: int) -> str:
        """Return the text of a guest address, with its name in the program."""
        layout = self.side.active.layout_of(ipa)
        return f"{ipa:#x}" if layout is None else f"{ipa:#x}={layout.slot.name}+{show_bytes(ipa - layout.ipa)}"

    def host_place(self, hva: int) -> str:
        """Return a host address as text, relative to its slot."""
        for layout in self.side.layouts:
            if layout.hva <= hva < layout.hva + layout.size:
                return f"host {layout.slot.name}+{show_bytes(hva - layout.hva)}"
        return f"host {hva:#x}"

    def known_table(self, page: int) -> Table | None:
        table = self.tables.get(page)
        for shadow in self.checkers.shadows:
            table = shadow.by_page.get(page) or table
        table = self.checkers.hyp.by_page.get(page) or table
        if table is not None:
            self.tables[page] = table
        return table

    def page_text(self, page: int) -> str:
        """Return a table page as text, with its place in the tree."""
        table = self.known_table(page)
        if table is None:
            return f"table page {page}"
        hyp = "hyp, " if isinstance(table, HypTable) else ""
        return f"table page {page} ({hyp}L{table.level} at {table.base:#x})"

    def entry_text(self, entry: int, level: int, hyp: bool = False) -> str:
        """Return the text of a descriptor; if it was made invalid, the text of its former value.

        Invalid descriptors without an address, such as the marker of a locked entry or of an owner, never were valid.
        """
        show = describe_stage1 if hyp else describe
        if not entry & VALID_BIT and address_bits(entry, self.granule):
            return f"invalid, was {show(entry | VALID_BIT, level, self.granule)}"
        return show(entry, level, self.granule)
