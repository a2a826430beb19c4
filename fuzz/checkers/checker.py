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
from .guest_pages import GuestPages, guest_pages
from .rule import NO_RULE, Rule
from .violation import Violation

AnyChecker = TypeVar("AnyChecker", bound="Checker")
AnyGuestChecker = TypeVar("AnyGuestChecker", bound="GuestChecker")


class Peers:
    """The checkers of one side, each created on first request, so that a checker can find its peers.

    :param side: the side
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.of_side: dict[type[Checker], Checker] = {}
        # Indexed by VM number.
        self.of_guest: list[dict[type[Checker], Checker]] = [{} for _ in side.guests]

    def of(self, kind: type[AnyChecker]) -> AnyChecker:
        """Return the checker of a class that has one instance per side."""
        found = self.of_side.get(kind)
        if found is None:
            found = self.of_side[kind] = kind(self.side, self)
        assert isinstance(found, kind)
        return found

    def at(self, kind: type[AnyGuestChecker], guest: Guest) -> AnyGuestChecker:
        """Return a VM's checker of a class that has one instance per VM."""
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
    """A checker: watches one side and judges it alone.

    Kernel events arrive as `Observer` methods, changes of live entries as `changed`, translations by CPUs as
    `translated`, and operations as `before_operation` and `after_operation`.
    State about the fault or call under way is a `reference.per_actor.PerActor`; `turn` switches to the running actor's
    state.

    :param side: the side
    :param peers: the side's other checkers, for a checker that builds on them
    """

    rule: ClassVar[Rule] = NO_RULE
    # `changed` is called only while the checker asks for it (`Shadow.observe`).
    on_demand: ClassVar[bool] = False

    def __init__(self, side: Side, peers: Peers | None = None) -> None:
        # mypyc runs this twice for a subclass without its own __init__. An attribute
        # set right here a second time would never be freed.
        self.set_up(side)

    def set_up(self, side: Side) -> None:
        """Set the attributes that every checker has."""
        self.side = side
        self.kernel = side.kernel
        self.granule = side.granule
        self.found: list[Violation] = []
        # The rule does not apply to this VM, so `changed` is not called.
        self.nothing_to_judge = False

    def report(
        self,
        what: str,
        level: int,
        reason: str,
        pages: frozenset[int] | GuestPages = frozenset(),
        taints: bool = True,
        function: str = "",
        grave: bool = False,
        table: int = -1,
        where: str = "",
        ruins: bool = False,
    ) -> None:
        """Record a violation.

        :param pages: addresses of the guest pages concerned; `GuestPages` where there are many
        :param function: the kernel function; default: the walker callback or entry point that ran last
        :param grave: as in `Violation`, like *table* and *ruins*
        :param where: the source location in a compiled tree, for a violation that is judged later. Default: the
            location of the current event, or without an event the location that wrote the entry concerned
        """
        if isinstance(pages, frozenset):
            pages = guest_pages(pages, self.granule.page_size)
        function = function or self.running()
        where = where or self.kernel.place or self.written_at(level, pages)
        pages, reason = self.located(pages, reason)
        if where:
            reason = f"{reason}; at {where}"
        found = Violation(self.rule.name, function, what, level, reason, pages, taints, grave, table, ruins)
        self.found.append(found)

    def running(self) -> str:
        """Return the last walker callback of the current entry point, or the entry point itself."""
        return self.kernel.walker or self.kernel.entry

    def located(self, pages: GuestPages, reason: str) -> tuple[GuestPages, str]:
        """Add the VM to the pages and the reason of a violation, for a checker of one VM."""
        return pages, reason

    def written_at(self, level: int, pages: GuestPages) -> str:
        """Return the source location in a compiled tree that last wrote the entry of the first page in *pages*.

        For an entry cut off with a table above it, this is the location that cut off the table. "": unknown.
        """
        return ""

    def text(self, entry: int, level: int) -> str:
        """Decode a table entry."""
        return describe(entry, level, self.granule)

    def before_operation(self, op: Operation | None) -> None:
        """Called when an operation starts; None: the VM is being set up."""

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        """Called when the operation has returned and no kernel code runs."""

    def actor_begins(self, op: Operation) -> None:
        """Called when an actor begins an operation in a par block; `before_operation` was called for the block."""

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        """Called when an actor of a par block has ended its operation."""

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        """Called when an entry that the hardware can reach was written; addresses in bytes."""

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        """Called when a vCPU translated a guest access or took a fault, or when its CPU walked ahead (SPECULATE)."""

    def scan(self) -> None:
        """Scan everything once after the last operation, as a cross-check of the event-based judgements."""

    def vm_ending(self, guest: Guest) -> None:
        """Called before one VM of several ends; the VM's own checkers receive `before_destruction` instead."""

    def vm_ended(self, guest: Guest) -> None:
        """Called when a VM has ended, on per-side checkers and then, as the last call, on the VM's own."""

    def before_destruction(self) -> None:
        """Called before the tables are destroyed."""

    def crashed(self, outcome: Outcome) -> None:
        """Called when the destruction crashed."""

    def destroyed(self) -> None:
        """Called when the VMs are gone."""

    def dismantle(self) -> None:
        """Cut the references that form cycles; see `CheckerSuite.dismantle`."""


@mypyc_attr(allow_interpreted_subclasses=True)
class GuestChecker(Checker):
    """A checker that judges one VM; its pages are guest addresses of that VM.

    Events name the tables that they concern by *vmid*; locks, slots and logs, which vCPUs at EL1 share with the others
    of their VM, have *vm_vmid*.

    :param guest: the VM
    :param peers: as in `Checker`
    """

    def __init__(self, guest: Guest, peers: Peers | None = None) -> None:
        super().__init__(guest.side, peers)
        self.set_up_guest(guest)

    def set_up_guest(self, guest: Guest) -> None:
        """Set the attributes that every checker of one VM has; separate for the same reason as `Checker.set_up`."""
        self.guest = guest
        self.vmid = guest.vmid
        self.vm_vmid = guest.vm_vmid

    def located(self, pages: GuestPages, reason: str) -> tuple[GuestPages, str]:
        number = self.guest.number
        return (pages.in_vm(number), f"{self.guest.name}: {reason}") if number else (pages, reason)

    def written_at(self, level: int, pages: GuestPages) -> str:
        if level < 0 or not pages.ranges or not self.kernel.last.has_stores():
            return ""
        found = walk(self.kernel.arena, self.guest.regime, pages.ranges[0][0], READ)
        ptep = found.ptep
        for at, above, _ in found.tables:
            if at == level:
                ptep = above
        return self.kernel.last.stored(ptep)
