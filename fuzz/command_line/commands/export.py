# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz export``: a program in a form that others can run."""

from argparse import Namespace
from typing import Final

from ...exit_codes import FINE
from ..command import Command
from ..messages import NoVerdictError
from ..options import BINARY
from ..parser import Once, Parser

_ABOUT: Final = """\
Write a program as one C file, which plays it on a VM of any arm64 machine: for
those who have no s2fuzz. Built and run there, it ends with 0 if all is as it
should be, 1 if not, and 4 if the machine lacks what it needs.
"""


def add_arguments(parser: Parser) -> None:
    parser.add_argument("program", metavar="PROGRAM", help=BINARY)
    form = "one C file in the manner of the kernel's selftests"
    parser.add_argument("--selftest", action="store_true", required=True, help=form)
    model = "the version that says what outcomes are right (%(default)s)"
    parser.add_argument("--model", action=Once, default="v5.14", metavar="NAME", help=model)
    where = "where to (%(default)s: standard output)"
    parser.add_argument("-o", "--output", action=Once, default="-", metavar="OUT", help=where)


def export(arguments: Namespace) -> int:
    """Export a program.

    :raises fuzz.command_line.messages.BadInputError: it cannot be read, or *output* cannot be written
    :raises NoVerdictError: no user space can play it
    """
    import candidate

    from ...real.errors import UnplayableError
    from ...real.selftest import selftest
    from ..inputs import read_programs, write_output

    ((file, program),) = read_programs([arguments.program])
    try:
        text = selftest(program, candidate.get(arguments.model), file)
    except UnplayableError as error:
        raise NoVerdictError(f"{file}: {error}; user space cannot play it") from None
    write_output(arguments.output, text.encode())
    return FINE


COMMAND: Final = Command(
    "export",
    "a program as a C file for any arm64 machine",
    _ABOUT,
    add_arguments,
    export,
    ("s2fuzz export --selftest corpus/regressions/livelock-two-levels.s2 -o livelock.c",),
    keys="",
)
