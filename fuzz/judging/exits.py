# SPDX-License-Identifier: GPL-2.0-only
"""The exit of a process that judges: a mistake of the code under test if that code ran."""

from ..execution.mistakes import CandidateMistakeError
from ..sides.pulse import REFERENCE, position


def check_exit(memory: memoryview, code: int) -> None:
    """Blame kernel code for the exit of its process if that code ran: it called `os._exit`, or code that does.

    :param memory: the memory of the process's `fuzz.sides.pulse.Pulse`
    :param code: its exit code; below 0, a signal ended the process, which nobody is blamed for here
    :raises CandidateMistakeError: it was kernel code
    """
    where = position(memory)
    if code >= 0 and where.side:
        side = "reference" if where.side == REFERENCE else "candidate"
        ended = f"the Python code of the {side} ended its process with exit code {code}, in {where.entry}"
        raise CandidateMistakeError(f"{ended}; it must return or raise an exception")
