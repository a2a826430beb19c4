# SPDX-License-Identifier: GPL-2.0-only
"""The severity of a finding: its effect on guest and host, the worst first.

Each rule declares the levels of its violations (`fuzz.checkers.rule`). This module adds the signatures that only the
comparison of the two sides produces. A signature without a rule counts as a broken contract.
"""

from functools import cache
from typing import Final

from ..checkers.registry import rules
from ..checkers.rule import LAST
from ..checkers.severity import MEANINGS, Severity
from .patterns import matches

__all__ = ["MEANINGS", "RULES", "Severity", "severity", "weight"]

# Patterns of signatures, each with a level and a rank within it; the first match counts.
RULES: Final[tuple[tuple[str, Severity, int], ...]] = (
    *(grade for rule in rules() for grade in rule.grades()),
    ("map", Severity.DIFFERENCE, 1),
    ("result:*", Severity.DIFFERENCE, 2),
    ("VTCR_EL2", Severity.DIFFERENCE, 3),
)
UNKNOWN: Final = (Severity.CONTRACT, LAST + 1)


def severity(signature: str) -> Severity:
    """Return the severity of a signature, regardless of the side that shows it."""
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
