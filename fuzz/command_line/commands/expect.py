# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz expect``: the expectations of the regression tests for a registered version."""

from argparse import Namespace
from typing import Final

from ..command import DONE, Command
from ..parser import Parser

_ABOUT: Final = """\
Write the findings of each program of corpus/regressions/ on a registered version
into the program's file, where pytest checks them. Needed for a new version, and for
one that changes on purpose.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz expect``."""
    parser.add_argument("name", nargs="+", metavar="NAME", help="a registered version; files are skipped, and counted")


def expect(arguments: Namespace) -> int:
    """Write the expectations of versions into the regression tests.

    :raises BadInputError: a name is not that of a registered version; a regression cannot be read, judged or written
    :raises candidate.UnknownCandidateError: one of the names is no version
    """
    from ..expectations import command

    return command(arguments)


COMMAND: Final = Command(
    "expect",
    "write what the regression tests expect of a version",
    _ABOUT,
    add_arguments,
    expect,
    ("s2fuzz expect my-patch",),
    epilog=DONE,
)
