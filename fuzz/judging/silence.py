# SPDX-License-Identifier: GPL-2.0-only
"""Detection, from another process, of kernel code that does not return; the finding for it."""

from typing import Final

from ..language.program import Program
from ..language.text import headings
from ..processes.child import cpu_seconds
from ..sides.pulse import REFERENCE, Position, position
from .finding import COMMON, REGRESSION, Finding
from .hurry import limit

# Seconds of its own CPU time that a process may spend in kernel code without progress.
# CPU time does not pass faster on a loaded machine.
SECONDS: Final = 10.0
# Seconds between two checks.
LOOK_EVERY: Final = 0.25
WHAT: Final = "does not return"


class Silence:
    """Watches one process that judges.

    :param process: its process id; a child, so the id is not reused meanwhile
    :param memory: the memory that its `fuzz.sides.pulse.Pulse` writes
    :param seconds: upper bound on CPU time without progress, while the session has time (`fuzz.judging.hurry`)

    *limit*: the upper bound at the last check; *spent*: seconds of CPU time of the process at the last check
    """

    def __init__(self, process: int, memory: memoryview, seconds: float) -> None:
        self.process = process
        self.memory = memory
        self.seconds = self.limit = seconds
        self.last: Position | None = None
        self.since = 0.0
        # Seconds of CPU time without progress at the last check.
        self.quiet = 0.0
        self.spent = 0.0

    def look(self) -> Position | None:
        """Return the place where the process is stuck; None: it makes progress, runs no kernel code, or is gone."""
        now = position(self.memory)
        spent = cpu_seconds(self.process)
        if spent is None:
            # Only the upper bound on elapsed time can end it then.
            return None
        self.spent = spent
        if not now.side or now != self.last:
            self.last, self.since = now, spent
        self.quiet = spent - self.since
        self.limit = limit(self.seconds)
        return now if self.quiet >= self.limit else None


def silent_finding(stuck: Position, reference: str, candidate: str, program: Program, seconds: float) -> Finding:
    """Return the finding for kernel code that does not return.

    Both sides run an operation one after the other, the reference first. If the reference
    is stuck, it is wrong too, and the candidate did not get its turn.

    :param stuck: from `Silence.look`
    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    :param program: the program that was judged
    :param seconds: of CPU time without progress
    """
    kind, signature = silent_key(stuck)
    name = reference if kind == COMMON else candidate
    place = stuck.entry + (f", the last walker {stuck.walker}" if stuck.walker else "")
    where = headings(program)[stuck.at + 1]
    reason = f"{name}: no event for {seconds:g} s of CPU time in {place}, at {where}"
    return Finding(kind, signature, reason, stuck.at)


def silent_key(stuck: Position) -> tuple[str, str]:
    """Return class and signature of `silent_finding`."""
    kind = COMMON if stuck.side == REFERENCE else REGRESSION
    return kind, f"progress: {stuck.walker or stuck.entry or 'kernel code'}: {WHAT}"


def is_silent(signature: str) -> bool:
    """Return whether a signature is that of `silent_finding`."""
    return signature.startswith("progress: ") and signature.endswith(f": {WHAT}")


def hangs(signature: str) -> bool:
    """Return whether a signature says that kernel code does not return, in Python or in the C code of a tree."""
    return is_silent(signature) or f": oops {WHAT} in " in signature
