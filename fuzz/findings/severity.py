# SPDX-License-Identifier: GPL-2.0-only
"""The severity of a finding: its effect on guest and host, the worst first.

Each rule declares the levels of its violations (`fuzz.checkers.rule`); what only the comparison of
the two sides shows stands here. A signature that no rule has is as bad as a broken contract.
"""

from functools import cache
from typing import Final

from ..checkers.registry import rules
from ..checkers.rule import LAST
from ..checkers.severity import MEANINGS, Severity
from .patterns import matches

__all__ = ["MEANINGS", "RULES", "Severity", "severity", "weight"]

# Patterns of signatures, with level and rank within it; the first that fits counts.
RULES: Final[tuple[tuple[str, Severity, int], ...]] = (
    *(grade for rule in rules() for grade in rule.grades()),
    ("map", Severity.DIFFERENCE, 1),
    ("result:*", Severity.DIFFERENCE, 2),
)
UNKNOWN: Final = (Severity.CONTRACT, LAST + 1)


def severity(signature: str) -> Severity:
    """Return the severity of a signature, whichever side shows it."""
    return _rule(signature)[0]


def weight(signature: str) -> tuple[int, int]:
    """Return the sort key of findings of one class: level, then rank within it."""
    return _rule(signature)


@cache
def _rule(signature: str) -> tuple[Severity, int]:
    for pattern, level, rank in RULES:
        if matches(pattern, "", signature):
            return level, rank
    return UNKNOWN
