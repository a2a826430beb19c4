# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz promote``: a finding becomes a regression test."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...distribution import home_folder
from ...exit_codes import FINE, INTERRUPTED
from ..command import Command
from ..messages import BadInputError, dump, say_form
from ..options import BINARY, add_finding
from ..parser import Parser

if TYPE_CHECKING:
    from ..finding import Chosen

_ABOUT: Final = """\
Minimise a program, see what it shows of every version in fresh processes, and
put it with that into corpus/regressions/, where pytest runs it from then on.
"""


def add_arguments(parser: Parser) -> None:
    parser.add_argument("program", metavar="FINDING", help=BINARY)
    add_finding(parser)
    parser.add_argument("--name", metavar="NAME", help="of the file, without .s2 (made of the signature)")
    parser.add_argument("--about", metavar="TEXT", help="its first comment: what is wrong, and why (the reason shown)")


def regressions_folder() -> Path:
    """Where ``tests/corpus`` looks."""
    return home_folder() / "corpus" / "regressions"


def promote(arguments: Namespace) -> int:
    """Make a finding a regression test.

    :raises BadInputError: the finding cannot be read, does not replay, or is there already; a name that is not valid
    :raises candidate.UnknownCandidate: no version of one of the names
    """
    from ...minimizing.promotion import PromotionError

    try:
        return _promote(arguments)
    except PromotionError as error:
        raise BadInputError(str(error)) from None


def _promote(arguments: Namespace) -> int:
    from ...findings.replay import Replayer
    from ...minimizing.promotion import (
        PromotionError,
        default_name,
        expectations,
        free_place,
        regression_text,
        same_program,
        write_regression,
    )
    from ...reports import answers
    from ..changes import say_changes
    from ..finding import choose
    from ..shrinking import shrink

    folder = regressions_folder()
    if arguments.name is not None:
        free_place(folder, arguments.name)
    with Replayer() as replayer:
        chosen = choose(arguments, replayer)
        _check(chosen, arguments)
        place = free_place(folder, arguments.name or default_name(chosen.shown.signature))
        say_changes(chosen.reference, [chosen.candidate])
        say_form(arguments)
        result, shown = shrink(chosen, replayer, arguments.seconds, quiet=arguments.json)
        if result.interrupted:
            # Half minimised is no test that anybody asked for.
            return INTERRUPTED
        for program in (chosen.program, result.program):
            if same := same_program(folder, program):
                raise PromotionError(f"{chosen.file}: {same} is the same program; allowed: one that is not there")
        expected = expectations(result.program, replayer)
    about = arguments.about or f"Shows on {chosen.candidate} ({shown.kind}): {shown.reason}"
    text = regression_text(about, expected, result.program)
    write_regression(place, text)
    if arguments.json:
        dump({**answers.head(), "file": str(place), "text": text})
    else:
        print(f"{place}\n{text}", end="")
    return FINE


def _check(chosen: "Chosen", arguments: Namespace) -> None:
    """Refuse what is no regression test.

    :raises PromotionError: why
    """
    import candidate

    from ...findings.found import CRASH
    from ...minimizing.promotion import PromotionError

    original = candidate.names()[0]
    if chosen.reference != original:
        raise PromotionError(f"{chosen.file}: found against {chosen.reference}; allowed: findings against {original}")
    if chosen.shown.kind == CRASH:
        raise PromotionError(f"{chosen.file}: {chosen.shown.signature} is a mistake of s2fuzz; allowed: a finding")
    said = chosen.comments.get("kind", ""), chosen.comments.get("signature", "")
    if arguments.signature is None and all(said) and said != chosen.key:
        wrong = f"{' '.join(said)} does not replay in a fresh process"
        raise PromotionError(f"{chosen.file}: {wrong}; allowed: what it still shows, with --signature")


COMMAND: Final = Command(
    "promote",
    "make a finding a regression test",
    _ABOUT,
    add_arguments,
    promote,
    ("s2fuzz promote findings/rfc-v1/x.s2 --name block-not-cleaned",),
)
