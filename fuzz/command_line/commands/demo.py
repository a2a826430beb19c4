# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz demo``: a real review question, answered in ten seconds, then a few seconds of fuzzing."""

from argparse import Namespace
from typing import Final

from ..command import DONE, Command
from ..parser import Parser
from ..values import seconds, seed

_ABOUT: Final = """\
Show in ten seconds what s2fuzz does: a program that answers a real review question,
judged on the patch series and on its repair; then a few seconds of fuzzing, with
findings as they arrive. Writes no files.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz demo``."""
    parser.add_argument(
        "--seconds", type=seconds, default=5.0, metavar="N", help="time to fuzz, in seconds (%(default)g)"
    )
    parser.add_argument("--seed", type=seed, default=1, metavar="S", help="same seed, same programs (%(default)s)")


def demo(arguments: Namespace) -> int:
    """Tell the story, then fuzz."""
    from ..story import command

    return command(arguments)


COMMAND: Final = Command(
    "demo",
    "a real review question, answered in ten seconds",
    _ABOUT,
    add_arguments,
    demo,
    ("s2fuzz demo",),
    keys="",
    epilog=DONE,
)
