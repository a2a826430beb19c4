# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz explore``: every schedule of a par block, or of all blocks of a small universe."""

import textwrap
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from ...exit_codes import FINE, NO_VERDICT, WORSE
from ...processes.signals import exit_code
from ..command import CLASSES, Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import add_versions
from ..parser import Once, Parser
from ..values import seconds, whole

if TYPE_CHECKING:
    from candidate import Candidate

    from ...exploring.exploring import ExplorationResult

MOST: Final = 8
_ABOUT: Final = """\
Judge every schedule of a program's par block with at most K preemptions. Report how
many there were and which findings they show.

A preemption is a switch at a place that a vCPU of the candidate reaches. vCPUs that
wait, or are done, yield without one. The vCPUs begin in each possible order; switches
that the block itself has are ignored. Schedules that differ only in the order of
independent steps are judged once (--no-reduction: each).
"""
_EXIT_CODES: Final = """\
exit codes:
    0  no schedule shows a regression or a divergence
    1  at least one schedule does
    2  bad usage or input; one line on stderr gives the place and a remedy
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict available: the program needs something that is not modelled, or a
       process cannot be started, or is killed from outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM; the findings so far are printed
  141  the reader closed the output
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz explore``."""
    parser.add_argument("program", metavar="PROGRAM", nargs="?", help="a program with one par block")
    universe = "instead: all programs of N operations (1 to 4) on two pages, the last one a block of two accesses"
    parser.add_argument("--length", action=Once, type=length, metavar="N", help=universe)
    add_versions(parser, "the version under test (from the program's comments)", comments=True)
    most = f"maximum number per schedule, 0 to {MOST} (%(default)s)"
    parser.add_argument("--preemptions", action=Once, type=preemptions, default=1, metavar="K", help=most)
    apart = "judge each schedule, even if another one differs only in the order of independent steps"
    parser.add_argument("--no-reduction", action="store_true", help=apart)
    limit = "time limit, in seconds (none)"
    parser.add_argument("--seconds", action=Once, type=seconds, metavar="N", help=limit)


def preemptions(text: str) -> int:
    """Parse the value of ``--preemptions``."""
    return whole(text, 0, MOST)


def length(text: str) -> int:
    """Parse the value of ``--length``."""
    from ...exploring.universe import MOST as LONGEST

    return whole(text, 1, LONGEST)


def explore(arguments: Namespace) -> int:
    """Explore one program, or all programs of a length.

    :raises BadInputError: the program cannot be read, or has no block or several; both arguments or neither are given;
        no candidate is named
    :raises candidate.UnknownCandidateError: no version with this name
    """
    import candidate

    from ...exploring.exploring import Explorer, block_of
    from ...exploring.universe import explore_all
    from ...language.program import ProgramError
    from ...reports.report import plural
    from ..inputs import read_given

    if (arguments.program is None) == (arguments.length is None):
        raise BadInputError("explore takes a program or --length; give one of them")
    given = None if arguments.program is None else read_given(arguments.program)
    most, reduction = arguments.preemptions, not arguments.no_reduction
    start = time.monotonic()

    def out_of_time() -> bool:
        return arguments.seconds is not None and time.monotonic() - start >= arguments.seconds

    if given is None:
        if arguments.candidate is None:
            raise BadInputError("explore --length: no candidate; name it with --candidate NAME")
        reference = candidate.get(arguments.reference or candidate.names()[0])
        tested = candidate.get(arguments.candidate)
        say_form(arguments)
        explored = explore_all(reference, tested, arguments.length, most, out_of_time, reduction)
        what = f"{plural(explored.programs, 'program')} of length {arguments.length}"
    else:
        what = given.file
        try:
            block_of(given.program)
        except ProgramError as error:
            raise BadInputError(f"{what}: {error.message}") from None
        reference, tested = given.versions(arguments.reference, arguments.candidate)
        explorer = Explorer(reference, tested, given.program, most, out_of_time, reduction)
        say_form(arguments)
        explored = explorer.run()
    return tell(arguments, what, (reference, tested), explored)


def tell(
    arguments: Namespace, what: str, versions: "tuple[Candidate, Candidate]", explored: "ExplorationResult"
) -> int:
    """Print the outcome.

    :param what: the program or the programs, in words
    :param versions: the reference and the candidate
    :returns: the exit code
    """
    from ...execution.refusal import unmodelled
    from ...reports.answers import explore_answer, no_verdict_answer

    reference, tested = (version.name for version in versions)
    code = NO_VERDICT if explored.refused else WORSE if explored.worse else FINE
    if explored.interrupted:
        code = exit_code()
    why = f"{what}: no verdict: {unmodelled(explored.refused)}" if explored.refused else ""
    if arguments.json:
        answer = explore_answer(arguments.program, reference, tested, explored)
        dump({**answer, "exit_code": code, **(no_verdict_answer(why) if code == NO_VERDICT else {})})
    if why:
        complain(why)
    elif not arguments.json:
        print(f"{what}: {tested} against {reference}: {text(explored)}", end="")
    return code


def text(explored: "ExplorationResult") -> str:
    """Return the outcome for people."""
    from ...language.text import print_program
    from ...reports.report import plural

    total = sum(explored.schedules)
    why = "s2fuzz was interrupted" if explored.interrupted else "no time was left"
    by = ", ".join(f"{count} with {number}" for number, count in enumerate(explored.schedules))
    lines = [
        f"{plural(total, 'schedule')} ({by} preemptions){'' if explored.whole else f'; there are more, but {why}'}"
    ]
    if explored.judged < total:
        lines.append(f"{explored.judged} were judged; the others only reorder independent steps of these")
    for shown in explored.shown.values():
        of = f" of {plural(shown.programs, 'program')}" if explored.programs > 1 else ""
        lines += [
            f"{shown.finding.kind:<10}  {shown.finding.signature}",
            f"            {shown.finding.reason}",
            f"            in {shown.schedules} of the schedules{of}, first in",
            textwrap.indent(print_program(shown.program), " " * 14).rstrip("\n"),
        ]
    if not explored.shown:
        lines.append("no rule is broken, and the two do not differ")
    return "\n".join(lines) + "\n"


COMMAND: Final = Command(
    "explore",
    "judge every schedule of a par block",
    _ABOUT,
    add_arguments,
    explore,
    (
        "s2fuzz explore two-faults.s2 --reference tree:../linux-base --candidate tree:../linux --preemptions 2",
        "s2fuzz explore --length 2 --reference tree:../linux-base --candidate tree:../linux",
    ),
    CLASSES + _EXIT_CODES,
)
