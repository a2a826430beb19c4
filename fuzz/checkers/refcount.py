# SPDX-License-Identifier: GPL-2.0-only
"""refcount: a stage-2 table page has one reference of its own and one for each entry that counts.

Which entries count is the version's: the valid ones, or all that are not zero.
"""

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .checker import GuestChecker, Peers
from .rule import Rule
from .severity import Severity
from .shadow import Shadow
from .table import Table


class Refcount(GuestChecker):
    """Counts, at each quiet point, the tables that the operation touched."""

    rule = Rule(
        "refcount",
        (
            "a table page has one reference of its own and one for each valid entry (from v5.13 on: each that is not "
            "zero)"
        ),
        "a count that is too low frees a table in use, one that is too high leaks the table",
        Severity.ACCOUNTING,
        rank=4,
        finer=(("*: too few references*", Severity.LIFETIME, 11),),
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        # The pages whose references were counted in this operation, in order; the last one, which often comes again.
        self.asked: dict[int, int] = {}
        self.last = -1

    def before_operation(self, op: Operation | None) -> None:
        self.asked.clear()
        self.last = -1

    def get(self, page: int, count: int) -> None:
        if page != self.last:
            self.asked[page] = self.last = page

    def put(self, page: int, count: int) -> None:
        if page != self.last:
            self.asked[page] = self.last = page

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        for page in self.asked:
            table = self.shadow.by_page.get(page)
            if table is not None and page not in self.shadow.touched:
                self.judge(table)
        for table in self.shadow.touched.values():
            if self.shadow.by_page.get(table.page) is table:
                self.judge(table)

    def scan(self) -> None:
        """Count every table there is."""
        for table in self.shadow.by_page.values():
            self.judge(table)

    def judge(self, table: Table) -> None:
        """Judge one table that is in use."""
        if not table.live:
            return
        count = self.kernel.counts[table.page]
        non_zero = self.side.pgtable.COUNTS_NON_ZERO
        entries = table.non_zero if non_zero else table.valid()
        if count != 1 + entries:
            self.report(
                "too many references" if count > 1 + entries else "too few references",
                table.level,
                f"table page {table.page} (level {table.level}, from {table.base:#x}) has {count} references "
                f"and {entries} {'non-zero' if non_zero else 'valid'} entries",
                frozenset([table.base]),
                where=self.changed_at(table),
            )

    def changed_at(self, table: Table) -> str:
        """Say where in a compiled tree the table was last counted, and written; "" of a port."""
        last = self.kernel.last
        written = last.written(table.page)
        counted = last.counted(table.page)
        if counted and written:
            return f"{written}, where it was written last, and {counted}, where it was counted last"
        return written or counted
