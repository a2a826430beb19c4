# SPDX-License-Identifier: GPL-2.0-only
"""Tags of another owner that a guest with MTE can read: the guest of a real kernel examines them itself.

Before VMs are created, another process tags most of the free memory, and exits (native/tags.c). A page whose tags
the kernel clears has none when the guest looks; a page that the kernel forgets has those of that process.
"""

from typing import Final

from ..checkers import Violation
from ..checkers.guest_pages import GuestPages, ipa_of, vm_of
from ..checkers.tags import ClearedTags
from ..language.program import HUGE_SHIFT, Program
from .answers import RealAnswers, parse
from .session import RealSession
from .stamp import CONFIRMED, INVISIBLE, NOT_CONFIRMED, Stamp
from .translate import Played

RULE: Final = ClearedTags.rule.name
# The outcome of looking at pages without tags.
NONE: Final = "none"


def leave_line(program: Program) -> str:
    """Return the line that makes /init leave tags in free memory, and in free hugetlb pages of the program's sizes."""
    shifts = sorted({HUGE_SHIFT[slot.backing] for slot in program.slots if slot.backing in HUGE_SHIFT})
    return " ".join(["o", *map(str, shifts)])


def look_lines(violation: Violation, program: Program) -> list[str]:
    """Return the lines that make guests look at the tags of a violation's pages, one for each range.

    :param program: as played
    :returns: empty if the violation is not about pages that a guest got
    """
    if violation.checker != RULE or not isinstance(violation.pages, GuestPages):
        return []
    return [
        f"T {vm_of(start) * program.vm.cpus} {ipa_of(start):#x} {end - start:#x}"
        for start, end in violation.pages.ranges
    ]


def up_to(part: Played, at: int) -> tuple[str, ...]:
    """Return the lines of a program up to and including an operation.

    :param at: index of the operation; -1: only the lines that create VMs and slots
    """
    return part.lines[: 1 + len(part.program.slots) + at + 1]


def stamps(session: RealSession, part: Played, violations: list[Violation]) -> list[tuple[Violation, Stamp]]:
    """Return a stamp for each violation of the rule.

    :param session: replays the program up to each violation, on a fresh machine each time
    :param violations: violations of the model
    :raises fuzz.real.errors.RealError: QEMU died or does not answer
    """
    return [(each, look(session, part, each)) for each in violations if each.checker == RULE]


def look(session: RealSession, part: Played, violation: Violation) -> Stamp:
    """Return the stamp of a violation: guests look after the operation at which it was seen."""
    lines = look_lines(violation, part.program)
    if not lines:
        return Stamp(INVISIBLE, "no guest of ours sets tags")
    session.start()
    answers = parse(session.play([leave_line(part.program), *up_to(part, violation.at), *lines]))
    return judged(answers, range(violation.at + 1, violation.at + 1 + len(lines)))


def judged(answers: RealAnswers, places: range) -> Stamp:
    """Return the stamp that results from looks.

    :param places: operation numbers of the looks
    """
    seen = [answers.outcomes.get(at) for at in places]
    for outcome in seen:
        if outcome is not None and outcome.status == "ok" and outcome.value != NONE:
            return Stamp(CONFIRMED, f"the guest reads {outcome.value}, left by another owner")
    for outcome in seen:
        if outcome is None or outcome.status != "ok":
            return Stamp(INVISIBLE, f"the guest could not look: {outcome or 'that was not reached'}")
    return Stamp(NOT_CONFIRMED, "the guest reads no tags, although most of the memory had some")
