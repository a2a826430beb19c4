# SPDX-License-Identifier: GPL-2.0-only
"""The levels of severity: what a violation does to guest and host, worst first.

The order follows what a maintainer would be woken for. Plain Python, because mypyc does not compile enumerations.
"""

from enum import IntEnum
from typing import Final


class Severity(IntEnum):
    """The levels, worst first."""

    ISOLATION = 0
    LIFETIME = 1
    CORRUPTION = 2
    HANG = 3
    STALE = 4
    ACCOUNTING = 5
    CONTRACT = 6
    DIFFERENCE = 7

    @property
    def text(self) -> str:
        """The level's name and its meaning."""
        return f"{self.name.lower()}, {MEANINGS[self]}"


MEANINGS: Final = {
    Severity.ISOLATION: "a guest reaches memory that is not its own, or the tables allow it",
    Severity.LIFETIME: "a table or page is used after it was freed, or will be",
    Severity.CORRUPTION: "guest or user space see wrong data, or lose writes",
    Severity.HANG: "the kernel crashes, or something does not end",
    Severity.STALE: "a CPU may use two translations at once, or one that is gone",
    Severity.ACCOUNTING: "counts or pins are wrong, memory is lost",
    Severity.CONTRACT: "a rule between caller and callee is broken; a wrong warning, error or hint",
    Severity.DIFFERENCE: "nothing that is known to be wrong",
}
