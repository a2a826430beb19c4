# SPDX-License-Identifier: GPL-2.0-only
"""The base classes of the checkers."""

from __future__ import annotations

from typing import ClassVar, Final

from reference.compiled.annotations import mypyc_attr
from reference.events import Observer
from reference.machine.descriptor import describe
from reference.machine.walk import Walk

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from ..sides.side import Side
from .places import Places, pages
from .violation import Violation


@mypyc_attr(allow_interpreted_subclasses=True)
class Checker(Observer):
    """Watches one side and judges it alone.

    Events of the kernel arrive as `Observer` methods; changes of live entries
    as `changed`; what CPUs do as `translated`; operations as `before_operation` and `after_operation`.
    """

    name: ClassVar[str] = "checker"

    def __init__(self, side: Side) -> None:
        # mypyc runs this twice for a subclass that has none of its own, and what is
        # set right here a second time would never be freed.
        self.set_up(side)

    def set_up(self, side: Side) -> None:
        """What every checker has."""
        self.side = side
        self.kernel = side.kernel
        self.granule = side.granule
        self.found: list[Violation] = []

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
    ) -> None:
        """Note a violation.

        :param places: addresses of the guest pages concerned; many as `Places`
        :param function: where; by default the walker callback or entry point that ran last
        :param grave: as in `Violation`, like *table*
        """
        if isinstance(places, frozenset):
            places = pages(places, self.granule.page_size)
        function = function or self.kernel.walker or self.kernel.entry
        if self.kernel.place:
            reason = f"{reason}; at {self.kernel.place}"
        self.found.append(Violation(self.name, function, what, level, reason, places, taints, grave, table))

    def text(self, entry: int, level: int) -> str:
        """A table entry, decoded."""
        return describe(entry, level, self.granule)

    def before_operation(self, op: Operation | None) -> None:
        """An operation starts; None: the VM is being set up."""

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        """The operation has returned and nothing runs."""

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        """An entry that the hardware can reach was written; addresses in bytes."""

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        """A vCPU translated a guest access, or took a fault; or its CPU walked ahead (SPECULATE)."""

    def destroyed(self) -> None:
        """The VMs are gone."""


# Where the number of the VM stands in a place, above any guest address.
VM_SHIFT: Final = 52


@mypyc_attr(allow_interpreted_subclasses=True)
class GuestChecker(Checker):
    """Judges one VM; places are guest addresses of that VM.

    :param guest: the VM
    """

    def __init__(self, guest: Guest) -> None:
        super().__init__(guest.side)
        self.set_up_guest(guest)

    def set_up_guest(self, guest: Guest) -> None:
        """What every checker of one VM has; apart for the reason that `Checker.set_up` is."""
        self.guest = guest
        self.vmid = guest.vmid

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
    ) -> None:
        number = self.guest.number
        if number:
            if isinstance(places, frozenset):
                places = pages(places, self.granule.page_size)
            places = places.moved(number << VM_SHIFT)
            reason = f"VM {number}: {reason}"
        super().report(what, level, reason, places, taints, function, grave, table)
