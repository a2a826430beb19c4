# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz list``: the versions, the planted bugs, or the rules of the checkers."""

from argparse import Namespace
from typing import Final

from ...exit_codes import FINE
from ..command import RUNS_NOTHING, Command
from ..messages import dump
from ..parser import Parser


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz list``."""
    listed = parser.add_mutually_exclusive_group()
    listed.add_argument(
        "--bugs", action="store_true", help="list instead the planted bugs, with which engines are measured"
    )
    listed.add_argument("--checkers", action="store_true", help="list instead the rules that checkers enforce")


def list_versions(arguments: Namespace) -> int:
    """Print the versions, with ``--bugs`` the planted bugs, with ``--checkers`` the rules."""
    from ...reports import answers, report

    if arguments.checkers:
        answer, text = answers.checkers_answer, report.checkers_text
    elif arguments.bugs:
        answer, text = answers.bugs_answer, report.bugs_text
    else:
        answer, text = answers.list_answer, report.list_text
    if arguments.json:
        dump(answer())
    else:
        print(text())
    return FINE


COMMAND: Final = Command(
    "list",
    "list versions of the kernel code, planted bugs, or checkers",
    "List the original and the candidates, with origin; or planted bugs, or the rules that checkers enforce.",
    add_arguments,
    list_versions,
    epilog=RUNS_NOTHING,
)
