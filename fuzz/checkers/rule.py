# SPDX-License-Identifier: GPL-2.0-only
"""The rule that a checker holds: what it is called, what it says, why it matters, how bad a violation is."""

from fnmatch import fnmatchcase
from typing import Final

from .severity import Severity

# The rank of what weighs least within its level.
LAST: Final = 99


class Rule:
    """Declares what a checker holds; classes of checkers that hold one rule together share the object.

    :param name: what the signatures of its violations begin with
    :param holds: the rule, one sentence
    :param why: what a violation does to guest, host or maintainer, one sentence
    :param severity: of a violation that no pattern of *finer* fits
    :param rank: place within that level: a smaller one weighs more
    :param finer: patterns of what follows ``name: `` in a signature, with level and rank; the first that fits counts
    :param reasons: likewise, with what such a violation does, where that is not *why*
    """

    def __init__(
        self,
        name: str,
        holds: str,
        why: str,
        severity: Severity,
        rank: int = LAST,
        finer: tuple[tuple[str, Severity, int], ...] = (),
        reasons: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.name = name
        self.holds = holds
        self.why = why
        self.severity = severity
        self.rank = rank
        self.finer = finer
        self.reasons = reasons

    def grades(self) -> list[tuple[str, Severity, int]]:
        """Patterns of whole signatures, with level and rank; the first that fits counts."""
        found = [(f"{self.name}: {pattern}", severity, rank) for pattern, severity, rank in self.finer]
        return [*found, (f"{self.name}:*", self.severity, self.rank)]

    def reason(self, signature: str) -> str:
        """Say why a violation matters.

        :param signature: of it
        """
        fit = (text for pattern, text in self.reasons if fnmatchcase(signature, f"{self.name}: {pattern}"))
        return next(fit, self.why)


# What an observer has that judges nothing.
NO_RULE: Final = Rule("checker", "nothing", "it only watches", Severity.DIFFERENCE)
