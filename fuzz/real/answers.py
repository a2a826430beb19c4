# SPDX-License-Identifier: GPL-2.0-only
"""Parser for the lines that /init and the kernel print while a program is played."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_NUMBER: Final = re.compile(r"-?[0-9]+")
# Prefix of a remark of /init.
REMARK: Final = "# "
# Prefixes of the last line of a program: the program ended; the kernel panicked.
DONE: Final = "DONE "
PANIC: Final = "PANIC "
# Status, seconds, KiB of tables, taint.
_ENDED: Final = re.compile(rf"{DONE}(-?[0-9]+) ([0-9.]+) (-?[0-9]+) -?[0-9]+")
# Operation numbers for the creation of VMs and slots, and for their destruction.
CREATION: Final = -1
DESTRUCTION: Final = -2
# Value of an abort that reports the address of its access (FAR_EL1) to the guest, and prefix for another address.
AT_ITS_ADDRESS: Final = "at its address"
AT_ANOTHER: Final = "at 0x"
# Prefix of the corresponding violation of the model.
ANOTHER_ADDRESS: Final = "abort at another address"
# First lines of kernel messages that report an error.
_COMPLAINT: Final = re.compile(
    r"WARNING: |BUG: |kernel BUG at|Unable to handle kernel|Internal error: |Kernel panic|INFO: task .* blocked"
    r"|rcu: INFO: .*stall|Bad page state|list_(?:add|del) corruption|refcount_t: "
)
# A remark of /init that an operation of the host failed completely or partly, for example for lack of memory. A
# collapse is not included, since it may legitimately fail.
_FAILED: Final = re.compile(r"(?:discard|migrate|poison|protect|/sys/kernel/debug/split_huge_pages): ")
_WARNING: Final = re.compile(r"WARNING: (?:CPU: \d+ PID: \d+ )?at (?P<file>\S+) (?P<function>\w+)")
# Format since 6.19, with the condition if the kernel keeps it.
_NEW_WARNING: Final = re.compile(r"WARNING: (?:\[.*\] )?(?P<file>\S+:\d+) at (?P<function>\w+)")


@dataclass(frozen=True)
class RealOutcome:
    """The outcome of an operation on the real kernel.

    :param status: as in `fuzz.sides.outcome.Outcome`; ``unknown``: /init does not know the operation
    :param value: as printed by /init
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
    """All results of one program.

    :param outcomes: outcomes by operation number
    :param kernel_log: lines that the kernel logged, by operation number
    :param notes: remarks of /init
    :param tables: KiB of tables left after all VMs are gone; -1: the kernel does not count them
    :param seconds: duration
    :param status: exit status of the process that played it, 0 for success
    :param panic: last message of the kernel; "": it did not panic
    """

    outcomes: dict[int, RealOutcome] = field(default_factory=dict)
    kernel_log: dict[int, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    tables: int = -1
    seconds: float = 0.0
    status: int = 0
    panic: str = ""

    @property
    def incomplete(self) -> bool:
        """Return whether the machine failed to do everything that the program specifies."""
        return CREATION in self.outcomes or any(map(_FAILED.match, self.notes))

    def complaints(self, at: int | None = None) -> list[str]:
        """Return the complaints of the kernel, one line each.

        :param at: only those during this operation, which was reached; None: all
        """
        places = [at] if at is not None else sorted(self.kernel_log)
        lines = [line for place in places for line in self.kernel_log.get(place, ())]
        # The operation during which the kernel panics has no outcome.
        panics = self.panic and at not in self.outcomes
        return [*map(complaint, filter(_COMPLAINT.search, lines)), *([self.panic] if panics else [])]

    def reached(self, at: int, operations: int) -> bool:
        """Return whether an operation was played; the kernel may have panicked during it.

        :param at: number of the operation, or `DESTRUCTION`
        :param operations: number of operations of the program
        """
        done = max((place for place in self.outcomes if place >= 0), default=-1) + 1
        if at == DESTRUCTION:
            return done == operations
        return at < done or (at == done and bool(self.panic or at in self.kernel_log))


def complaint(line: str) -> str:
    """Return the first line of a complaint without the parts that vary between runs."""
    match = _WARNING.search(line) or _NEW_WARNING.search(line)
    if match:
        return f"WARNING at {match['file'].rpartition('../')[2]} {match['function']}()"
    return line.strip()


def parse(lines: Iterable[str]) -> RealAnswers:
    """Parse the lines of one program; a line that is not in /init's format counts as a remark."""
    answers = RealAnswers()
    for line in lines:
        kind, _, rest = line.partition(" ")
        words = rest.split(" ", 2)
        ended = _ENDED.match(line)
        if kind == "r" and len(words) > 1 and _NUMBER.fullmatch(words[0]):
            answers.outcomes[int(words[0])] = RealOutcome(words[1], words[2] if len(words) > 2 else "")
        elif kind == "k" and _NUMBER.fullmatch(words[0]):
            answers.kernel_log.setdefault(int(words[0]), []).append(rest.partition(" ")[2])
        elif line.startswith(PANIC):
            answers.panic = rest
        elif ended:
            answers.status, answers.seconds, answers.tables = int(ended[1]), float(ended[2]), int(ended[3])
        else:
            answers.notes.append(line.removeprefix(REMARK))
    return answers
