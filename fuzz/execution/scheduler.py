# SPDX-License-Identifier: GPL-2.0-only
"""Choice of the next actor of a par block to run.

One program has one interleaving: only the schedule, locks and ends of actors decide which actor runs.
"""

from typing import Final

from reference.compiled.annotations import mypyc_attr
from reference.events import Observer
from reference.steps import Steps
from reference.turns import Anchor, Turns

from ..language.operations import Switch
from ..sides.side import Side
from .actors import FAIR, NO_FAULT, SWITCH, WAIT, YIELD, Actor

# A vCPU makes no progress if this many of its faults changed nothing, each followed by a step of another actor.
MAX_GIVEN: Final = 64


@mypyc_attr(allow_interpreted_subclasses=True)
class ScheduleObserver:
    """Observes the actors of a block."""

    def faulted(self, actor: Actor) -> None:
        """Called when an actor has taken a fault, before its handler runs."""

    def switched(self, number: int) -> None:
        """Called when the switch of that number takes place."""

    def called(self, actor: Actor) -> None:
        """Called when a thread of the host is about to call KVM."""

    def stepped(self, actor: Actor, point: str, count: int, after: bool) -> None:
        """Called when a step of a thread of the host begins or ends. *count* numbers the steps of its kind, from 1."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Scheduler(Turns):
    """Gives turns to the actors of a block.

    :param side: the side that they run on

    *actors*: the actors of the current block, in the order in which they begin; *current*: the number of the running
    one
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.kernel = side.kernel
        self.actors: list[Actor] = []
        self.by_number: dict[int, Actor] = {}
        self.switches: tuple[Switch, ...] = ()
        self.current = 0
        # Indexed by the number of the switch.
        self.taken: list[bool] = []
        self.skipped: list[str] = []
        self.observer: ScheduleObserver | None = None
        # The steps of the current block, where a port runs. The process of a kernel tree has its own.
        self.steps: Steps | None = None
        self.on_turn: list[Observer] = side.kernel.on.turn

    def set_observer(self, observer: ScheduleObserver) -> None:
        """Notify *observer* of faults and switches."""
        self.observer = observer

    def take_turns(self) -> None:
        """Run the actors until all are done or none can continue."""
        actor: Actor | None = self.actors[0]
        while actor is not None:
            actor.coroutine.resume()
            # The actor that is done, or the last one that could not continue.
            actor = self.running()
            actor = self.pass_on(actor) if actor.done else None

    def begin_turn(self, actor: Actor) -> None:
        """Begin the turn of an actor. Its state is already in place."""
        self.current = actor.number
        actor.reason = ""
        self.announce_turn(actor.number)

    def announce_turn(self, number: int) -> None:
        """Notify observers of the actor whose events follow."""
        self.kernel.actor = number
        if self.steps is not None:
            self.steps.turn(number)
        for o in self.on_turn:
            o.turn(number)

    def pass_on(self, actor: Actor) -> Actor | None:
        """Pass the turn on from an actor that has given way or is done.

        :returns: the actor whose turn it is now, possibly the same; None: no actor can continue
        """
        if actor.reason not in (WAIT, YIELD):
            self.wake_waiters()
        following = self.next(actor)
        if following is None:
            return None
        if following is not actor:
            actor.state.save()
            following.state.restore()
        self.begin_turn(following)
        return following

    def next(self, actor: Actor) -> Actor | None:
        """Choose the actor that continues after one has given way or is done; None: no actor can."""
        if actor.reason == SWITCH:
            wanted = self.actors[actor.to - 1]
            if not wanted.done:
                wanted.interrupted = actor.number if wanted.is_hardware else 0
                return wanted
        if actor.interrupted:
            # Hardware makes one step in the middle of an operation of another actor.
            wanted = self.actors[actor.interrupted - 1]
            if not wanted.done and not wanted.waiting:
                return wanted
        at = actor.number
        for _ in self.actors:
            if at == len(self.actors):
                at = 0
            wanted = self.actors[at]
            if not wanted.done and not wanted.waiting:
                return wanted
            at += 1
        return None

    def give_way(self, actor: Actor, why: str) -> None:
        """Give way. Returns when it is this actor's turn again."""
        actor.reason = why
        following = self.pass_on(actor)
        if following is None:
            actor.coroutine.suspend()
        elif following is not actor:
            actor.coroutine.transfer_to(following.coroutine)

    # Called by the running code.

    def running(self) -> Actor:
        """Return the actor whose turn it is."""
        return self.actors[self.current - 1]

    def anchors(self) -> list[Anchor]:
        actor = self.running()
        found = actor.within.get(actor.faults)
        return [] if found is None else [each for each in found if not self.taken[each.number]]

    def actor_masks(self) -> tuple[int, int, int]:
        done = waiting = 0
        for each in self.actors:
            done |= each.done << each.number - 1
            waiting |= each.waiting << each.number - 1
        return len(self.actors), done, waiting

    def calling(self) -> None:
        actor = self.running()
        if actor.is_thread:
            actor.faults += 1
            if self.steps is not None:
                self.steps.restart_counts()
            if self.observer is not None:
                self.observer.called(actor)

    def step(self, point: str, after: bool) -> None:
        actor = self.running()
        if not actor.is_thread:
            return
        if not after:
            actor.steps[point] = actor.steps.get(point, 0) + 1
        count = actor.steps[point]
        if self.observer is not None:
            self.observer.stepped(actor, point, count, after)
        self.reached_in_block(actor, point, after, count)

    def reached_in_block(self, actor: Actor, point: str, after: bool, count: int) -> None:
        """Make the switch that is anchored to a point counted in the whole block, if there is one."""
        number = actor.of_block.get((point, after, count), -1)
        if number >= 0 and not self.taken[number]:
            self.reached(number)

    def reached(self, number: int) -> None:
        actor = self.running()
        if self.takes_place(actor, number):
            self.give_way(actor, SWITCH)

    def switched(self, number: int) -> None:
        actor = self.running()
        if self.takes_place(actor, number):
            actor.reason = SWITCH
            self.pass_on(actor)

    def takes_place(self, actor: Actor, number: int) -> bool:
        """Return whether a switch takes place, now that the actor is at its anchor."""
        switch = self.switches[number]
        self.taken[number] = True
        wanted = self.by_number[switch.to]
        if wanted.done:
            self.skipped.append(f"{actor.name} does not switch {anchor_text(switch)}: {wanted.name} is done")
            return False
        if self.observer is not None:
            self.observer.switched(number)
        actor.to = wanted.number
        return True

    def wait(self, lock: str, holder: int, moved: bool) -> None:
        actor = self.running()
        self.begins_to_wait(actor, lock, holder, moved)
        self.give_way(actor, WAIT)

    def waited(self, lock: str, holder: int, moved: bool) -> None:
        actor = self.running()
        self.begins_to_wait(actor, lock, holder, moved)
        actor.reason = WAIT
        self.pass_on(actor)

    def begins_to_wait(self, actor: Actor, lock: str, holder: int, moved: bool) -> None:
        """Mark the actor as waiting, or as still waiting."""
        if moved or not actor.waiting:
            for o in self.kernel.on.wait:
                o.wait(lock, holder)
        if moved:
            self.wake_waiters()
        actor.waiting, actor.lock, actor.holder = True, lock, holder

    def yield_turn(self, moved: bool) -> None:
        self.begins_to_yield(moved)
        self.give_way(self.running(), YIELD)

    def yielded(self, moved: bool) -> None:
        self.begins_to_yield(moved)
        actor = self.running()
        actor.reason = YIELD
        self.pass_on(actor)

    def begins_to_yield(self, moved: bool) -> None:
        """Let the actors that wait check again if anything was done since the running actor last yielded."""
        if moved:
            for o in self.kernel.on.wait:
                o.wait("", 0)
            self.wake_waiters()

    def wake_waiters(self) -> None:
        for each in self.actors:
            each.waiting = False

    def hand_over(self, actor: int) -> None:
        self.actors[actor - 1].coroutine.transfer_to(self.running().coroutine)

    def faulted(self, fault: int, level: int, entry: int) -> bool:
        """Handle a fault that the hardware has taken for the access in progress.

        A vCPU whose handler has changed nothing gives way, because another actor must do what it waits for.

        :returns: whether it has given way, so that the fault may be gone
        """
        actor = self.running()
        again = actor.fault == fault and actor.fault_level == level and actor.fault_entry == entry
        actor.fault, actor.fault_level, actor.fault_entry = fault, level, entry
        if again and actor.turns_given < MAX_GIVEN and self.others():
            actor.turns_given += 1
            actor.fault = NO_FAULT
            self.give_way(actor, FAIR)
            return True
        actor.faults += 1
        if self.observer is not None:
            self.observer.faulted(actor)
        self.reached_in_block(actor, "fault", True, actor.faults)
        return False

    def others(self) -> bool:
        """Tell whether another actor is not done. A waiting one may continue: the running actor holds no lock now."""
        for each in self.actors:
            if not each.done and each.number != self.current:
                return True
        return False


def anchor_text(switch: Switch) -> str:
    """Return the anchor of a switch in the syntax of programs."""
    fault = "" if switch.fault == 1 else f" fault={switch.fault}"
    return f"{switch.when} {switch.point} {switch.count}{fault}"
