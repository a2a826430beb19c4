# SPDX-License-Identifier: GPL-2.0-only
"""The exit of a process that judges: a mistake of the code under test if that code ran."""

from ..execution.mistakes import CandidateMistakeError
from ..sides.pulse import REFERENCE, position


def exit_mistake(memory: memoryview, code: int) -> str:
    """Return the mistake of kernel code that ended its process: it called `os._exit`, or code that does.

    :param memory: the memory of the process's `fuzz.sides.pulse.Pulse`
    :param code: its exit code; below 0, a signal ended the process, which nobody is blamed for here
    :returns: a text for `CandidateMistakeError`; "": no kernel code ran
    """
    where = position(memory)
    if code < 0 or not where.side:
        return ""
    side = "reference" if where.side == REFERENCE else "candidate"
    ended = f"the Python code of the {side} ended its process with exit code {code}, in {where.entry}"
    return f"{ended}; it must return or raise an exception"


def check_exit(memory: memoryview, code: int) -> None:
    """Blame kernel code for the exit of its process if that code ran; parameters as in `exit_mistake`.

    :raises CandidateMistakeError: it was kernel code
    """
    if mistake := exit_mistake(memory, code):
        raise CandidateMistakeError(mistake)
