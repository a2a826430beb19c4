# SPDX-License-Identifier: GPL-2.0-only
"""refcount: a stage-2 table page has one reference of its own and one for each entry that counts.

The version determines which entries count: valid entries, or all nonzero entries.
"""

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .checker import GuestChecker, Peers
from .places import after
from .rule import Rule
from .severity import Severity
from .shadow import Shadow
from .table import Table


class Refcount(GuestChecker):
    """Checks, at each quiet point, the counts of the tables that the operation touched."""

    rule = Rule(
        "refcount",
        ("a table page has one reference of its own and one for each valid entry (from v5.13 on: each nonzero entry)"),
        "a count that is too low frees a table in use, one that is too high leaks the table",
        Severity.ACCOUNTING,
        rank=4,
        finer=(("*: too few references*", Severity.LIFETIME, 11),),
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        # Pages whose references changed in this operation, in order; the last of them, which is often repeated.
        self.changes: dict[int, int] = {}
        self.last = -1
        # The running walker callback or entry point.
        self.by = ""

    def before_operation(self, op: Operation | None) -> None:
        self.changes.clear()
        self.last = -1
        self.by = ""

    def get(self, page: int, count: int) -> None:
        if page != self.last:
            self.changes[page] = self.last = page

    def put(self, page: int, count: int) -> None:
        if page != self.last:
            self.changes[page] = self.last = page

    def walk(self, vmid: int, start: int, end: int) -> None:
        self.note_wrong_counts()

    def turn(self, actor: int) -> None:
        super().turn(actor)
        self.note_wrong_counts()

    def note_wrong_counts(self) -> None:
        """Note counts that the last walker callback left wrong, when another one begins or continues."""
        before, self.by = self.by, self.running()
        if self.shadow.touched or self.changes:
            self.look(before, False)

    def look(self, by: str, judge: bool) -> None:
        """Check the tables whose references changed, or that were written, in this operation.

        :param by: the walker callback, or entry point, that may have made a count wrong
        :param judge: report wrong counts
        """
        for page in self.changes:
            table = self.shadow.by_page.get(page)
            if table is not None and page not in self.shadow.touched:
                self.count(table, by, judge)
        for table in self.shadow.touched.values():
            if self.shadow.by_page.get(table.page) is table:
                self.count(table, by, judge)

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        self.look(self.running(), True)

    def scan(self) -> None:
        """Check every table."""
        for table in self.shadow.by_page.values():
            self.count(table, self.running(), True)

    def count(self, table: Table, by: str, judge: bool) -> None:
        """Check one table; parameters as in `look`."""
        if not table.live:
            return
        count = self.kernel.counts[table.page]
        non_zero = self.side.pgtable.COUNTS_NON_ZERO
        entries = table.non_zero if non_zero else table.valid()
        if count == 1 + entries:
            if table.wrong_since:
                table.wrong_since = table.wrong_at = ""
            return
        if not table.wrong_since:
            table.wrong_since, table.wrong_at = by, self.changed_at(table)
        if judge:
            self.report(
                "too many references" if count > 1 + entries else "too few references",
                table.level,
                f"table page {table.page} (level {table.level}, from {table.base:#x}) has "
                f"{count} reference{'' if count == 1 else 's'} and "
                f"{entries} {'non-zero' if non_zero else 'valid'} entr{'y' if entries == 1 else 'ies'}",
                frozenset([table.base]),
                function=table.wrong_since,
                where=table.wrong_at,
            )

    def changed_at(self, table: Table) -> str:
        """Return the source locations in a compiled tree that last counted and wrote the table; "" for a port."""
        last = self.kernel.last
        written = last.written(table.page)
        counted = last.counted(table.page)
        if counted and written:
            counted = after(counted, written)
            return f"{written}, where it was written last, and {counted}, where it was counted last"
        return written or counted
