# SPDX-License-Identifier: GPL-2.0-only
"""Results of operations in words, for traces."""

from typing import Final

from reference.machine.memory import FOREIGN
from reference.services.errors import errno_text

from ..execution.par_operations import VERSION_STEP
from ..language import operations as ops
from ..sides.outcome import Outcome, dirty_text

# Ends of a guest access or a call other than success.
_STATUSES: Final = {
    "io": "no slot has this address: user space must emulate the access",
    "abort": "the guest gets an abort",
    "sigbus": "user space gets SIGBUS, because memory has failed",
    "efault": "user space gets an error: it has no memory there, or may not use it so",
    "stuck": "does not return",
    "deadlock": "deadlock",
    "oops": "the kernel crashes",
    "refused": "unknown: it needs something that is not modelled",
}
_LOADS: Final = {"read": "reads", "fetch": "executes", "walk": "reads"}
_AGES: Final = (ops.HostAge, ops.HostTestAge, ops.TableMkold, ops.TableIsYoung)
_NO_INSTRUCTION: Final = "skipped"
_DONE: Final = "done"


def result_text(op: ops.Operation, outcome: Outcome) -> str:
    """Return the result of an operation with its faults: ``reads what operation 1 wrote, after 1 fault``."""
    if isinstance(op, ops.Par) and outcome.parts:
        inner = [ops.plain(each) for each in op.operations]
        return " | ".join([result_text(each, part) for each, part in zip(inner, outcome.parts, strict=True)])
    text = status_text(op, outcome)
    if not outcome.predictable and text != _DONE:
        text += " (other values are correct too)"
    count = outcome.faults
    return f"{text}, after {count} fault{'' if count == 1 else 's'}" if count else text


def status_text(op: ops.Operation, outcome: Outcome) -> str:
    """Return the result of an operation without its faults."""
    if outcome.status == "error":
        return f"fails: {errno_text(outcome.value)}" if isinstance(outcome.value, int) else "fails"
    if outcome.status != "ok":
        text = _STATUSES[outcome.status]
        why = outcome.value if isinstance(outcome.value, str) else outcome.detail
        return f"{text}: {why}" if why else text
    return value_text(op, outcome.value)


def value_text(op: ops.Operation, value: object) -> str:
    """Return the result of a successful operation."""
    if isinstance(value, list):
        return dirty_text(value)
    if isinstance(op, ops.GuestAccess):
        if value == _NO_INSTRUCTION:
            return "the instruction is skipped"
        if isinstance(value, int) and op.kind in _LOADS:
            return f"{_LOADS[op.kind]} {data_text(value)}"
    if isinstance(op, _AGES):
        return "young" if value else "not young"
    if isinstance(value, str):
        return f"nothing done: {value}"
    return f"{_DONE}, returns {errno_text(value)}" if isinstance(value, int) and value else _DONE


def data_text(version: int) -> str:
    """Return the data that a load sees, given as a version number of the machine's memory."""
    if version == FOREIGN:
        return "what the last owner of the frame left there"
    if not version:
        return "what no operation wrote"
    index, number = divmod(version, VERSION_STEP)
    within = f", access {index + 1} of the block," if index else ""
    return f"what operation {number}{within} wrote"
