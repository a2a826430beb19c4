# SPDX-License-Identifier: GPL-2.0-only
"""The arguments of ``s2fuzz corpus``."""

import argparse
import os
from typing import TYPE_CHECKING, Final

from ..exit_codes import BAD_INPUT
from .arguments import Once, Parser, folder, whole

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

DEFAULT: Final = "programs"
MAX_WORKERS: Final = 1024

_ABOUT: Final = """\
Keep programs: each once, as text, in a folder where it is named by its content.
Any number of processes may use the folder at once.

What does not belong into it is told of in a line, and moved to its sub-folder
aside/ with a file that says why; nothing stops because of it.
"""
_EXIT_CODES: Final = f"""\
exit codes:
    0  done
    {BAD_INPUT}  bad usage, a file given that is no program, or a folder that cannot be written
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM; what was done by then is kept
"""
_MINIMIZE: Final = """\
Remove programs whose features others have: what is left shows as much, small
programs are preferred, and none is superfluous. What features are depends on the
two versions and on the sources. What was observed is kept beside the programs:
interrupted or killed, the same command goes on. Programs that are added meanwhile
stay.
"""
_ACTIONS: Final = {
    "add": ("take programs in", "Take programs in, as text or binary records.", "a program, a folder of them, or -"),
    "merge": ("take other corpora in", "Take in the programs of other corpora.", "a corpus"),
    "import": (
        "take a directory of libFuzzer in",
        "Take in the programs of directories of libFuzzer: each file is one.",
        "a directory with a program in each file",
    ),
}


def workers(text: str) -> int:
    """The value of ``--workers``."""
    return whole(text, 1, MAX_WORKERS)


def cores() -> int:
    """How many processes run at once here."""
    return len(os.sched_getaffinity(0))


def add_workers(parser: Parser) -> None:
    """The option ``--workers``."""
    about = "processes (%(default)s: one for each core)"
    parser.add_argument("--workers", type=workers, default=cores(), metavar="N", help=about)


def add(commands: "Commands") -> None:
    """Add the command to the others."""
    layout = argparse.RawDescriptionHelpFormatter
    brief = "keep programs, each once"
    top = commands.add_parser(
        "corpus", help=brief, description=_ABOUT, epilog=_EXIT_CODES, formatter_class=layout, allow_abbrev=False
    )
    actions = top.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, brief: str, description: str) -> Parser:
        made: Parser = actions.add_parser(
            name, help=brief, description=description, epilog=_EXIT_CODES, formatter_class=layout, allow_abbrev=False
        )
        where = "the corpus (%(default)s)"
        made.add_argument("--corpus", type=folder, action=Once, default=DEFAULT, metavar="DIR", help=where)
        keys = "answer with one JSON object; keys: fuzz/reports/answers.py"
        made.add_argument("--json", action="store_true", help=keys)
        return made

    for name, (brief, description, source) in _ACTIONS.items():
        made = action(name, brief, description)
        made.add_argument("source", nargs="+", metavar="FILE" if name == "add" else "DIR", help=source)
    show = action("show", "what is in a corpus, or one program", "Show what is in a corpus, or one program of it.")
    what = "another corpus, or the digest of a program (its first 4 digits or more will do)"
    show.add_argument("what", nargs="?", metavar="DIR|DIGEST", help=what)
    export = action("export", "make a directory for libFuzzer", "Write all programs as binary records, for libFuzzer.")
    export.add_argument("target", type=folder, metavar="DIR", help="a directory; it is made if it is not there")
    minimize = action("minimize", "remove what shows nothing of its own", _MINIMIZE)
    reference = "the version that counts as the original (%(default)s)"
    minimize.add_argument("--reference", action=Once, default="original", metavar="NAME", help=reference)
    minimize.add_argument("--candidate", action=Once, required=True, metavar="NAME", help="the version under test")
    add_workers(minimize)
    minimize.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
