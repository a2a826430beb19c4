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
an ordinary install: into the cache folder of the user). From then on they are
used, until a source changes; S2FUZZ_PURE=1 in the environment asks for plain
Python. With --candidate, a file joins them: alone it cannot be compiled. Needs a
C compiler, Python's headers and
mypy (pip install -e '.[build]' in the checkout). gcc compiles the hottest modules by the
profile of a short training run; with --thorough, nearly all of them, for some more speed
and a third more time. Results are the same in all forms.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  done
    2  bad usage, a mistake in the candidate's Python, or nothing can be compiled; one
       line on stderr says where, and what to do
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  a process cannot be started
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
  141  whoever read the output has closed it
"""


def add_arguments(parser: Parser) -> None:
    of = "a candidate from a file, compiled with the rest"
    parser.add_argument("--candidate", action=Once, metavar="FILE", help=of)
    thorough = "for the most speed: compile nearly all modules by a profile"
    parser.add_argument("--thorough", action="store_true", help=thorough)
    parser.add_argument("--force", action="store_true", help="also where the build that is there still fits")


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
    "build", "compile what is hot, for speed", _ABOUT, add_arguments, compile_modules, epilog=_EXIT_CODES
)
