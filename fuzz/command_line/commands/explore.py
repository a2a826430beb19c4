# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz explore``: every schedule of a par block."""

import textwrap
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from ...exit_codes import FINE, NO_VERDICT, WORSE
from ..command import CLASSES, Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import add_versions
from ..parser import Once, Parser
from ..values import seconds, whole

if TYPE_CHECKING:
    pass

MOST: Final = 8
_ABOUT: Final = """\
Judge every schedule of the par block of a program with at most so many
preemptions, and say how many there were and which findings they show. Both
versions must be kernel trees, which alone run par blocks.

A preemption is a switch at a place that a vCPU of the candidate comes to. vCPUs
that wait, or are done, give way without one. The vCPUs begin in each order; the
switches that the block has are left out.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  no schedule shows a regression or a divergence
    1  some do: the candidate is worse, or differs for no known reason
    2  bad usage or input; one line on stderr says where, and what is allowed
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict available: the program needs what is not modelled, or a process
       cannot be started, or is killed from outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
  141  whoever read the output has closed it
"""


def add_arguments(parser: Parser) -> None:
    parser.add_argument("program", metavar="PROGRAM", help="a program with one par block")
    add_versions(parser, "a candidate", required=True)
    most = f"at most so many in a schedule, 0 to {MOST} (%(default)s)"
    parser.add_argument("--preemptions", action=Once, type=preemptions, default=1, metavar="K", help=most)
    limit = "for so long (until all schedules are judged)"
    parser.add_argument("--seconds", action=Once, type=seconds, metavar="N", help=limit)


def preemptions(text: str) -> int:
    """The value of ``--preemptions``."""
    return whole(text, 0, MOST)


def explore(arguments: Namespace) -> int:
    """Explore a program.

    :raises BadInputError: it cannot be read, or has no block, or several
    :raises candidate.UnknownCandidate: no version of this name
    """
    import candidate

    from ...exploring.exploring import Explorer
    from ...language.program import ProgramError
    from ...language.text import load, print_program, shown_name
    from ...reports.answers import explore_answer

    reference, tested = candidate.get(arguments.reference), candidate.get(arguments.candidate)
    start = time.monotonic()

    def over() -> bool:
        return arguments.seconds is not None and time.monotonic() - start >= arguments.seconds

    try:
        program = load(arguments.program)
        explorer = Explorer(reference, tested, program, arguments.preemptions, over)
    except ProgramError as error:
        name = "" if error.file else f"{shown_name(arguments.program)}: "
        raise BadInputError(f"{name}{error if error.file else error.message}") from None
    say_form(arguments)
    explored = explorer.run()
    code = NO_VERDICT if explored.refused else WORSE if explored.worse else FINE
    if arguments.json:
        answer = explore_answer(arguments.program, reference.name, tested.name, explored)
        dump({**answer, "exit_code": code})
        return code
    if explored.refused:
        complain(f"{arguments.program}: no verdict: the program needs what is not modelled: {explored.refused}")
        return code
    total = sum(explored.schedules)
    by = ", ".join(f"{count} with {number}" for number, count in enumerate(explored.schedules))
    end = "" if explored.whole else "; there are more, but no time was left"
    print(f"{arguments.program}: {tested.name} against {reference.name}: {total} schedules ({by} preemptions){end}")
    for shown in explored.shown.values():
        print(f"{shown.finding.kind:<10}  {shown.finding.signature}")
        print(f"            {shown.finding.reason}")
        print(f"            in {shown.schedules} of the schedules, first in")
        print(textwrap.indent(print_program(shown.program), " " * 14), end="")
    if not explored.shown:
        print("no rule is broken, and the two do not differ")
    return code


COMMAND: Final = Command(
    "explore",
    "judge every schedule of a par block",
    _ABOUT,
    add_arguments,
    explore,
    ("s2fuzz explore two-faults.s2 --reference tree:../linux-base --candidate tree:../linux --preemptions 2",),
    CLASSES + _EXIT_CODES,
)
