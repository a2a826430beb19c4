# SPDX-License-Identifier: GPL-2.0-only
"""The steps of actors, and whether two steps can be swapped."""

from collections.abc import Hashable
from typing import Final

# The things that a step touches: the kind of each, and its identity.
Things = frozenset[Hashable]
NOTHING: Final[Things] = frozenset()


class ActorStep:
    """A step of an actor.

    :param actor: its number
    :param at: the number of earlier steps of that actor, without those in which it only waited
    :param reads: things that others may read meanwhile
    :param writes: things that no other actor may touch meanwhile
    :param waits: the actor only waits in this step
    :param everything: the step depends on everything
    """

    __slots__ = ("actor", "all", "at", "reads", "waits", "writes")

    def __init__(self, actor: int, at: int, reads: Things, writes: Things, waits: bool, everything: bool) -> None:
        self.actor = actor
        self.at = at
        self.reads = reads
        self.writes = writes
        self.waits = waits
        self.all = everything


class StepSequence:
    """Consecutive steps: the things that they touch together."""

    def __init__(self) -> None:
        self.reads: set[Hashable] = set()
        self.writes: set[Hashable] = set()
        self.all = self.any = False

    def add(self, step: ActorStep) -> None:
        self.reads |= step.reads
        self.writes |= step.writes
        self.all = self.all or step.all
        self.any = True

    def independent_of(self, step: ActorStep) -> bool:
        """Tell whether a step of another actor may be moved from after these steps to before them."""
        if not self.any:
            return True
        if self.all or step.all:
            return False
        return (
            self.writes.isdisjoint(step.writes)
            and self.writes.isdisjoint(step.reads)
            and self.reads.isdisjoint(step.writes)
        )
