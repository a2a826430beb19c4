# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz help``: the help of a command, the manual page, completion for shells."""

from argparse import Namespace
from importlib.util import find_spec
from typing import Final

from ...distribution import how_to_install
from ...exit_codes import FINE
from ..command import RUNS_NOTHING, Command
from ..messages import BadInputError
from ..parser import Parser

_ABOUT: Final = """\
Print the help of a command (default: `s2fuzz` itself), or all help as a manual page,
or the script with which a shell completes commands and options.
"""
SHELLS: Final = ("bash", "zsh", "tcsh")


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz help``."""
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="a command, and its action if it has any")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--man", action="store_true", help="print the manual page, as troff; `man -l -` shows it")
    form.add_argument(
        "--completion", choices=SHELLS, metavar="SHELL", help=f"print the completion script for {' or '.join(SHELLS)}"
    )


def below(parser: Parser, words: list[str]) -> Parser:
    """Return the parser of a command, or of an action of one.

    :raises BadInputError: there is no command or action with that name
    """
    for at, word in enumerate(words):
        there = parser.below()
        if word not in there:
            of = f"s2fuzz {' '.join(words[:at])}".strip()
            raise BadInputError(f"help: {of} has no {word!r}; there are: {', '.join(there) or 'no actions'}")
        parser = there[word]
    return parser


def needed(module: str) -> None:
    """Check that a module of the extra ``shell`` is installed.

    :raises BadInputError: it is not installed
    """
    if find_spec(module) is None:
        raise BadInputError(f"help: the module {module} is missing; {how_to_install('shell')}")


def manual(parser: Parser) -> str:
    """Return the manual page of all commands as troff."""
    needed("argparse_manpage")
    from argparse_manpage.manpage import Manpage  # type: ignore[import-untyped, import-not-found, unused-ignore]

    return str(Manpage(parser, format="single-commands-section"))


def completion(parser: Parser, shell: str) -> str:
    """Return the script with which a shell completes the command line."""
    needed("shtab")
    import shtab  # type: ignore[import-not-found, unused-ignore]

    return str(shtab.complete(parser, shell))


def show_help(arguments: Namespace) -> int:
    """Print help.

    :raises BadInputError: there is no such command, or a package is missing
    """
    from ..registry import make_parser

    parser = make_parser()
    if arguments.words and (arguments.man or arguments.completion):
        raise BadInputError("help: --man and --completion cover all commands; name none")
    if arguments.man:
        print(manual(parser), end="")
    elif arguments.completion:
        print(completion(parser, arguments.completion))
    else:
        print(below(parser, arguments.words).format_help(), end="")
    return FINE


COMMAND: Final = Command(
    "help",
    "the help of a command, the manual page, completion for shells",
    _ABOUT,
    add_arguments,
    show_help,
    ("s2fuzz help corpus add", "s2fuzz help --man", "s2fuzz help --completion bash"),
    keys="",
    epilog=RUNS_NOTHING,
)
