# SPDX-License-Identifier: GPL-2.0-only
"""progress: an access completes within a bounded number of faults, a walk within bounded steps."""

from typing import Final

from ..program import Operation
from ..side import Side
from .base import Checker, Outcome

# Tables entered by one operation: far more than the largest unmap needs.
MAX_TABLES: Final = 200_000


class Runaway(Exception):
    """The kernel code does not come to an end."""


class Progress(Checker):
    """Judges the number of faults and of tables entered."""

    name = "progress"

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self.tables = 0

    def begin(self, op: Operation | None) -> None:
        self.tables = 0

    def walk_table(self, table: int, level: int) -> None:
        self.tables += 1
        if self.tables > MAX_TABLES:
            self.report("endless walk", -1, f"more than {MAX_TABLES} tables entered in one operation")
            raise Runaway

    def quiet(self, op: Operation | None, outcome: Outcome) -> None:
        if outcome.status == "stuck":
            self.report(
                "access does not complete",
                -1,
                f"still a fault after {outcome.faults} faults",
                function=self.kernel.entry,
            )
