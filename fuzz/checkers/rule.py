# SPDX-License-Identifier: GPL-2.0-only
"""The rule that a checker holds: what it is called, what it says, why it matters, how bad a violation is."""

from fnmatch import fnmatchcase
from typing import Final

from .severity import Severity

# The rank of what weighs least within its level.
LAST: Final = 99


class Clause:
    """One of several things that a rule says.

    :param text: a part of a sentence
    :param patterns: of what follows ``name: `` in the signatures of what breaks it; none: what no other clause has
    """

    def __init__(self, text: str, *patterns: str) -> None:
        self.text = text
        self.patterns = patterns

    def fits(self, rest: str) -> bool:
        """Tell whether a pattern is of a violation; *rest*: its signature without the name of the rule."""
        return any(fnmatchcase(rest, pattern) for pattern in self.patterns)


class Rule:
    """Declares what a checker holds; classes of checkers that hold one rule together share the object.

    :param name: what the signatures of its violations begin with
    :param clauses: what it says, one sentence; or several, of which one has no patterns
    :param why: what a violation does to guest, host or maintainer, one sentence
    :param severity: of a violation that no pattern of *finer* fits
    :param rank: place within that level: a smaller one weighs more
    :param finer: patterns of what follows ``name: `` in a signature, with level and rank; the first that fits counts
    :param reasons: likewise, with what such a violation does, where that is not *why*
    """

    def __init__(
        self,
        name: str,
        clauses: str | tuple[Clause, ...],
        why: str,
        severity: Severity,
        rank: int = LAST,
        finer: tuple[tuple[str, Severity, int], ...] = (),
        reasons: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.name = name
        self.clauses = (Clause(clauses),) if isinstance(clauses, str) else clauses
        self.why = why
        self.severity = severity
        self.rank = rank
        self.finer = finer
        self.reasons = reasons

    @property
    def holds(self) -> str:
        """All that it says."""
        return "; ".join([clause.text for clause in self.clauses])

    def broken(self, signature: str) -> str:
        """Say what a violation breaks: the first clause that has a pattern of it, or the one without patterns.

        :param signature: of it
        """
        rest = signature.removeprefix(f"{self.name}: ")
        general = next(clause for clause in self.clauses if not clause.patterns)
        return next((clause for clause in self.clauses if clause.fits(rest)), general).text

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
