# SPDX-License-Identifier: GPL-2.0-only
"""What a checker is, and what it reports."""

from __future__ import annotations

from typing import ClassVar, Final

from reference.events import Observer
from reference.machine.descriptor import describe
from reference.machine.granule import Granule
from reference.machine.walk import Walk
from reference.mypyc import mypyc_attr

from ..execution.guest import Guest
from ..execution.side import Side
from ..language.operations import Operation
from .places import Places, Range, merged, pages


class Outcome:
    """What guest and user space saw of an operation.

    :param status: ``ok``, ``io``, ``abort`` (injected), ``sigbus``, ``error``, ``stuck``, ``oops``
    :param value: version read, 1 for young, errno, a dirty log's words of 64 pages: what the status goes with
    :param faults: taken on the way; cost, not result
    :param predictable: whether the architecture says which version a load sees
    :param detail: of an oops, for people: the exception's message and where it was
    """

    def __init__(
        self, status: str, value: object = 0, faults: int = 0, predictable: bool = True, detail: str = ""
    ) -> None:
        self.status = status
        self.value = value
        self.faults = faults
        self.predictable = predictable
        self.detail = detail

    def same_as(self, other: Outcome) -> bool:
        """Whether guest and user space cannot tell the two apart."""
        if self.status != other.status:
            return False
        return self.value == other.value or not self.predictable or not other.predictable

    def value_text(self) -> str:
        """The value for people; a dirty log as ranges of pages of its slot."""
        return dirty_text(self.value) if isinstance(self.value, list) else str(self.value)

    def __str__(self) -> str:
        return f"{self.status} {self.value_text()}"


def dirty_text(words: list[int]) -> str:
    """``dirty pages 0-3, 17``: the pages of a bitmap, 64 a word."""
    bits = int.from_bytes(b"".join(word.to_bytes(8, "little") for word in words), "little")
    ranges: list[str] = []
    first = 0
    while bits:
        clear = (bits & -bits).bit_length() - 1
        first += clear
        bits >>= clear
        pages = (~bits & (bits + 1)).bit_length() - 1
        ranges.append(str(first) if pages == 1 else f"{first}-{first + pages - 1}")
        first += pages
        bits >>= pages
    if not ranges:
        return "no dirty page"
    single = len(ranges) == 1 and "-" not in ranges[0]
    return f"dirty page{'' if single else 's'} {', '.join(ranges)}"


class Violation:
    """A rule broken by one side.

    :param checker: name of the rule's checker
    :param function: the kernel function that was at work
    :param what: event or entry transition, without addresses
    :param level: table level, -1 where none is meant
    :param reason: one line for people, with addresses and decoded entries
    :param places: guest addresses of the pages concerned (and the VM), for matching the two sides
    :param taints: whether what is found later in the same program may follow from it
    :param grave: whether it is a finding of its own also after a violation that taints:
        a guest access to a frame that it does not own, a use after free
    :param table: number of the table page concerned, -1 where none is meant
    """

    def __init__(
        self,
        checker: str,
        function: str,
        what: str,
        level: int,
        reason: str,
        places: frozenset[int] | Places = frozenset(),
        taints: bool = True,
        grave: bool = False,
        table: int = -1,
    ) -> None:
        self.checker = checker
        self.function = function
        self.what = what
        self.level = level
        self.reason = reason
        self.places = places if isinstance(places, Places) else pages(places)
        self.taints = taints
        self.grave = grave
        self.table = table
        # Filled in by the run: index of the operation, -1 while the VM is set up; which entries of the
        # known bugs explain it; earlier violations that such entries explain and that still stand on
        # its pages, or (where it names neither pages nor a table) anywhere; and which operation wrote
        # the contents of the first of its pages.
        self.at = -1
        self.known: tuple[int, ...] = ()
        self.after: tuple[Violation, ...] = ()
        self.version = -1

    @property
    def signature(self) -> str:
        """Checker, kernel function, event or transition, level: never an address."""
        level = f" L{self.level}" if self.level >= 0 else ""
        return f"{self.checker}: {self.function}: {self.what}{level}"

    def reach(self, granule: Granule) -> list[Range]:
        """The addresses that the entries concerned translate: a place may be the first page of a block."""
        if not 0 <= self.level <= 3:
            return self.places.ranges
        size = granule.level_size(self.level)
        return merged([(start & -size, (end + size - 1) & -size) for start, end in self.places.ranges])


@mypyc_attr(allow_interpreted_subclasses=True)
class Checker(Observer):
    """Watches one side and judges it alone.

    Events of the kernel arrive as `Observer` methods; changes of live entries
    as `changed`; what CPUs do as `translated`; operations as `begin` and `quiet`.
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

    def begin(self, op: Operation | None) -> None:
        """An operation starts; None: the VM is being set up."""

    def quiet(self, op: Operation | None, outcome: Outcome) -> None:
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
