# SPDX-License-Identifier: GPL-2.0-only
"""Comparison of the outcomes of the model and of the real kernel."""

from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ..language import operations as ops
from ..language.program import DEVICES, Program
from ..language.text import headings
from ..sides.outcome import Outcome
from .answers import ANOTHER_ADDRESS, AT_ANOTHER, CREATION, RealAnswers, RealOutcome
from .model import Expected

# Operations without a result for user space: only their success is compared.
WITHOUT_RESULT: Final = (ops.HostOperation, ops.GuestCache, ops.GuestSetWay, ops.GuestMove, ops.GuestReset)
# The model gives the reason of an error, while the kernel only returns errno.
_SAME_STATUS: Final = {"efault": "error"}


@dataclass(frozen=True)
class OutcomeDifference:
    """An operation whose outcome differs on the real kernel.

    :param at: index of the operation; -1: the creation of VMs and slots
    :param heading: the operation, for messages
    :param model: the outcome of the model
    :param real: the outcome of the kernel; None: the operation was not reached
    """

    at: int
    heading: str
    model: str
    real: RealOutcome | None

    def text(self) -> str:
        """Return one line for the report."""
        return f"{self.heading}: model {self.model}, kernel {self.real or 'did not reach it'}"


def differences(program: Program, expected: Expected, answers: RealAnswers) -> list[OutcomeDifference]:
    """Return the operations for which model and kernel have different outcomes."""
    names = headings(program)
    found: list[OutcomeDifference] = []
    made = answers.outcomes.get(CREATION)
    if made is not None:
        found.append(OutcomeDifference(CREATION, names[0], "ok", made))
    misled = {each.at for each in expected.violations if each.what.startswith(ANOTHER_ADDRESS)}
    for at, (op, outcome) in enumerate(zip(program.operations, expected.outcomes, strict=False)):
        real = answers.outcomes.get(at)
        if real is None or not same(program, op, outcome, real) or not same_fault_address(op, at in misled, real):
            found.append(OutcomeDifference(at, names[at + 1], shown(outcome), real))
        if real is None:
            break
    return found


def same(program: Program, op: ops.Operation, outcome: Outcome, real: RealOutcome) -> bool:
    """Return whether user space sees the same result of an operation on both sides."""
    if isinstance(op, WITHOUT_RESULT):
        return real.status == "ok"
    if _SAME_STATUS.get(outcome.status, outcome.status) != real.status:
        return False
    if real.status != "ok":
        return True
    if isinstance(op, ops.GetLog):
        return isinstance(outcome.value, list) and log_text(outcome.value) == real.value
    if isinstance(op, ops.GuestAccess) and op.kind != "write":
        # The initial contents of device memory are unknown.
        unknown = outcome.value == -1 and backing(program, op.slot) in DEVICES
        return not outcome.predictable or unknown or str(outcome.value) == real.value
    return True


def same_fault_address(op: ops.Operation, misled: bool, real: RealOutcome) -> bool:
    """Return whether model and kernel agree on reporting a wrong address for an aborted access past the address space.

    :param misled: the model reports a wrong address
    """
    if not isinstance(op, ops.GuestOutside) or real.status != "abort":
        return True
    return real.value.startswith(AT_ANOTHER) is misled


def backing(program: Program, name: str) -> str:
    """Return the backing of a slot."""
    return next(slot.backing for slot in program.slots if slot.name == name)


def log_text(log: list[int]) -> str:
    """Return a dirty log in /init's format: words that are not zero, with runs of equal words combined."""
    shown = ["log"]
    first = 0
    for word, run in groupby(log):
        last = first + len(list(run)) - 1
        if word:
            shown.append(f"{first}:{word:x}" if first == last else f"{first}-{last}:{word:x}")
        first = last + 1
    return " ".join(shown)


def shown(outcome: Outcome) -> str:
    """Return an outcome of the model in /init's format."""
    value = log_text(outcome.value) if isinstance(outcome.value, list) else outcome.value
    return f"{outcome.status} {value}" if outcome.status == "ok" else outcome.status
