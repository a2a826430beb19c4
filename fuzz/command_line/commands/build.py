# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz build``: the compiled form."""

from argparse import Namespace
from typing import Final

from ...exit_codes import FINE
from ..command import Command
from ..messages import BadInputError, dump
from ..parser import Once, Parser

_ABOUT: Final = """\
Compile the ports, the machine and the checkers with mypyc into build/native/ (after
an ordinary install: into the cache folder of the user). They are used from then on,
until a source changes; S2FUZZ_PURE=1 in the environment selects plain Python. With
--candidate, a file is compiled together with them; it cannot be compiled alone. Needs
a C compiler, Python's headers and mypy (pip install -e '.[build]' in the checkout).
gcc compiles the hottest modules with the profile of a short training run; with
--thorough, nearly all modules: the result is somewhat faster, and the build takes a
third longer. Results are the same in all forms.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  done
    2  bad usage, a mistake in the candidate's Python, or nothing can be compiled; one
       line on stderr gives the place and a remedy
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  a process cannot be started
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
  141  the reader closed the output
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz build``."""
    of = "a candidate from a file, compiled with the rest"
    parser.add_argument("--candidate", action=Once, metavar="FILE", help=of)
    thorough = "compile nearly all modules with a profile, for the most speed"
    parser.add_argument("--thorough", action="store_true", help=thorough)
    parser.add_argument("--force", action="store_true", help="rebuild even if the existing build is up to date")


def compile_modules(arguments: Namespace) -> int:
    """Compile the hot modules.

    :raises BadInputError: compiling is impossible, or the compiler failed
    """
    from ...compilation.build import BuildError, build
    from ...compilation.outside import build_with
    from ...reports.answers import head

    try:
        given = arguments.candidate
        force, thorough = arguments.force, arguments.thorough
        done = build(force, thorough) if given is None else build_with(given, force, thorough)
    except BuildError as error:
        raise BadInputError(str(error)) from None
    if arguments.json:
        dump({**head(), "message": done})
    else:
        print(done)
    return FINE


COMMAND: Final = Command(
    "build", "compile the hot modules, for speed", _ABOUT, add_arguments, compile_modules, epilog=_EXIT_CODES
)
