# SPDX-License-Identifier: GPL-2.0-only
"""The places of a par block at which an actor may give way, in the order in which a run reaches them."""

from collections import Counter
from typing import Final, cast

from reference.events import EVENT_NAMES, Observer

from ..execution.actors import Actor
from ..execution.executor import Executor
from ..execution.scheduler import ScheduleObserver
from ..language.operations import Moment, Point, Switch
from .footprints import Footprints

# Events that are not steps of an actor.
_OURS: Final = ("turn", "wait")


class SwitchPlace:
    """A place that an actor reached.

    :param switch: gives way there to the first of *others*
    :param others: the actors that were not done
    :param at: the number of steps of the actor before it, as in `Footprints.count`; 0 for `RunPlaces`

    *more*: the number of following places that differ from it only in their count
    """

    __slots__ = ("at", "more", "others", "switch")

    def __init__(self, switch: Switch, others: tuple[int, ...], at: int) -> None:
        self.switch = switch
        self.others = others
        self.at = at
        self.more = 0


class PlaceObserver(ScheduleObserver):
    """Notifies `RunPlaces` of faults and switches.

    :param places: is notified
    """

    def __init__(self, places: "RunPlaces") -> None:
        self.places = places

    def faulted(self, actor: Actor) -> None:
        self.places.faulted(actor)

    def switched(self, number: int) -> None:
        self.places.switched(number)

    def called(self, actor: Actor) -> None:
        self.places.called(actor)

    def stepped(self, actor: Actor, point: str, count: int, after: bool) -> None:
        self.places.stepped(actor, point, count, after)


class RunPlaces(Observer):
    """Records the places after the last switch in one run of a program with one block.

    Two places count as one if the same actor causes no event between them.

    :param executor: the executor of the side, before anything has run on it
    """

    def __init__(self, executor: Executor) -> None:
        self.par = executor.par
        self.par.set_observer(PlaceObserver(self))
        self.found: list[SwitchPlace] = []
        self.counts: dict[int, Counter[str]] = {}
        # Actors that did something else since the last recorded place.
        self.acted: set[int] = set()
        executor.side.kernel.observe(self)

    def switched(self, number: int) -> None:
        """Called when a switch takes place. Places before it are dropped."""
        self.found.clear()

    def faulted(self, actor: Actor) -> None:
        """Called when an actor has taken a fault. Counts start from here."""
        self.counts[actor.number] = Counter()
        self.acted.add(actor.number)
        self.note(actor, "after", "fault", actor.faults, 1)

    def called(self, actor: Actor) -> None:
        """Called when a thread of the host calls KVM. Counts start from here."""
        self.counts[actor.number] = Counter()

    def stepped(self, actor: Actor, point: str, count: int, after: bool) -> None:
        """Called when a step of a thread of the host begins or ends."""
        self.acted.add(actor.number)
        self.note(actor, "after" if after else "before", cast(Point, point), count, 1)

    def note(self, actor: Actor, when: Moment, point: Point, count: int, fault: int) -> None:
        """Record a place, unless it is the last one."""
        others = tuple(each.cpu for each in self.par.actors if each is not actor and not each.done)
        if others and (when == "after" or actor.number in self.acted):
            self.add(actor, others, when, point, count, fault)
        if when == "after":
            self.acted.discard(actor.number)

    def add(self, actor: Actor, others: tuple[int, ...], when: Moment, point: Point, count: int, fault: int) -> None:
        """Add a place. Consecutive loads, of which there may be very many, are one place."""
        last = self.found[-1] if self.found and point == "load" else None
        if last is not None and last.others == others:
            first = last.switch
            if first.point == "load" and (first.cpu, first.fault) == (actor.cpu, fault):
                if first.count + last.more + 1 == count:
                    last.more += 1
                    return
        self.found.append(SwitchPlace(Switch(actor.cpu, others[0], when, point, count, fault), others, 0))

    def point(self, point: Point) -> None:
        """Record the places before and after something that the running actor has done."""
        if not self.par.side.kernel.actor:
            return
        actor = self.par.running()
        counts = self.counts.setdefault(actor.number, Counter())
        counts[point] += 1
        if point != "load":
            self.note(actor, "before", point, counts[point], actor.faults)
        self.note(actor, "after", point, counts[point], actor.faults)

    def other(self) -> None:
        """Note that an actor has done something that is no place."""
        if self.par.side.kernel.actor:
            self.acted.add(self.par.side.kernel.actor)

    def load(self, ptep: int, entry: int) -> None:
        self.point("load")

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.point("store")

    def exchanged(self, ptep: int, old: int, new: int) -> None:
        self.no_store("cmpxchg")

    def plain_store(self, ptep: int, old: int, new: int) -> None:
        self.no_store("")

    def no_store(self, instead: str) -> None:
        """Take the last store back: it was a compare-exchange, or a store that does not count."""
        if not self.par.side.kernel.actor:
            return
        actor = self.par.running()
        counts = self.counts[actor.number]
        while self.found and self.found[-1].switch.point == "store" and self.found[-1].switch.cpu == actor.cpu:
            if self.found[-1].switch.count != counts["store"]:
                break
            self.found.pop()
            self.acted.add(actor.number)
        counts["store"] -= 1
        if instead:
            self.point("cmpxchg")
        else:
            self.acted.add(actor.number)

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        self.point("cmpxchg")

    def instruction(self, op: int, operand: int) -> None:
        """Record nothing: an instruction is part of the helper call that follows it."""

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.point("flush")

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        self.point("flush")

    def tlbi_vmid(self, vmid: int) -> None:
        self.point("flush")

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.point("flush")

    def dcache(self, pa: int, size: int) -> None:
        self.point("clean")

    def icache(self, pa: int, size: int) -> None:
        self.point("clean")

    def lock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.point("lock")
        else:
            self.other()

    def unlock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.point("unlock")
        else:
            self.other()

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        self.point("lookup")

    def tags_cleared(self, pfn: int, flagged: bool) -> None:
        # The code has tested a flag of the page, which is no event.
        self.other()
        self.point("tags")


class SwitchPlaces(RunPlaces):
    """Records the places of a run, each with the number of steps before it.

    :param executor: as in `RunPlaces`
    """

    def __init__(self, executor: Executor) -> None:
        # Observes each event before this object does.
        self.footprints = Footprints(executor)
        super().__init__(executor)

    def switched(self, number: int) -> None:
        super().switched(number)
        self.footprints.switch(number)

    def stepped(self, actor: Actor, point: str, count: int, after: bool) -> None:
        # Changes by the host are no events.
        self.footprints.everything()
        super().stepped(actor, point, count, after)

    def add(self, actor: Actor, others: tuple[int, ...], when: Moment, point: Point, count: int, fault: int) -> None:
        at = self.footprints.count(actor.number) - (when == "before")
        self.found.append(SwitchPlace(Switch(actor.cpu, others[0], when, point, count, fault), others, at))


def _other(self: RunPlaces, *_: object) -> None:
    self.other()


for _name in EVENT_NAMES:
    if _name not in _OURS and getattr(RunPlaces, _name) is getattr(Observer, _name):
        setattr(RunPlaces, _name, _other)
