# SPDX-License-Identifier: GPL-2.0-only
"""The seam between code that several actors run and the scheduler that says whose turn it is."""

from .compiled.annotations import mypyc_attr


class Anchor:
    """The place of a switch within a call of kernel code.

    :param number: of the switch in its schedule
    :param point: kind of event
    :param after: it comes after that
    :param count: which of the events it is, counted from 1 within the call
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
    """Takes and gives turns, where several actors are at work; one of them runs at a time.

    Code of an actor calls these, and they return when it is that actor's turn again.
    """

    def anchors(self) -> list[Anchor]:
        """The switches of the call that the actor is about to make."""
        return []

    def standing(self) -> tuple[int, int, int]:
        """Say how the actors stand: each turn may change that.

        :returns: how many there are; those that are done, and those that wait, by bits: the first actor's is bit 0
        """
        return 0, 0, 0

    def faulted(self, fault: int, level: int, entry: int) -> bool:
        """The vCPU has taken a fault: kind and level of `reference.machine.walk`, and the entry found.

        :returns: whether another actor has had a turn for want of progress, so that the fault may be gone
        """
        return False

    def calling(self) -> None:
        """A thread of the host is about to call KVM: `anchors` are those of this call from here on."""

    def step(self, point: str, after: bool) -> None:
        """A thread of the host is where one of its steps begins, or ends: ``start``, ``change``, ``end``."""

    def reached(self, number: int) -> None:
        """The actor is where the switch of that number is anchored."""

    def switched(self, number: int) -> None:
        """Note what `reached` notes, of a tree's process: others go on there, and this returns at once."""

    def waited(self, lock: str, holder: int, moved: bool) -> None:
        """Note what `wait` notes, likewise."""

    def hand_over(self, actor: int) -> None:
        """Let the code of the actor whose turn it is go on, for that of another one has run for it.

        :param actor: whose code this is; returns when it is that one's turn
        """

    def nobody_waits(self) -> None:
        """Something has been done: whoever waits may look again."""

    def wait(self, lock: str, holder: int, moved: bool) -> None:
        """The actor cannot go on before another one has made a step.

        :param lock: what it waits for, "" where that has no name
        :param holder: the actor that has it, from 1; 0: not known
        :param moved: it has done something in this turn
        """
