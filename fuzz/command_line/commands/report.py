# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz report``: the explanation of a finding, for readers who have never seen s2fuzz."""

import os
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from ...exit_codes import FINE
from ..command import Command
from ..messages import dump
from ..options import BINARY, DEFAULT_FILE, add_which_finding
from ..parser import Once, Parser

if TYPE_CHECKING:
    from ...reports.account import Account

_ABOUT: Final = """\
Explain a finding: the rule and why it matters, the kernel calls that lead to it,
the versions that show it, and how to see it again. The text is meant to be pasted
into a mail; in a terminal it has colours (NO_COLOR=1: none).
"""
_EXIT_CODES: Final = """\
exit codes:
    0  the program shows the finding, which is explained
    2  bad usage or input: it cannot be read, or shows nothing
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict available: the program needs something that is not modelled; a
       process cannot be started, or is killed from outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
  141  the reader closed the output
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz report``."""
    parser.add_argument("program", metavar="FINDING", help=BINARY)
    add_which_finding(parser)
    known = (
        f"TOML file of accepted findings: shows who accepted this one, and why ({DEFAULT_FILE} here, if there is one)"
    )
    parser.add_argument("--known", action=Once, metavar="FILE", help=known)
    parser.add_argument("--markdown", action="store_true", help="Markdown, not plain text")


def report(arguments: Namespace) -> int:
    """Explain a finding.

    :raises BadInputError: the program or the accepted findings cannot be read, or the program shows nothing
    :raises NoVerdictError: no process can judge the program, or it needs something that is not modelled
    :raises candidate.UnknownCandidateError: one of the names is no version
    """
    from ...findings.replay import Replayer
    from ...reports.account import account_of
    from ...reports.account_text import markdown, text
    from ...reports.answers import account_answer
    from ..chosen_finding import choose
    from ..inputs import known_findings

    accepted = known_findings(arguments)
    with Replayer() as replayer:
        chosen = choose(arguments, replayer)
    account = account_of(chosen.file, chosen.program, chosen.reference, chosen.candidate, chosen.shown, chosen.comments)
    account.accepted = accepted.match(chosen.shown.kind, chosen.shown.signature)
    if arguments.json:
        dump(account_answer(account))
    elif arguments.markdown:
        print(markdown(account), end="")
    elif sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        show(account)
    else:
        print(text(account), end="")
    return FINE


def show(account: "Account") -> None:
    """Print an account in colours."""
    from rich.console import Console
    from rich.text import Text

    from ...reports.account_text import styled

    console = Console(highlight=False, soft_wrap=True)
    for line, style in styled(account):
        console.print(Text(line, style=style))


COMMAND: Final = Command(
    "report",
    "explain a finding, as text for a mail",
    _ABOUT,
    add_arguments,
    report,
    ("s2fuzz report findings/rfc-v1/x.s2", "s2fuzz report --markdown x.s2"),
    _EXIT_CODES,
)
