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
        # The walker callback that counted it.
        self.by = ""

    def before_operation(self, op: Operation | None) -> None:
        self.asked.clear()
        self.last = -1

    def get(self, page: int, count: int) -> None:
        if page != self.last or self.kernel.walker != self.by:
            self.counts(page, 1)

    def put(self, page: int, count: int) -> None:
        if page != self.last or self.kernel.walker != self.by:
            self.counts(page, -1)

    def counts(self, page: int, change: int) -> None:
        """A count has changed; of another page, or by another walker callback than the last one."""
        self.asked[page] = self.last = page
        self.by = self.kernel.walker
        table = self.shadow.by_page.get(page)
        if table is not None and table.by != self.by:
            self.shadow.hand_on(table, self.by, change)

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
        excess = self.shadow.excess(table)
        if excess:
            counted = "non-zero" if self.side.pgtable.COUNTS_NON_ZERO else "valid"
            count = self.kernel.counts[table.page]
            since = f" since {table.wrong_since}" if table.wrong_since else ""
            self.report(
                "too many references" if excess > 0 else "too few references",
                table.level,
                f"table page {table.page} (level {table.level}, from {table.base:#x}) has {count} references "
                f"and {count - 1 - excess} {counted} entries{since}",
                frozenset([table.base]),
                function=table.wrong_since or table.by,
                where=table.wrong_at or self.kernel.last.changed(table.page),
            )
