# SPDX-License-Identifier: GPL-2.0-only
"""A violation: a rule that one side broke."""

from __future__ import annotations

from reference.machine.granule import Granule

from .guest_pages import GuestPages, Range, guest_pages, merged


class Violation:
    """A rule broken by one side.

    :param checker: name of the rule's checker
    :param function: the kernel function that was running
    :param what: event or entry transition, without addresses
    :param level: table level, -1 if it does not apply
    :param reason: one line for people, with addresses and decoded entries
    :param pages: guest addresses of the pages concerned (and the VM), for matching the two sides
    :param taints: whether later violations in the same program may follow from it
    :param grave: whether it is a finding of its own even after a violation that taints:
        a guest access to a frame that it does not own, a use after free
    :param table: number of the table page concerned, -1 if it does not apply
    :param ruins: whether every later violation on its side, even a grave one, may follow from it: freed memory, or
        memory that never was a table and holds anything, is used as a table
    """

    def __init__(
        self,
        checker: str,
        function: str,
        what: str,
        level: int,
        reason: str,
        pages: frozenset[int] | GuestPages = frozenset(),
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
        self.pages = pages if isinstance(pages, GuestPages) else guest_pages(pages)
        self.taints = taints
        self.grave = grave
        self.table = table
        self.ruins = ruins
        # Filled in by the run. `at`: index of the operation, -1 while the VM is set up. `known`: the known bugs
        # that explain the violation. `after`: earlier violations that a known bug explains and that still stand on
        # the same pages, or anywhere if this violation names neither pages nor a table. `version`: the operation
        # that wrote the contents of the first page.
        self.at = -1
        self.known: tuple[int, ...] = ()
        self.after: tuple[Violation, ...] = ()
        self.version = -1
        # Filled in by the checker: an earlier violation of its side from which this one follows.
        self.follows: Violation | None = None

    @property
    def signature(self) -> str:
        """The checker, kernel function, event or transition, and level; never an address."""
        level = f" L{self.level}" if self.level >= 0 else ""
        return f"{self.checker}: {self.function}: {self.what}{level}"

    def translated_ranges(self, granule: Granule) -> list[Range]:
        """Return the addresses that the entries concerned translate: a page may be the first one of a block."""
        if not 0 <= self.level <= 3:
            return self.pages.ranges
        size = granule.level_size(self.level)
        return merged([(start & -size, (end + size - 1) & -size) for start, end in self.pages.ranges])
