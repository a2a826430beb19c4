# SPDX-License-Identifier: GPL-2.0-only
"""The steps of several actors that run the ports: places where each may give way, and the locks that they hold.

Places are counted as in a compiled tree (``rt_actors.c``), so that a schedule means the same in both.
"""

from typing import Final

from .turns import Anchor, Turns


class Hold:
    """A lock that an actor holds.

    :param actor: from 1
    :param exclusive: no other actor may hold the lock
    """

    def __init__(self, actor: int, exclusive: bool) -> None:
        self.actor = actor
        self.exclusive = exclusive


class ActorCall:
    """The call of kernel code that an actor is in: the places at which it gives way, and the steps counted so far.

    :param anchors: as in `reference.turns.Turns.anchors`
    """

    def __init__(self, anchors: list[Anchor]) -> None:
        # By kind of event; events of other kinds are not counted.
        self.anchors: dict[str, list[Anchor]] = {}
        self.counts: dict[str, int] = {}
        for anchor in anchors:
            self.anchors.setdefault(anchor.point, []).append(anchor)


# A call without places to give way; it counts nothing and can therefore be shared.
NO_CALL: Final = ActorCall([])


class Steps:
    """The places that the actors of a block reach, and their locks.

    :param turns: gives turns

    *call*: call of the running actor
    """

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.actor = 0
        self.call = NO_CALL
        # By actor number.
        self.calls: list[ActorCall] = [NO_CALL]
        # Whether the running actor has made a step in this turn.
        self.moved = False
        # Number of actors within a call.
        self.inside = 0
        # By name and VM.
        self.holds: dict[tuple[str, int], list[Hold]] = {}

    def call_begins(self) -> None:
        """The running actor enters kernel code."""
        self.inside += 1
        self.restart_counts()

    def restart_counts(self) -> None:
        """Restart the counts: a host thread calls KVM several times in one operation."""
        anchors = self.turns.anchors()
        self.call = ActorCall(anchors) if anchors else NO_CALL

    def call_ends(self) -> None:
        """The call has returned.

        When no actor is inside a call any more, nobody will drop the locks still held: forget them, so that later calls
        do not wait for them.
        """
        self.inside -= 1
        self.call = NO_CALL
        if not self.inside:
            self.holds.clear()

    def turn(self, actor: int) -> None:
        """From here on the given actor runs, which may be the same as before."""
        self.calls[self.actor] = self.call
        self.actor = actor
        while len(self.calls) <= actor:
            self.calls.append(NO_CALL)
        self.call = self.calls[actor]
        self.moved = False

    def reached(self, point: str) -> None:
        """The actor is about to make a step, which takes effect when this returns."""
        anchors = self.call.anchors.get(point)
        if anchors is not None:
            counts = self.call.counts
            counts[point] = count = counts.get(point, 0) + 1
            self.switch_if_anchored(anchors, count, False)

    def passed(self, point: str) -> None:
        """The step is done; other actors may run now."""
        anchors = self.call.anchors.get(point)
        if anchors is not None:
            self.switch_if_anchored(anchors, self.call.counts[point], True)

    def loaded(self) -> None:
        """The actor has loaded an entry, its most frequent step; there is no place to switch before a load."""
        anchors = self.call.anchors.get("load")
        if anchors is not None:
            counts = self.call.counts
            counts["load"] = count = counts.get("load", 0) + 1
            self.switch_if_anchored(anchors, count, True)

    def switch_if_anchored(self, anchors: list[Anchor], count: int, after: bool) -> None:
        """Give way if a switch is anchored here."""
        for anchor in anchors:
            if anchor.count == count and anchor.after == after:
                self.turns.reached(anchor.number)
                return

    def take(self, name: str, vmid: int, exclusive: bool) -> None:
        """Take a lock; let others run until it is free, checking the current holders each time."""
        while (holder := self.holder(self.holds.get((name, vmid), []), exclusive)) != 0:
            self.turns.wait(name, holder, self.moved)
        self.holds.setdefault((name, vmid), []).append(Hold(self.actor, exclusive))

    def holder(self, holds: list[Hold], exclusive: bool) -> int:
        """Return the first actor that keeps the running actor from taking a lock; 0 if there is none."""
        found = 0
        for hold in holds:
            if hold.actor != self.actor and (exclusive or hold.exclusive) and (not found or hold.actor < found):
                found = hold.actor
        return found

    def drop(self, name: str, vmid: int) -> None:
        """Drop the actor's most recent hold on a lock, if it has one."""
        holds = self.holds.get((name, vmid), [])
        for at in range(len(holds) - 1, -1, -1):
            if holds[at].actor == self.actor:
                holds.pop(at)
                return

    def wait_for_readers(self, name: str, vmid: int) -> None:
        """Let others run until none of them holds a lock: ``synchronize_srcu()``."""
        while (holder := self.holder(self.holds.get((name, vmid), []), True)) != 0:
            self.turns.wait(name, holder, self.moved)
