# SPDX-License-Identifier: GPL-2.0-only
"""The checkers: one rule each, each judging one side alone."""

from ..program import Operation
from ..side import Side
from .base import Checker, Outcome, Violation
from .contract import Contract
from .dcache import Dcache
from .icache import Icache
from .isolation import Isolation
from .leak import Leak
from .lifetime import Lifetime
from .progress import Progress, Runaway
from .refcount import Refcount
from .shadow import Shadow
from .tlb import Tlb
from .translation import Translation

__all__ = ["Checker", "Checkers", "Outcome", "Runaway", "Shadow", "Violation"]


class Checkers:
    """All checkers of one side, attached to its kernel.

    :param side: before `Side.create` is called
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.shadow = Shadow(side)
        self.tlb = Tlb(side, self.shadow)
        self.translation = Translation(side, self.shadow)
        self.refcount = Refcount(side, self.shadow)
        self.lifetime = Lifetime(side, self.shadow, self.tlb)
        # The order decides which of two violations at one event is the first.
        self.all: list[Checker] = [
            self.shadow,
            Progress(side),
            Contract(side),
            Isolation(side),
            self.lifetime,
            self.tlb,
            self.refcount,
            Dcache(side, self.shadow),
            Icache(side, self.shadow),
            self.translation,
            Leak(side),
        ]
        # One list for all, so that violations stay in the order they happened.
        self.found: list[Violation] = []
        for checker in self.all:
            checker.found = self.found
            side.kernel.observe(checker)
            if type(checker).changed is not Checker.changed:
                self.shadow.listen(checker)
        self.on_translated = [c for c in self.all if type(c).translated is not Checker.translated]

    def begin(self, op: Operation | None) -> None:
        for checker in self.all:
            checker.begin(op)

    def quiet(self, op: Operation | None, outcome: Outcome) -> None:
        for checker in self.all:
            checker.quiet(op, outcome)

    def scan(self) -> None:
        """The full scan that cross-checks the incremental checkers."""
        self.translation.scan()
        self.refcount.scan()
        self.tlb.scan()

    def destroying(self) -> None:
        """The tables are about to be destroyed."""
        self.lifetime.destroying = True

    def destroyed(self) -> None:
        for checker in self.all:
            checker.destroyed()

    def take(self, at: int) -> list[Violation]:
        """The violations found since the last call, as of operation *at*."""
        found = self.found[:]
        self.found.clear()
        for violation in found:
            violation.at = at
        return found
