# SPDX-License-Identifier: GPL-2.0-only
"""Stamps: a real kernel does the same as the model, it does not, or nobody could tell."""

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
# What the emulator has no caches and no delays for: "not confirmed" would say too much.
HIDDEN: Final = "the emulator cannot show it"
HIDDEN_RULES: Final = ("dcache", "icache", "tlb", "bbm", "lifetime", "locking")
# The beginning of the reason of an abort with a wrong address: the one that the guest is told.
_TOLD: Final = re.compile(r"the reported address is (0x[0-9a-f]+),")
# What the kernel says when its memory cache is empty.
_EMPTY_CACHE: Final = "kvm_mmu_memory_cache_alloc"


@dataclass(frozen=True)
class Stamp:
    """The word of a real kernel on one finding.

    :param word: one of the four above
    :param why: what it did, in the kernel's own words where it had any
    """

    word: str
    why: str

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def stamp_of(violation: Violation, answers: RealAnswers, differs: bool, operations: int) -> Stamp:
    """The stamp of a violation of the model.

    :param differs: the kernel had another outcome than the model, at that operation
    :param operations: of the program; a violation of that number was seen when the VMs were gone
    """
    at = DESTRUCTION if violation.at == operations else violation.at
    if violation.checker in HIDDEN_RULES:
        return Stamp(HIDDEN, "")
    judge = JUDGES.get(violation.checker)
    return judge(violation, answers, differs, at) if judge else Stamp(INVISIBLE, "")


def stamp_of_absent(checker: str, model: str) -> Stamp:
    """The stamp of a finding that the model of this kernel does not have, where the kernel does as the model says.

    :param checker: the rule that another version breaks
    :param model: name of the model
    """
    if checker in HIDDEN_RULES:
        return Stamp(HIDDEN, f"{model} does not show it either")
    if checker in JUDGES:
        return Stamp(NOT_CONFIRMED, f"nor by {model}, and the two agree")
    return Stamp(INVISIBLE, f"{model} does not show it either")


def stamp_of_cpus(version: Candidate, program: Program, signature: str) -> Stamp | None:
    """The stamp of a finding that the model has where each vCPU has a CPU of its own, and not on the machine's one.

    :param version: the model
    :param program: as it is played
    :returns: None: it has no such finding then
    """
    if program.vm.cpus < 2:
        return None
    found = ModelRun(version, program, one_cpu=False).finish().violations
    return Stamp(HIDDEN, "it has one CPU") if signature in [each.signature for each in found] else None


def progress(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """A guest that hangs."""
    real = answers.outcomes.get(at)
    if real is None:
        return Stamp(INVISIBLE, "the operation was not reached")
    return Stamp(CONFIRMED if real.status == "stuck" else NOT_CONFIRMED, str(real))


def memcache(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """A memory cache that nobody filled: seen where nothing is left over in it."""
    warned = [line for line in answers.complaints(at) if _EMPTY_CACHE in line]
    if warned:
        return Stamp(CONFIRMED, warned[0])
    return Stamp(NOT_CONFIRMED, "no warning: something was left over in the cache")


def contract(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """A warning of the kernel."""
    if violation.what.startswith(ANOTHER_ADDRESS):
        return address(violation, answers.outcomes.get(at))
    if "WARN" not in violation.what:
        return by_outcome(violation, answers, differs, at)
    warned = answers.complaints(at)
    return Stamp(CONFIRMED, warned[0]) if warned else Stamp(NOT_CONFIRMED, "no warning")


def address(violation: Violation, real: RealOutcome | None) -> Stamp:
    """An abort that tells the guest another address than that of its access: the one that the model tells, too."""
    told = _TOLD.match(violation.reason)
    if real is not None and told is not None and real.value.startswith(f"at {told[1]} "):
        return Stamp(CONFIRMED, str(real))
    if real is not None and (real.value == AT_ITS_ADDRESS or real.value.startswith(AT_ANOTHER)):
        return Stamp(NOT_CONFIRMED, str(real))
    return Stamp(INVISIBLE, "our code in the guest accesses memory by its guest addresses")


def by_outcome(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """A wrong outcome, where the kernel has the same one."""
    real = answers.outcomes.get(at)
    if real is None:
        return Stamp(INVISIBLE, "the operation was not reached")
    return Stamp(NOT_CONFIRMED if differs else CONFIRMED, str(real))


def leak(violation: Violation, answers: RealAnswers, differs: bool, at: int) -> Stamp:
    """Table pages that are left, by the kernel's own count."""
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
