# SPDX-License-Identifier: GPL-2.0-only
"""Stamps: whether a real kernel confirms a finding of the model, does not, or cannot show it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from candidate import Candidate

from ..checkers import Violation
from ..language.program import Program
from .answers import ANOTHER_ADDRESS, AT_ANOTHER, AT_ITS_ADDRESS, DESTRUCTION, RealAnswers, RealOutcome
from .model import ModelRun

CONFIRMED: Final = "confirmed"
NOT_CONFIRMED: Final = "not confirmed"
INVISIBLE: Final = "cannot be seen from user space"
# For rules about caches and delays, which the emulator does not have: "not confirmed" would claim too much.
HIDDEN: Final = "the emulator cannot show it"
HIDDEN_RULES: Final = ("dcache", "icache", "tlb", "bbm", "lifetime", "locking")
# Prefix of the reason of an abort with a wrong address: the address reported to the guest.
_REPORTED: Final = re.compile(r"[a-z ]*(0x[0-9a-f]+),")
# Part of the kernel's warning about an empty memory cache.
_EMPTY_CACHE: Final = "kvm_mmu_memory_cache_alloc"


@dataclass(frozen=True)
class Stamp:
    """The result of a real kernel for one finding.

    :param word: one of the four above
    :param why: what the kernel did, in its own words where it printed any
    """

    word: str
    why: str

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def stamp_of(violation: Violation, answers: RealAnswers, differs: bool, operations: int) -> Stamp:
    """Return the stamp of a violation of the model.

    :param differs: at that operation the kernel's outcome differs from the model's
    :param operations: number of operations; a violation at that number was seen after the VMs were gone
    """
    at = DESTRUCTION if violation.at == operations else violation.at
    if violation.checker in HIDDEN_RULES:
        return Stamp(HIDDEN, "")
    judge = JUDGES.get(violation.checker)
    if judge is None:
        return Stamp(INVISIBLE, "")
    if not answers.reached(at, operations):
        return Stamp(INVISIBLE, "the operation was not reached")
    return judge(violation, answers, differs, at)


def stamp_of_absent(checker: str, model: str) -> Stamp:
    """Return the stamp of a finding that this kernel's model does not have, if the kernel agrees with the model.

    :param checker: the rule that another version breaks
    :param model: name of the model
    """
    if checker in HIDDEN_RULES:
        return Stamp(HIDDEN, f"{model} does not show it either")
    if checker in JUDGES:
        return Stamp(NOT_CONFIRMED, f"nor by {model}, and the two agree")
    return Stamp(INVISIBLE, f"{model} does not show it either")


def stamp_of_cpus(version: Candidate, program: Program, signature: str) -> Stamp | None:
    """Return the stamp of a finding that the model has only if each vCPU has its own CPU, not on the machine's one CPU.

    :param version: the model
    :param program: as played
    :returns: None if there is no such finding in that case either
    """
    if program.vm.cpus < 2:
        return None
    found = ModelRun(version, program, one_cpu=False).finish().violations
    return Stamp(HIDDEN, "it has one CPU") if signature in [each.signature for each in found] else None


def progress(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """Judge a guest that hangs."""
    real = answers.outcomes.get(at)
    if real is None:
        return Stamp(INVISIBLE, "the operation has no outcome")
    return Stamp(CONFIRMED if real.status == "stuck" else NOT_CONFIRMED, str(real))


def memcache(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """Judge an unfilled memory cache, which shows only when no objects are left over in it."""
    warned = [line for line in answers.complaints(at) if _EMPTY_CACHE in line]
    if warned:
        return Stamp(CONFIRMED, warned[0])
    return Stamp(NOT_CONFIRMED, "no warning: the cache still had objects")


def contract(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """Judge a warning of the kernel."""
    if violation.what.startswith(ANOTHER_ADDRESS):
        return address(violation, answers.outcomes.get(at))
    if "WARN" not in violation.what:
        return by_outcome(violation, answers, differs, at)
    warned = answers.complaints(at)
    return Stamp(CONFIRMED, warned[0]) if warned else Stamp(NOT_CONFIRMED, "no warning")


def address(violation: Violation, real: RealOutcome | None) -> Stamp:
    """Judge an abort that reports a wrong address to the guest: the kernel must report the same one as the model."""
    reported = _REPORTED.match(violation.reason)
    if real is not None and reported is not None and real.value.startswith(f"at {reported[1]} "):
        return Stamp(CONFIRMED, str(real))
    if real is not None and (real.value == AT_ITS_ADDRESS or real.value.startswith(AT_ANOTHER)):
        return Stamp(NOT_CONFIRMED, str(real))
    return Stamp(INVISIBLE, "our code in the guest accesses memory by its guest addresses")


def by_outcome(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """Judge a wrong outcome: the kernel must have the same outcome as the model."""
    real = answers.outcomes.get(at)
    if real is None:
        return Stamp(INVISIBLE, "the operation has no outcome")
    return Stamp(NOT_CONFIRMED if differs else CONFIRMED, str(real))


def leak(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """Judge leaked table pages, by the kernel's own count."""
    if answers.tables < 0:
        return Stamp(INVISIBLE, "the kernel does not count its tables")
    if answers.tables:
        return Stamp(CONFIRMED, f"{answers.tables} KiB of tables are left")
    return Stamp(NOT_CONFIRMED, "no table page is left")


JUDGES: Final[dict[str, Callable[[Violation, RealAnswers, bool, int], Stamp]]] = {
    "progress": progress,
    "memcache": memcache,
    "contract": contract,
    "dirty-log": by_outcome,
    "leak": leak,
}
