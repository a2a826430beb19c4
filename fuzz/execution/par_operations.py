# SPDX-License-Identifier: GPL-2.0-only
"""Par blocks: vCPUs and host threads run at once, one step of one of them at a time, by the program's schedule."""

from functools import partial
from typing import Final

from reference.compiled.annotations import mypyc_attr
from reference.progress_observer import ProgressObserver
from reference.steps import Steps

from ..checkers import CheckerSuite
from ..language.operations import GuestAccess, Par, Threaded, actor_name
from ..sides.outcome import Outcome
from ..sides.side import Side
from .actors import NO_FAULT, Actor, ActorState
from .coroutine import Coroutine
from .guest_operations import GuestOperations
from .host_operations import HostOperations
from .order import depends_on_order
from .scheduler import Scheduler, anchor_text
from .threads import Threads
from .unsettled import ANY_SLOT, UnsettledPages

# Distance of the versions that two accesses of a block write. Versions that operations write, by their index, are
# smaller.
VERSION_STEP: Final = 1 << 20


@mypyc_attr(allow_interpreted_subclasses=True)
class ParOperations(Scheduler):
    """Runs par blocks.

    :param side: the side that they run on
    :param checkers: notified of the actor whose events follow
    :param guest: runs the accesses
    :param host: runs the operations of the host
    :param unsettled: records the pages that depend on the order of a block
    """

    def __init__(
        self,
        side: Side,
        checkers: CheckerSuite,
        guest: GuestOperations,
        host: HostOperations,
        unsettled: UnsettledPages,
    ) -> None:
        super().__init__(side)
        self.unsettled = unsettled
        self.checkers = checkers
        self.guest = guest
        self.threads = Threads(side, guest, host)
        self.at = 0

    def run(self, op: Par, at: int) -> Outcome:
        """Run a block; *at* is its index in the program."""
        kernel = self.kernel
        before = ActorState(self.side, self.guest.accesses.exits)
        self.begin(op, at, before)
        self.unsettled.begin(op)
        self.steps = None if self.side.version.main.RUNS_ELSEWHERE else Steps(self)
        kernel.turns = self.guest.accesses.turns = self
        kernel.steps = self.steps
        observer = None if self.steps is None else ProgressObserver(self.steps)
        if observer is not None:
            kernel.observe(observer)
            self.side.pgtable.run_alone(False)
        # The entry point in which code crashed or waits, for reports.
        entry = ""
        try:
            self.actors[0].state.restore()
            self.begin_turn(self.actors[0])
            self.take_turns()
            blocked = [each for each in self.actors if not each.done]
            if blocked:
                entry = kernel.entry
        except BaseException:
            entry = kernel.entry
            raise
        finally:
            for each in self.actors:
                each.coroutine.end()
            kernel.turns = self.guest.accesses.turns = None
            kernel.steps = None
            if observer is not None:
                kernel.dismiss(observer)
                self.side.pgtable.run_alone(True)
            before.restore()
            kernel.entry = entry or kernel.entry
            self.announce_turn(0)
        if blocked:
            return Outcome("deadlock", detail="; ".join([waits_text(each, self.actors) for each in blocked]))
        return self.outcome(op)

    def begin(self, op: Par, at: int, before: ActorState) -> None:
        """Create the actors, each with a copy of the state *before* the block."""
        self.at = at
        self.taken = [False] * len(op.switches)
        self.skipped = []
        self.actors = []
        self.switches = op.switches
        numbers = {cpu: number for number, cpu in enumerate(op.actors, 1)}
        for number, cpu in enumerate(op.actors, 1):
            accesses = [(index, each) for index, each in enumerate(op.operations) if each.cpu == cpu]
            switches = [(index, each) for index, each in enumerate(op.switches) if each.cpu == cpu]
            coroutine = Coroutine(partial(self.act, number - 1))
            self.actors.append(Actor(number, cpu, accesses, switches, numbers, before.copy(), coroutine))
        self.by_number = {each.cpu: each for each in self.actors}

    def dismantle(self) -> None:
        """Cut the reference cycles; see `fuzz.sides.side.Side.dismantle`."""
        self.actors.clear()
        self.by_number.clear()
        self.steps = None

    def act(self, at: int) -> None:
        """Run all operations of an actor, in its coroutine.

        :param at: its index in *actors*
        """
        actor = self.actors[at]
        for index, access in actor.accesses:
            actor.fault, actor.turns_given = NO_FAULT, 0
            version = self.at + index * VERSION_STEP
            if isinstance(access, Threaded):
                self.checkers.actor_begins(access.operation)
                outcome = self.threads.run(access.operation, version)
                self.checkers.actor_ends(access.operation, outcome)
            else:
                self.checkers.actor_begins(access)
                outcome = self.guest.run(access, version)
                self.checkers.actor_ends(access, outcome)
            actor.outcomes[index] = outcome

    def outcome(self, op: Par) -> Outcome:
        """Return the outcome of a block that has ended."""
        for number, switch in enumerate(op.switches):
            if not self.taken[number]:
                self.skipped.append(f"{actor_name(switch.cpu)} never reaches: {anchor_text(switch)}")
        parts: list[Outcome] = []
        for index, access in enumerate(op.operations):
            part = next(each.outcomes[index] for each in self.actors if index in each.outcomes)
            if depends_on_order(op, access):
                part.predictable = False
            if isinstance(access, GuestAccess) and self.unsettled.slots_change(access):
                part.either = ANY_SLOT
                part.predictable = False
            parts.append(part)
        self.unsettled.end(op)
        stuck = next((part for part in parts if part.status == "stuck"), None)
        if stuck is not None:
            return Outcome("stuck", 0, stuck.faults)
        return Outcome("ok", parts=parts, detail="; ".join(self.skipped))


def waits_text(actor: Actor, actors: list[Actor]) -> str:
    """Describe the lock that an actor waits for and its holder."""
    lock = f"the {actor.lock} lock" if actor.lock else "a lock" if actor.holder else "another actor to wake it"
    who = f", which {actors[actor.holder - 1].name} holds" if actor.holder else ""
    return f"{actor.name} waits for {lock}{who}"
