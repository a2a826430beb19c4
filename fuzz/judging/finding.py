# SPDX-License-Identifier: GPL-2.0-only
"""A finding: one entry of a verdict."""

from dataclasses import dataclass
from typing import Final, TypeAlias

# The classes.
REGRESSION: Final = "regression"
CURED: Final = "cured"
COMMON: Final = "common"
DIVERGENCE: Final = "divergence"

# In order of weight.
CLASSES: Final = (REGRESSION, DIVERGENCE, COMMON, CURED)

# Separates, in the reason of a divergence, the rule that one side breaks at that operation.
WRONG: Final = "; which side is wrong: "

# Class and signature: the identity of a finding.
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry of the verdict on a candidate.

    `fuzz.findings.record.FindingRecord` adds where it was seen.

    :param kind: its class: regression, cured, common or divergence; or crash (`fuzz.findings.found.CRASH`)
    :param signature: checker, kernel function, event, level; together with *kind* the key for deduplication
    :param reason: one line for people
    :param at: index of the operation; -1 at creation, or if unknown; the number of operations at destruction
    :param known: id of the known bug that explains it; "" if none does
    """

    kind: str
    signature: str
    reason: str
    at: int = -1
    known: str = ""

    @property
    def key(self) -> Key:
        """The identity: class and signature."""
        return self.kind, self.signature

    @property
    def title(self) -> str:
        """The identity as text: ``kind signature``."""
        return f"{self.kind} {self.signature}"
