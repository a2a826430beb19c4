# SPDX-License-Identifier: GPL-2.0-only
"""A violation: a rule that one side broke."""

from __future__ import annotations

from reference.machine.granule import Granule

from .places import Places, Range, merged, pages


class Violation:
    """A rule broken by one side.

    :param checker: name of the rule's checker
    :param function: the kernel function that was at work
    :param what: event or entry transition, without addresses
    :param level: table level, -1 where none is meant
    :param reason: one line for people, with addresses and decoded entries
    :param places: guest addresses of the pages concerned (and the VM), for matching the two sides
    :param taints: whether later violations in the same program may follow from it
    :param grave: whether it is a finding of its own also after a violation that taints:
        a guest access to a frame that it does not own, a use after free
    :param table: number of the table page concerned, -1 where none is meant
    :param ruins: whether all that comes later on its side may follow from it, also what is grave: something freed, or
        that never was a table, is used as a table, and holds anything
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
        ruins: bool = False,
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
        self.ruins = ruins
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
