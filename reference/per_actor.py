# SPDX-License-Identifier: GPL-2.0-only
"""Per-actor state: with several actors, each has its own copy, and a turn selects a copy by one reference."""

from typing import Generic, TypeVar

from .compiled.annotations import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class PerActor:
    """State that each actor has of its own."""

    def copy(self) -> "PerActor":
        """Return a copy for an actor that begins with the same state; its lists, sets and dicts are copies too."""
        raise NotImplementedError


State = TypeVar("State", bound=PerActor)


class PerActorStates(Generic[State]):
    """One kind of state, for all actors of a block.

    :param outside: the state of the only actor, outside of a block
    """

    def __init__(self, outside: State) -> None:
        # By actor number; 0: outside of a block.
        self.all: list[State] = [outside]

    def of(self, actor: int) -> State:
        """Return the state of the actor that is about to run: on first use, a copy of the state before the block.

        :param actor: as in `reference.events.Observer.turn`; 0 means that the block is over, and drops the other copies
        """
        states = self.all
        if not actor:
            del states[1:]
        elif actor < len(states):
            return states[actor]
        while len(states) <= actor:
            states.append(states[0].copy())  # type: ignore[arg-type]
        return states[actor]
