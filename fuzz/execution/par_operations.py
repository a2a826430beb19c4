# SPDX-License-Identifier: GPL-2.0-only
"""Par blocks: vCPUs and threads of the host at work, one step of one of them at a time, by the program's schedule.

One program, one interleaving: nothing but the schedule, locks and ends decides who runs.
"""

from functools import partial
from typing import Final

from reference.compiled.annotations import mypyc_attr
from reference.steps import Steps
from reference.stirring import Stirring
from reference.turns import Turns

from ..checkers import CheckerSuite
from ..language.operations import (
    STEPS_OF_HOST,
    ClearLog,
    Concurrent,
    GetLog,
    GuestAccess,
    HostDiscard,
    HostPoison,
    HostUnmap,
    HostWrite,
    HostWriteback,
    Operation,
    Par,
    SetLog,
    SlotCreate,
    SlotDelete,
    SlotMove,
    Switch,
    Threaded,
    actor_name,
    is_host,
    plain,
)
from ..sides.outcome import Outcome
from ..sides.side import Side
from .actors import FAIR, SWITCH, WAIT, Actor, ActorState, Belongings
from .coroutine import Coroutine
from .guest_operations import ANY_SLOT, EITHER, GuestOperations
from .host_operations import HostOperations
from .threads import Threads

# A vCPU whose fault changed nothing so many times, with a step of somebody else between any two, gets nowhere.
MAX_GIVEN: Final = 64
# Between the versions that two accesses of a block write; those that operations write, by their index, are smaller.
VERSION_STEP: Final = 1 << 20
# Points that are counted in the whole block, which no call of kernel code knows.
OF_BLOCK: Final = ("fault", *STEPS_OF_HOST)


@mypyc_attr(allow_interpreted_subclasses=True)
class Onlooker:
    """Follows the actors of a block."""

    def faulted(self, actor: Actor) -> None:
        """An actor has taken a fault, before its handler runs."""

    def switched(self, number: int) -> None:
        """The switch of that number takes place."""

    def called(self, actor: Actor) -> None:
        """A thread of the host is about to call KVM."""

    def stepped(self, actor: Actor, point: str, count: int, after: bool) -> None:
        """A step of a thread of the host begins, or is over; which of its kind it is, from 1."""


class ParOperations(Turns):
    """Runs par blocks, and says whose turn it is.

    :param side: the side that they run on
    :param checkers: told whose events they see
    :param guest: runs the accesses
    :param host: runs the operations of the host
    """

    def __init__(self, side: Side, checkers: CheckerSuite, guest: GuestOperations, host: HostOperations) -> None:
        self.side = side
        self.checkers = checkers
        self.guest = guest
        self.threads = Threads(side, guest, host)
        self.actors: list[Actor] = []
        self.by_cpu: dict[int, Actor] = {}
        self.switches: tuple[Switch, ...] = ()
        self.current = 0
        self.at = 0
        self.taken: set[int] = set()
        self.skipped: list[str] = []
        self.onlooker: Onlooker | None = None
        # Of the block under way, where a port runs: a tree's process has its own.
        self.steps: Steps | None = None

    def watched_by(self, onlooker: Onlooker) -> None:
        """Tell somebody of faults and switches."""
        self.onlooker = onlooker

    def belongings(self) -> list[Belongings]:
        """The belongings of each actor: where its code is, and what checkers know of it."""
        kernel = self.side.kernel
        mine: list[Belongings] = [
            (self.side, ("active", "notifying")),
            (kernel, ("locks", "mmu_shared", "rcu_depth", "vmid", "cpu", "topup_gets")),
            (kernel, ("entry", "cause", "walker", "walker_arg", "place")),
            # Which of the frames of a huge page a release is about: one that the same actor has pinned.
            (self.side.kvm_host, ("pins",)),
            (self.side.host, ("version",)),
            (self.guest.exits, ("status", "address", "injected")),
            *[(each.notified, ("unmapping", "invalidating", "under_way")) for each in self.side.guests],
            *kernel.belongings,
        ]
        if self.steps is not None:
            mine.append((self.steps, ("anchors", "counts")))
        return mine + self.checkers.belongings()

    def run(self, op: Par, at: int) -> Outcome:
        """Run a block; *at* is its index in the program."""
        kernel = self.side.kernel
        self.steps = None if self.side.version.main.RUNS_ELSEWHERE else Steps(self)
        keeper = ActorState(self.belongings())
        before = keeper.values()
        self.begin(op, at, keeper)
        kernel.turns = self.guest.turns = self
        kernel.steps = self.steps
        stirring = None if self.steps is None else Stirring(self.steps)
        if stirring is not None:
            kernel.observe(stirring)
            self.side.pgtable.run_alone(False)
        try:
            actor: Actor | None = self.actors[0]
            while actor is not None:
                self.turn(actor, keeper)
                actor = self.next(actor)
            blocked = [each for each in self.actors if not each.done]
            entry = kernel.entry
        finally:
            for each in self.actors:
                if each.coroutine is not None:
                    each.coroutine.end()
            kernel.turns = self.guest.turns = None
            kernel.steps = None
            if stirring is not None:
                kernel.dismiss(stirring)
                self.side.pgtable.run_alone(True)
            keeper.put(before)
            self.tell(0)
        if blocked:
            # What they wait in, for reports.
            kernel.entry = entry
            return Outcome("deadlock", detail="; ".join([waits_text(each, self.actors) for each in blocked]))
        return self.outcome(op)

    def begin(self, op: Par, at: int, keeper: ActorState) -> None:
        """Make the actors."""
        self.at = at
        self.taken = set()
        self.skipped = []
        self.actors = []
        self.switches = op.switches
        for number, cpu in enumerate(op.cpus, 1):
            accesses = [(index, each) for index, each in enumerate(op.operations) if each.cpu == cpu]
            switches = [(index, each) for index, each in enumerate(op.switches) if each.cpu == cpu]
            actor = Actor(number, cpu, accesses, switches, keeper.fresh())
            actor.coroutine = Coroutine(partial(self.act, actor))
            self.actors.append(actor)
        self.by_cpu = {each.cpu: each for each in self.actors}

    def act(self, actor: Actor) -> None:
        """Do all that an actor has to do; runs in its coroutine."""
        for index, access in actor.accesses:
            actor.last_fault, actor.given = (-1, -1, 0), 0
            at = self.at + index * VERSION_STEP
            if isinstance(access, Threaded):
                self.checkers.actor_begins(access.operation)
                if self.steps is not None:
                    self.steps.call_begins()
                outcome = self.threads.run(access.operation, at)
                if self.steps is not None:
                    self.steps.call_ends()
                self.checkers.actor_ends(access.operation, outcome)
            else:
                self.checkers.actor_begins(access)
                outcome = self.guest.run(access, at)
                self.checkers.actor_ends(access, outcome)
            actor.outcomes[index] = outcome

    def turn(self, actor: Actor, keeper: ActorState) -> None:
        """Run an actor until it gives way or is done."""
        self.current = actor.number
        actor.left = ""
        keeper.exchange(actor.belongings)
        self.tell(actor.number)
        assert actor.coroutine is not None
        try:
            actor.coroutine.resume()
        finally:
            actor.belongings = keeper.values()
        if actor.left != WAIT:
            for other in self.actors:
                other.waiting = False

    def tell(self, number: int) -> None:
        """Say whose events come from here on."""
        kernel = self.side.kernel
        kernel.actor = number
        if self.steps is not None:
            self.steps.turn(number)
        for o in kernel.on["turn"]:
            o.turn(number)

    def next(self, actor: Actor) -> Actor | None:
        """Choose who goes on after an actor has given way or is done; None: nobody can."""
        if actor.left == SWITCH:
            wanted = self.actors[actor.to - 1]
            if not wanted.done:
                wanted.interrupted = actor.number if wanted.is_hardware else 0
                return wanted
        if actor.interrupted:
            # Hardware makes one step, in the middle of what another one does.
            wanted = self.actors[actor.interrupted - 1]
            if not wanted.done and not wanted.waiting:
                return wanted
        first = actor.number
        order = [*self.actors[first:], *self.actors[:first]]
        for each in order:
            if not each.done and not each.waiting:
                return each
        return None

    def outcome(self, op: Par) -> Outcome:
        """The outcome of a block that has come to its end."""
        for number, switch in enumerate(op.switches):
            if number not in self.taken:
                self.skipped.append(f"{actor_name(switch.cpu)} does not come to: {anchor_text(switch)}")
        parts: list[Outcome] = []
        for index, access in enumerate(op.operations):
            part = next(each.outcomes[index] for each in self.actors if index in each.outcomes)
            if depends_on_order(op, access):
                part.predictable = False
            if takes_pages(op):
                part.either = EITHER
            if isinstance(access, GuestAccess) and self.slots_change(op, access):
                part.either = ANY_SLOT
                part.predictable = False
                self.guest.unsettled = self.guest.unsettled or writes(access)
            parts.append(part)
        if takes_pages(op) or writes_twice(op):
            self.guest.unsettled = True
        if takes_logs(op):
            self.threads.host.unsettled = True
        stuck = next((part for part in parts if part.status == "stuck"), None)
        if stuck is not None:
            return Outcome("stuck", 0, stuck.faults)
        return Outcome("ok", parts=parts, detail="; ".join(self.skipped))

    def slots_change(self, op: Par, access: GuestAccess) -> bool:
        """Tell whether slots of an access's VM come, move or go in a block."""
        guest = self.side.guest_of(access.cpu)
        for each in map(plain, op.operations):
            if isinstance(each, (SlotCreate, SlotDelete, SlotMove)):
                if self.side.by_name[each.slot].slot.vm == guest.number:
                    return True
        return False

    # What code that runs calls.

    def running(self) -> Actor:
        """The actor whose turn it is."""
        return self.actors[self.current - 1]

    def anchors(self) -> list[tuple[int, str, bool, int]]:
        actor = self.running()
        return [
            (number, switch.point, switch.when == "after", switch.count)
            for number, switch in actor.switches
            if switch.point not in OF_BLOCK and switch.fault == actor.faults and number not in self.taken
        ]

    def target(self, number: int) -> int:
        return self.by_cpu[self.switches[number].to].number

    def standing(self) -> tuple[int, int, int]:
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
                self.steps.count_anew()
            if self.onlooker is not None:
                self.onlooker.called(actor)

    def step(self, point: str, after: bool) -> None:
        actor = self.running()
        if not actor.is_thread:
            return
        if not after:
            actor.steps[point] = actor.steps.get(point, 0) + 1
        count = actor.steps[point]
        if self.onlooker is not None:
            self.onlooker.stepped(actor, point, count, after)
        when = "after" if after else "before"
        for number, switch in actor.switches:
            if switch.point == point and switch.count == count and switch.when == when and number not in self.taken:
                self.reached(number)

    def reached(self, number: int) -> None:
        actor = self.running()
        switch = self.switches[number]
        self.taken.add(number)
        wanted = self.by_cpu[switch.to]
        if wanted.done:
            self.skipped.append(f"{actor.name} does not switch {anchor_text(switch)}: {wanted.name} is done")
            return
        if self.onlooker is not None:
            self.onlooker.switched(number)
        actor.to = wanted.number
        self.leave(actor, SWITCH)

    def wait(self, lock: str, holder: int, moved: bool) -> None:
        actor = self.running()
        if moved or not actor.waiting:
            for o in self.side.kernel.on["wait"]:
                o.wait(lock, holder)
        if moved:
            for other in self.actors:
                other.waiting = False
        actor.waiting, actor.lock, actor.holder = True, lock, holder
        self.leave(actor, WAIT)

    def faulted(self, fault: int, level: int, entry: int) -> bool:
        """The hardware has taken a fault for the access under way.

        A vCPU whose handler has changed nothing gives way: what it waits for, another one has to do.

        :returns: whether it has given way, so that the fault may be gone
        """
        actor = self.running()
        found = (fault, level, entry)
        again = found == actor.last_fault
        actor.last_fault = found
        if again and actor.given < MAX_GIVEN and self.others():
            actor.given += 1
            actor.last_fault = (-1, -1, 0)
            self.leave(actor, FAIR)
            return True
        actor.faults += 1
        if self.onlooker is not None:
            self.onlooker.faulted(actor)
        for number, switch in actor.switches:
            if switch.point == "fault" and switch.count == actor.faults and number not in self.taken:
                self.reached(number)
        return False

    def others(self) -> bool:
        """Tell whether there is another actor; one that waits may go on, for the one that runs holds no lock now."""
        return any(not each.done and each.number != self.current for each in self.actors)

    def leave(self, actor: Actor, why: str) -> None:
        """Give way; returns when it is this actor's turn again."""
        actor.left = why
        assert actor.coroutine is not None
        actor.coroutine.leave()


def anchor_text(switch: Switch) -> str:
    """The place of a switch, as a program has it."""
    fault = "" if switch.fault == 1 else f" fault={switch.fault}"
    return f"{switch.when} {switch.point} {switch.count}{fault}"


def waits_text(actor: Actor, actors: list[Actor]) -> str:
    """Say what an actor waits for, and who has it."""
    lock = f"the {actor.lock} lock" if actor.lock else "a lock"
    who = f", which {actors[actor.holder - 1].name} has" if actor.holder else ""
    return f"{actor.name} waits for {lock}{who}"


def depends_on_order(op: Par, access: Concurrent) -> bool:
    """Tell whether the value of an operation of a block depends on the order of steps, where all of them are right.

    What is read does where another actor writes anywhere, or takes pages away: places may share a page of the host.
    What the host is told of ages does.
    """
    if isinstance(access, Threaded):
        return True
    others = [each for each in op.operations if each.cpu != access.cpu]
    if access.kind not in ("read", "fetch", "walk"):
        return False
    return any(writes(plain(each)) or is_host(each.cpu) for each in others)


def takes_pages(op: Par) -> bool:
    """Tell whether a thread of the host takes pages away in a block for good, as far as they are there by then."""
    return any(isinstance(plain(each), (HostUnmap, HostPoison)) for each in op.operations)


def writes_twice(op: Par) -> bool:
    """Tell whether contents of pages depend on the order of a block: several write, one of them a host's thread."""
    writers = {each.cpu for each in op.operations if writes(plain(each))}
    return len(writers) > 1 and any(map(is_host, writers))


def writes(op: Operation) -> bool:
    """Tell whether an operation of a block may leave pages with other contents."""
    if isinstance(op, GuestAccess):
        return op.kind in ("write", "clean")
    return isinstance(op, (HostWrite, HostWriteback, HostDiscard))


def takes_logs(op: Par) -> bool:
    """Tell whether dirty logs that are collected behind a block depend on its order."""
    kinds = (GetLog, ClearLog, SetLog, SlotCreate, SlotDelete, SlotMove)
    return any(isinstance(plain(each), kinds) for each in op.operations)
