# SPDX-License-Identifier: GPL-2.0-only
"""Belongings of actors: where several are at work, each has its own, and a turn puts them in place by one reference."""

from typing import Generic, TypeVar

from .compiled.annotations import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Own:
    """Something that one actor has of its own."""

    def copy(self) -> "Own":
        """Return it for an actor that begins with the same; lists, sets and dicts of it are copies."""
        raise NotImplementedError


Mine = TypeVar("Mine", bound=Own)


class Owns(Generic[Mine]):
    """The same of all actors of a block.

    :param outside: of the only actor, where there is no block
    """

    def __init__(self, outside: Mine) -> None:
        # By the number of the actor; 0: outside of a block.
        self.all: list[Mine] = [outside]

    def of(self, actor: int) -> Mine:
        """Return an actor's, who is about to run: first a copy of what there was before the block.

        :param actor: as of `reference.events.Observer.turn`; with 0 the block is over, and all others go
        """
        every = self.all
        if not actor:
            del every[1:]
        elif actor < len(every):
            return every[actor]
        while len(every) <= actor:
            every.append(every[0].copy())  # type: ignore[arg-type]
        return every[actor]
