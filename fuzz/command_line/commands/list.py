# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz list``: the versions, or the planted bugs."""

from argparse import Namespace
from typing import Final

from ...exit_codes import FINE
from ..command import Command
from ..messages import dump
from ..parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.add_argument("--bugs", action="store_true", help="the planted bugs that engines are measured by, instead")


def list_versions(arguments: Namespace) -> int:
    """Print the versions, or with ``--bugs`` the planted bugs."""
    from ...reports import answers, report

    if arguments.json:
        dump(answers.bugs_answer() if arguments.bugs else answers.list_answer())
    else:
        print(report.bugs_text() if arguments.bugs else report.list_text())
    return FINE


COMMAND: Final = Command(
    "list",
    "the versions of the kernel code there are",
    "List the reference and the candidates, with origin.",
    add_arguments,
    list_versions,
)
