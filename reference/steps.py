# SPDX-License-Identifier: GPL-2.0-only
"""The steps of several actors that run the ports: where each may give way, and the locks that they hold.

Places are counted as a compiled tree counts them (``rt_actors.c``), so that a schedule means the same to both.
"""

from typing import Final

from .turns import Anchor, Turns


class Hold:
    """A lock that an actor has.

    :param actor: from 1
    :param alone: others do not get it meanwhile
    """

    def __init__(self, actor: int, alone: bool) -> None:
        self.actor = actor
        self.alone = alone


class ActorCall:
    """The call of kernel code that an actor is in: the places at which it gives way, and how far it has come.

    :param anchors: as of `reference.turns.Turns.anchors`
    """

    def __init__(self, anchors: list[Anchor]) -> None:
        # By kind of event; of other kinds nothing is counted.
        self.anchors: dict[str, list[Anchor]] = {}
        self.counts: dict[str, int] = {}
        for anchor in anchors:
            self.anchors.setdefault(anchor.point, []).append(anchor)


# There is no place to give way: shared, for nothing is counted in it.
NO_CALL: Final = ActorCall([])


class Steps:
    """The places to which the actors of a block come, and their locks.

    :param turns: gives turns

    *call*: that of the running actor
    """

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.actor = 0
        self.call = NO_CALL
        # By number of the actor.
        self.calls: list[ActorCall] = [NO_CALL]
        # The running actor has done something in this turn.
        self.moved = False
        # Actors within a call.
        self.inside = 0
        # By name and VM.
        self.holds: dict[tuple[str, int], list[Hold]] = {}

    def call_begins(self) -> None:
        """The running actor enters kernel code."""
        self.inside += 1
        self.count_anew()

    def count_anew(self) -> None:
        """Count from here on: a thread of the host calls KVM several times in one operation."""
        anchors = self.turns.anchors()
        self.call = ActorCall(anchors) if anchors else NO_CALL

    def call_ends(self) -> None:
        """The call has returned.

        Nobody drops what is held when nobody is inside any more: the next call does not wait for it.
        """
        self.inside -= 1
        self.call = NO_CALL
        if not self.inside:
            self.holds.clear()

    def turn(self, actor: int) -> None:
        """From here on another actor runs, or the same one again."""
        self.calls[self.actor] = self.call
        self.actor = actor
        while len(self.calls) <= actor:
            self.calls.append(NO_CALL)
        self.call = self.calls[actor]
        self.moved = False

    def reached(self, point: str) -> None:
        """The actor is about to do something, which takes effect when this returns."""
        anchors = self.call.anchors.get(point)
        if anchors is not None:
            counts = self.call.counts
            counts[point] = count = counts.get(point, 0) + 1
            self.look(anchors, count, False)

    def passed(self, point: str) -> None:
        """The step is done; other actors may run now."""
        anchors = self.call.anchors.get(point)
        if anchors is not None:
            self.look(anchors, self.call.counts[point], True)

    def loaded(self) -> None:
        """Code has loaded an entry, its most frequent step; there is no place to switch before a load."""
        anchors = self.call.anchors.get("load")
        if anchors is not None:
            counts = self.call.counts
            counts["load"] = count = counts.get("load", 0) + 1
            self.look(anchors, count, True)

    def look(self, anchors: list[Anchor], count: int, after: bool) -> None:
        """Give way where a switch is anchored here, once each."""
        for anchor in anchors:
            if anchor.count == count and anchor.after == after:
                self.turns.reached(anchor.number)
                return

    def take(self, name: str, vmid: int, alone: bool) -> None:
        """Take a lock; others run until it is free, and its holds are looked up anew then."""
        while (holder := self.holder(self.holds.get((name, vmid), []), alone)) != 0:
            self.turns.wait(name, holder, self.moved)
        self.holds.setdefault((name, vmid), []).append(Hold(self.actor, alone))

    def holder(self, holds: list[Hold], alone: bool) -> int:
        """Return the first actor that keeps the running one from a lock; 0: none does."""
        found = 0
        for hold in holds:
            if hold.actor != self.actor and (alone or hold.alone) and (not found or hold.actor < found):
                found = hold.actor
        return found

    def drop(self, name: str, vmid: int) -> None:
        """Drop a lock that the actor took last, if it has it."""
        holds = self.holds.get((name, vmid), [])
        for at in range(len(holds) - 1, -1, -1):
            if holds[at].actor == self.actor:
                holds.pop(at)
                return

    def wait_for_readers(self, name: str, vmid: int) -> None:
        """Let others run until none of them holds a lock: ``synchronize_srcu()``."""
        while (holder := self.holder(self.holds.get((name, vmid), []), True)) != 0:
            self.turns.wait(name, holder, self.moved)
