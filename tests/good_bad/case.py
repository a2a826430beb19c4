# SPDX-License-Identifier: GPL-2.0-only
"""A case: a program, a candidate that breaks a rule on it, and a candidate that does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pytest

import candidate
from candidate import Candidate
from fuzz.checkers import Violation
from fuzz.execution.executor import Executor
from fuzz.language.program import Program
from fuzz.language.text import parse
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import AnyTlb, TlbVhe

ORIGINAL: Final = candidate.get("original")
# Violation of the original at every access flag fault (bug R1).
EVERYWHERE: Final = "page-reference: kvm_handle_guest_abort: marked accessed, not held after an access flag fault"


@dataclass(frozen=True)
class Case:
    """A program that distinguishes a broken version from a sound one.

    :param name: name of the test
    :param signature: of the first violation of *bad*
    :param bad: candidate that breaks the rule
    :param good: candidate that breaks no rule
    :param text: the program, without its first line
    """

    name: str
    signature: str
    bad: Candidate
    text: str
    good: Candidate = ORIGINAL

    def first_bad(self) -> str:
        """Return the signature of the first violation of the bad candidate."""
        found = violations(self.bad, self.text)
        return found[0].signature if found else "none"

    def all_good(self) -> list[str]:
        """Return the signatures of the good candidate's violations, except `EVERYWHERE`."""
        found = [violation.signature for violation in violations(self.good, self.text)]
        return found if self.good is not ORIGINAL else [signature for signature in found if signature != EVERYWHERE]


def each(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrize a test: one run for each case, named after it."""
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def broken(pgtable: type[Pgtable] = Pgtable, mmu: type[Mmu] = Mmu, tlb: type[AnyTlb] = TlbVhe) -> Candidate:
    """Return a test candidate that is not registered."""
    return Candidate("broken", pgtable, mmu, "for a test", tlb=tlb)


def violations(version: Candidate, text: str) -> list[Violation]:
    """Return all violations of one side on a program, in order. The text lacks the first line."""
    return all_found(version, parse("s2fuzz 1\n" + text))


def all_found(version: Candidate, program: Program) -> list[Violation]:
    """Return all violations of one side on a program, in order."""
    executor = Executor(version, program)
    try:
        found = executor.create()
        for at in range(len(program.operations)):
            if executor.dead:
                break
            found += executor.step(at)[1]
        return found + executor.destroy()
    finally:
        executor.dismantle()
