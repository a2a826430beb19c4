# SPDX-License-Identifier: GPL-2.0-only
"""The interface between the code of several actors and the scheduler that decides whose turn it is."""

from .compiled.annotations import mypyc_attr


class Anchor:
    """The place of a switch within a call of kernel code.

    :param number: number of the switch in its schedule
    :param point: kind of event
    :param after: the switch comes after the event rather than before it
    :param count: index of the event within the call, counted from 1
    :param to: the actor, from 1, to which the switch leads
    """

    def __init__(self, number: int, point: str, after: bool, count: int, to: int) -> None:
        self.number = number
        self.point = point
        self.after = after
        self.count = count
        self.to = to


@mypyc_attr(allow_interpreted_subclasses=True)
class Turns:
    """Takes and gives turns among several actors, of which one runs at a time.

    The code of an actor calls these methods, which return when it is that actor's turn again.
    """

    def anchors(self) -> list[Anchor]:
        """Return the switches of the call that the actor is about to make."""
        return []

    def actor_masks(self) -> tuple[int, int, int]:
        """Return the state of the actors, which each turn may change.

        :returns: number of actors; bit masks of the actors that are done and that wait, with the first actor in bit 0
        """
        return 0, 0, 0

    def faulted(self, fault: int, level: int, entry: int) -> bool:
        """The vCPU has taken a fault: kind and level as in `reference.machine.walk`, and the entry found.

        :returns: whether another actor got a turn because of lack of progress, so that the fault may be gone
        """
        return False

    def calling(self) -> None:
        """A host thread is about to call KVM: from here on `anchors` returns the switches of this call."""

    def step(self, point: str, after: bool) -> None:
        """One of a host thread's steps, ``start``, ``change`` or ``end``, begins, or has ended (*after*)."""

    def reached(self, number: int) -> None:
        """The actor is at the anchor of the switch *number*."""

    def switched(self, number: int) -> None:
        """Record the same as `reached` for a tree's process, where other actors continue; return at once."""

    def waited(self, lock: str, holder: int, moved: bool) -> None:
        """Record the same as `wait` for a tree's process; return at once."""

    def hand_over(self, actor: int) -> None:
        """Let the code of the actor whose turn it is continue, after another actor's code has run for it.

        :param actor: actor of the calling code; the method returns when it is this actor's turn
        """

    def wake_waiters(self) -> None:
        """An actor made a step: waiting actors may check again."""

    def wait(self, lock: str, holder: int, moved: bool) -> None:
        """The actor cannot continue before another one has made a step.

        :param lock: the lock that it waits for, "" if it has no name
        :param holder: the actor that holds it, from 1; 0: not known
        :param moved: the waiting actor has made a step in this turn
        """

    def yield_turn(self, moved: bool) -> None:
        """The actor polls: others run if they can, and it stays able to continue.

        :param moved: anything was done since it last yielded
        """

    def yielded(self, moved: bool) -> None:
        """Record the same as `yield_turn` for a tree's process; return at once."""
