# SPDX-License-Identifier: GPL-2.0-only
"""The rule that a checker holds: its name, its clauses, why it matters, and how bad a violation is."""

from fnmatch import fnmatchcase
from typing import Final

from .severity import Severity

# The default rank: the lowest weight within a level.
LAST: Final = 99


class Clause:
    """One of several statements of a rule.

    :param text: a part of a sentence
    :param patterns: match the signature, after ``name: ``, of each violation that breaks this clause; none: this is
        the general clause, for violations that match no other clause
    """

    def __init__(self, text: str, *patterns: str) -> None:
        self.text = text
        self.patterns = patterns

    def fits(self, rest: str) -> bool:
        """Return whether a pattern matches a violation; *rest*: its signature without the name of the rule."""
        return any(fnmatchcase(rest, pattern) for pattern in self.patterns)


class Rule:
    """The declaration of what a checker holds; checker classes that hold one rule together share the object.

    :param name: the prefix of the signatures of its violations
    :param clauses: the rule's statement, one sentence; or several clauses, one of which has no patterns
    :param why: what a violation does to guest, host or maintainer, one sentence
    :param severity: the level of a violation that matches no pattern of *finer*
    :param rank: the place within that level: a smaller rank weighs more
    :param finer: patterns of a signature after ``name: ``, each with level and rank; the first match counts
    :param reasons: likewise, each with the text that replaces *why* for a matching violation
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
        """The texts of all clauses."""
        return "; ".join([clause.text for clause in self.clauses])

    def broken(self, signature: str) -> str:
        """Return the clause that a violation breaks: the first with a matching pattern, or the one without patterns.

        :param signature: the signature of the violation
        """
        rest = signature.removeprefix(f"{self.name}: ")
        general = next(clause for clause in self.clauses if not clause.patterns)
        return next((clause for clause in self.clauses if clause.fits(rest)), general).text

    def grades(self) -> list[tuple[str, Severity, int]]:
        """Return patterns of whole signatures, with level and rank; the first match counts."""
        found = [(f"{self.name}: {pattern}", severity, rank) for pattern, severity, rank in self.finer]
        return [*found, (f"{self.name}:*", self.severity, self.rank)]

    def reason(self, signature: str) -> str:
        """Return why a violation matters.

        :param signature: the signature of the violation
        """
        fit = (text for pattern, text in self.reasons if fnmatchcase(signature, f"{self.name}: {pattern}"))
        return next(fit, self.why)


# The rule of an observer that judges nothing.
NO_RULE: Final = Rule("checker", "nothing", "it only watches", Severity.DIFFERENCE)
