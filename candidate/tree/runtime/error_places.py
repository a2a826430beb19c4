# SPDX-License-Identifier: GPL-2.0-only
"""The places in a tree that may have made an error in the current operation, from the counts of its code."""

from array import array
from pathlib import Path

from reference.services.errors import NAMES

from ..lines.error_lines import error_lines
from .process import Process


class ErrorPlaces:
    """Compares the counts of a process's code at two moments.

    :param process: it runs the tree
    :param root: the top folder of the tree
    """

    def __init__(self, process: Process, root: Path) -> None:
        self.process = process
        self.root = root
        # The process clears its counters when it begins a program; b"": they are all 0.
        self.before = b""

    def begin(self) -> None:
        """Begin an operation."""
        self.before = self.process.counters()

    def places(self, ret: int) -> list[str]:
        """Return the places, without calls, that name an error and ran in this operation; [] if they are not known.

        :param ret: the error, negated
        """
        name = NAMES.get(-ret)
        after = self.process.counters()
        if name is None or not after:
            return []
        before = self.before or bytes(len(after))
        both = zip(memoryview(after).cast("Q"), memoryview(before).cast("Q"), strict=True)
        counters = array("Q", [max(now - then, 0) for now, then in both]).tobytes()
        try:
            lines = error_lines(str(self.process.library), self.root)
        except (OSError, ValueError):
            return []
        return [line.place for line in lines.ran(name, counters)]
