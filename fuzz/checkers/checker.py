# SPDX-License-Identifier: GPL-2.0-only
"""The base classes of the checkers."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from reference.compiled.annotations import mypyc_attr
from reference.events import Observer
from reference.machine.descriptor import describe
from reference.machine.walk import READ, Walk, walk

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from ..sides.side import Side
from .places import Places, pages
from .rule import NO_RULE, Rule
from .violation import Violation

AnyChecker = TypeVar("AnyChecker", bound="Checker")
AnyGuestChecker = TypeVar("AnyGuestChecker", bound="GuestChecker")


class Peers:
    """The checkers of a side, each made when it is asked for first: so checkers find those that they build on.

    :param side: the side
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.of_side: dict[type[Checker], Checker] = {}
        # By the number of the VM.
        self.of_guest: list[dict[type[Checker], Checker]] = [{} for _ in side.guests]

    def of(self, kind: type[AnyChecker]) -> AnyChecker:
        """The checker of a class of which the side has one."""
        found = self.of_side.get(kind)
        if found is None:
            found = self.of_side[kind] = kind(self.side, self)
        assert isinstance(found, kind)
        return found

    def at(self, kind: type[AnyGuestChecker], guest: Guest) -> AnyGuestChecker:
        """The checker of a class of which each VM has one."""
        known = self.of_guest[guest.number]
        found = known.get(kind)
        if found is None:
            found = known[kind] = kind(guest, self)
        assert isinstance(found, kind)
        return found

    def each(self, kind: type[AnyGuestChecker]) -> list[AnyGuestChecker]:
        """Return the checkers of a class, one for each VM."""
        return [self.at(kind, guest) for guest in self.side.guests]


@mypyc_attr(allow_interpreted_subclasses=True)
class Checker(Observer):
    """Watches one side and judges it alone.

    Events of the kernel arrive as `Observer` methods; changes of live entries
    as `changed`; translations by CPUs as `translated`; operations as `before_operation` and `after_operation`.
    What it keeps about the fault or call under way is a `reference.belongings.Own`; `turn` puts the actor's in place.

    :param side: the side
    :param peers: the other checkers of it, for one that builds on them
    """

    rule: ClassVar[Rule] = NO_RULE
    # Hears `changed` only while it asks for that (`Shadow.listen`).
    on_demand: ClassVar[bool] = False

    def __init__(self, side: Side, peers: Peers | None = None) -> None:
        # mypyc runs this twice for a subclass that has none of its own; an attribute
        # set right here a second time would never be freed.
        self.set_up(side)

    def set_up(self, side: Side) -> None:
        """Set the attributes that every checker has."""
        self.side = side
        self.kernel = side.kernel
        self.granule = side.granule
        self.found: list[Violation] = []
        # Its VM is one of those that the rule is not for: it hears no `changed`.
        self.nothing_to_judge = False

    def report(
        self,
        what: str,
        level: int,
        reason: str,
        places: frozenset[int] | Places = frozenset(),
        taints: bool = True,
        function: str = "",
        grave: bool = False,
        table: int = -1,
        where: str = "",
        ruins: bool = False,
    ) -> None:
        """Note a violation.

        :param places: addresses of the guest pages concerned; many as `Places`
        :param function: where; by default the walker callback or entry point that ran last
        :param grave: as in `Violation`, like *table* and *ruins*
        :param where: the place in a compiled tree, of what is judged only later; by default that of the event
            under way, or where there is none, that at which the entry concerned was written
        """
        if isinstance(places, frozenset):
            places = pages(places, self.granule.page_size)
        function = function or self.running()
        where = where or self.kernel.place or self.written_at(level, places)
        places, reason = self.located(places, reason)
        if where:
            reason = f"{reason}; at {where}"
        found = Violation(self.rule.name, function, what, level, reason, places, taints, grave, table, ruins)
        self.found.append(found)

    def running(self) -> str:
        """Return the walker callback that ran last in the entry point under way, or the entry point."""
        return self.kernel.walker or self.kernel.entry

    def located(self, places: Places, reason: str) -> tuple[Places, str]:
        """Add to places and reason of a violation which VM they are of, for a checker of one VM."""
        return places, reason

    def written_at(self, level: int, places: Places) -> str:
        """Return the place in a compiled tree at which the entry of the first of some pages was written last.

        What was cut off with a table above it has the place at which that was; "": it is not known.
        """
        return ""

    def text(self, entry: int, level: int) -> str:
        """A table entry, decoded."""
        return describe(entry, level, self.granule)

    def before_operation(self, op: Operation | None) -> None:
        """An operation starts; None: the VM is being set up."""

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        """The operation has returned and nothing runs."""

    def actor_begins(self, op: Operation) -> None:
        """Within a par block, of which `before_operation` has told, an actor begins an operation beside others."""

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        """An actor of a par block has ended its operation."""

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        """An entry that the hardware can reach was written; addresses in bytes."""

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        """A vCPU translated a guest access, or took a fault; or its CPU walked ahead (SPECULATE)."""

    def scan(self) -> None:
        """Look at everything once, after the last operation: a cross-check of what was judged by events."""

    def vm_ending(self, guest: Guest) -> None:
        """A VM is about to end while others go on; its own checkers are told `before_destruction`."""

    def vm_ended(self, guest: Guest) -> None:
        """A VM has ended. Its own checkers are told last, and hear nothing more; those of other VMs are not told."""

    def before_destruction(self) -> None:
        """The tables are about to be destroyed."""

    def crashed(self, outcome: Outcome) -> None:
        """The destruction crashed."""

    def destroyed(self) -> None:
        """The VMs are gone."""

    def dismantle(self) -> None:
        """Cut the references that make cycles; see `CheckerSuite.dismantle`."""


@mypyc_attr(allow_interpreted_subclasses=True)
class GuestChecker(Checker):
    """Judges one VM; places are guest addresses of that VM.

    :param guest: the VM
    :param peers: as in `Checker`
    """

    def __init__(self, guest: Guest, peers: Peers | None = None) -> None:
        super().__init__(guest.side, peers)
        self.set_up_guest(guest)

    def set_up_guest(self, guest: Guest) -> None:
        """Set the attributes that every checker of one VM has; apart for the same reason as `Checker.set_up`."""
        self.guest = guest
        self.vmid = guest.vmid

    def located(self, places: Places, reason: str) -> tuple[Places, str]:
        number = self.guest.number
        return (places.in_vm(number), f"VM {number}: {reason}") if number else (places, reason)

    def written_at(self, level: int, places: Places) -> str:
        if level < 0 or not places.ranges or not self.kernel.last.has_stores():
            return ""
        found = walk(self.kernel.arena, self.guest.regime, places.ranges[0][0], READ)
        ptep = found.ptep
        for at, above, _ in found.tables:
            if at == level:
                ptep = above
        return self.kernel.last.stored(ptep)
