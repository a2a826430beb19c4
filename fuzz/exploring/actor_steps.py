# SPDX-License-Identifier: GPL-2.0-only
"""The steps of actors, and whether two of them can change places."""

from collections.abc import Hashable
from typing import Final

# What a step touches: the name of a kind of thing, and which one.
Things = frozenset[Hashable]
NOTHING: Final[Things] = frozenset()


class ActorStep:
    """A step of an actor.

    :param actor: its number
    :param at: how many steps of that actor were before, without those in which it only waited
    :param reads: what others may read meanwhile
    :param writes: what nobody may touch meanwhile
    :param all: it has to do with everything
    """

    __slots__ = ("actor", "all", "at", "reads", "waits", "writes")

    def __init__(self, actor: int, at: int, reads: Things, writes: Things, waits: bool, everything: bool) -> None:
        self.actor = actor
        self.at = at
        self.reads = reads
        self.writes = writes
        self.waits = waits
        self.all = everything


class StepRow:
    """Steps in a row: what they touch together."""

    def __init__(self) -> None:
        self.reads: set[Hashable] = set()
        self.writes: set[Hashable] = set()
        self.all = self.any = False

    def add(self, step: ActorStep) -> None:
        self.reads |= step.reads
        self.writes |= step.writes
        self.all = self.all or step.all
        self.any = True

    def free_of(self, step: ActorStep) -> bool:
        """Tell whether a step of another actor may as well come before these as behind them."""
        if not self.any:
            return True
        if self.all or step.all:
            return False
        return (
            self.writes.isdisjoint(step.writes)
            and self.writes.isdisjoint(step.reads)
            and self.reads.isdisjoint(step.writes)
        )
