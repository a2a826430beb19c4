# SPDX-License-Identifier: GPL-2.0-only
"""Lines of /init and of the kernel while a program was played, taken apart."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

# The beginning of a remark of /init.
REMARK: Final = "# "
# Beginnings of the last line of a program: it is over; the kernel is.
DONE: Final = "DONE "
PANIC: Final = "PANIC "
# Numbers of operations: when VMs and slots are made, and when they are gone.
CREATION: Final = -1
DESTRUCTION: Final = -2
# The value of an abort that tells the guest the address of its access (FAR_EL1), and the beginning of another one's.
AT_ITS_ADDRESS: Final = "at its address"
AT_ANOTHER: Final = "at 0x"
# The beginning of the model's violation then.
ANOTHER_ADDRESS: Final = "abort at another address"
# First lines of what a kernel says when something is wrong with it.
_COMPLAINT: Final = re.compile(
    r"WARNING: |BUG: |kernel BUG at|Unable to handle kernel|Internal error: |Kernel panic|INFO: task .* blocked"
    r"|rcu: INFO: .*stall|Bad page state|list_(?:add|del) corruption|refcount_t: "
)
# A remark of /init that an operation of the host was not done, or not wholly: there is too little memory left, say. A
# collapse need not be possible.
_HINDERED: Final = re.compile(r"(?:discard|migrate|poison|protect|/sys/kernel/debug/split_huge_pages): ")
_WARNING: Final = re.compile(r"WARNING: (?:CPU: \d+ PID: \d+ )?at (?P<file>\S+) (?P<function>\w+)")
# Since 6.19, with the condition where the kernel keeps that.
_NEW_WARNING: Final = re.compile(r"WARNING: (?:\[.*\] )?(?P<file>\S+:\d+) at (?P<function>\w+)")


@dataclass(frozen=True)
class RealOutcome:
    """The outcome of an operation on the real kernel.

    :param status: as that of `fuzz.sides.outcome.Outcome`; ``unknown``: /init knows no such operation
    :param value: as /init printed it
    """

    status: str
    value: str

    def __str__(self) -> str:
        if self.status == "stuck":
            count = int(self.value or 0)
            return "stuck" + (f" ({count} exits, and no progress)" if count > 0 else "")
        return f"{self.status} {self.value}"


@dataclass
class RealAnswers:
    """All that came of one program.

    :param outcomes: by the number of the operation
    :param said: by the same, the lines that the kernel logged
    :param notes: remarks of /init
    :param tables: KiB of tables that are left of all VMs when they are gone; -1: the kernel does not count them
    :param seconds: that it took
    :param status: how the process ended that played it, 0 for in order
    :param panic: what the kernel said at its end; "": it goes on
    """

    outcomes: dict[int, RealOutcome] = field(default_factory=dict)
    said: dict[int, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    tables: int = -1
    seconds: float = 0.0
    status: int = 0
    panic: str = ""

    @property
    def hindered(self) -> bool:
        """Tell whether the machine could not do all that the program says."""
        return CREATION in self.outcomes or any(map(_HINDERED.match, self.notes))

    def complaints(self, at: int | None = None) -> list[str]:
        """The complaints of the kernel, one line each.

        :param at: during this operation; None: all
        """
        places = [at] if at is not None else sorted(self.said)
        lines = [line for place in places for line in self.said.get(place, ())]
        return [*map(complaint, filter(_COMPLAINT.search, lines)), *([self.panic] if self.panic else [])]


def complaint(line: str) -> str:
    """Return the first line of a complaint without what differs from time to time."""
    match = _WARNING.search(line) or _NEW_WARNING.search(line)
    if match:
        return f"WARNING at {match['file'].rpartition('../')[2]} {match['function']}()"
    return line.strip()


def parse(lines: Iterable[str]) -> RealAnswers:
    """Take the lines of one program apart; what is no line of /init is a remark."""
    answers = RealAnswers()
    for line in lines:
        kind, _, rest = line.partition(" ")
        words = rest.split(" ", 2)
        if kind == "r" and len(words) > 1 and _is_number(words[0]):
            answers.outcomes[int(words[0])] = RealOutcome(words[1], words[2] if len(words) > 2 else "")
        elif kind == "k" and _is_number(words[0]):
            answers.said.setdefault(int(words[0]), []).append(rest.partition(" ")[2])
        elif line.startswith(PANIC):
            answers.panic = rest
        elif line.startswith(DONE):
            status, seconds, tables, *_ = rest.split()
            answers.status, answers.seconds, answers.tables = int(status), float(seconds), int(tables)
        else:
            answers.notes.append(line.removeprefix(REMARK))
    return answers


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdigit()
