# SPDX-License-Identifier: GPL-2.0-only
"""The arguments of ``s2fuzz cover``."""

import argparse
from typing import TYPE_CHECKING, Final

from .arguments import Once, Parser, folder
from .corpus_arguments import add_workers

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

_ABOUT: Final = """\
Replay programs on plain Python and say which lines and branches of the kernel code
and of the machine they reach: a table on standard output, pages with --html. Each
line of a page names programs that reach it; --line asks for those of one line.
Needs coverage.py (pip install -e '.[cover]' in the checkout).

example: s2fuzz cover --candidate rfc-v1 --line candidate/rfc_v1.py:60
"""
_EXIT_CODES: Final = """\
exit codes:
    0  done
    2  bad usage or input, or coverage.py is not there
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
"""


def add(commands: "Commands") -> None:
    """Add the command to the others."""
    cover = commands.add_parser(
        "cover",
        help="which lines programs reach, and which program reaches a line",
        description=_ABOUT,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = "a corpus, a folder of programs, or a program (the seeds and regressions of the checkout)"
    cover.add_argument("program", nargs="*", metavar="DIR|PROGRAM", help=what)
    reference = "the version that counts as the original (%(default)s)"
    cover.add_argument("--reference", action=Once, default="original", metavar="NAME", help=reference)
    about = "replay on this version too, and report on its modules"
    cover.add_argument("--candidate", action=Once, metavar="NAME", help=about)
    cover.add_argument("--line", metavar="FILE:LINE", help="only say which programs reach this line")
    cover.add_argument("--html", type=folder, action=Once, metavar="DIR", help="write pages too")
    add_workers(cover)
    cover.add_argument("--json", action="store_true", help="answer with one JSON object; keys: fuzz/reports/answers.py")
