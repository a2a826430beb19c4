# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz known``: accepted findings, kept in one file."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Final

from ...exit_codes import FINE
from ..command import RUNS_NOTHING, Command
from ..messages import BadInputError, complain
from ..options import DEFAULT_FILE
from ..parser import Once, Parser, add_action

_ABOUT: Final = """\
Keep accepted findings in one file, each with a reason and the person who accepted it.
fuzz, run, campaign, status and gate read the file: they report its findings as
accepted, and ignore them for the exit code. Known bugs of the kernel are another
list, which is part of s2fuzz.
"""
_ADD: Final = """\
Add an entry: for the finding of a file that s2fuzz has written, or for a pattern
such as 'regression locking: *' (class and signature, or the signature; * and ?).
"""
_LIST: Final = "Print the entries: pattern, reason, person, link."


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz known``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list")
    add = add_action(actions, "add", "add an entry", _ADD, RUNS_NOTHING)
    add.add_argument("finding", metavar="FINDING", help="a file with a finding, or a pattern")
    add.add_argument("--why", action=Once, required=True, metavar="TEXT", help="why it is accepted")
    add.add_argument("--who", action=Once, metavar="NAME", help="who accepted it")
    add.add_argument("--link", action=Once, metavar="URL", help="address of a page about it")
    show = add_action(actions, "list", "list all entries", _LIST, RUNS_NOTHING)
    file = "the file of accepted findings (%(default)s)"
    for each in (add, show):
        each.add_argument("--known", action=Once, default=DEFAULT_FILE, metavar="FILE", help=file)


def pattern_of(finding: str) -> str:
    """Return the pattern for a finding.

    :param finding: a file with a finding, or a pattern
    :raises BadInputError: the file has no finding, or cannot be read
    """
    from ...findings.found import comments_of

    path = Path(finding)
    if not path.is_file():
        if finding.endswith(".s2") or "/" in finding:
            raise BadInputError(f"known: {finding}: no such file; name a file with a finding, or a pattern")
        return finding
    try:
        comments = comments_of(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        wrong = getattr(error, "strerror", None) or "not UTF-8"
        raise BadInputError(f"known: {finding}: {wrong}; name a file with a finding, or a pattern") from None
    if "signature" not in comments:
        raise BadInputError(f"known: {finding}: its comments name no finding; give the pattern itself")
    return f"{comments.get('kind', '')} {comments['signature']}".strip()


def known(arguments: Namespace) -> int:
    """Add an entry, or list all.

    :raises BadInputError: the file cannot be read or written, or the entry is not allowed
    """
    from ...files import write_atomically
    from ...findings.accepted import AcceptedError, added
    from ..inputs import known_findings

    file = arguments.known
    try:
        if arguments.action == "list":
            for entry in known_findings(arguments).entries:
                print(f"{entry.pattern}\n    {entry.text}")
            return FINE
        text = Path(file).read_text(encoding="utf-8") if os.path.exists(file) else ""
        pattern = pattern_of(arguments.finding)
        whole = added(file, text, pattern, arguments.why, arguments.who or "", arguments.link or "")
        write_atomically(file, whole)
    except AcceptedError as error:
        raise BadInputError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        wrong = getattr(error, "strerror", None) or "not UTF-8"
        raise BadInputError(f"known: {file}: {wrong}; name a TOML file that can be read and written") from None
    complain(f"{file}: accepts {pattern}")
    return FINE


COMMAND: Final = Command(
    "known",
    "keep accepted findings, each with a reason",
    _ABOUT,
    add_arguments,
    known,
    ("s2fuzz known add findings/rfc-v1/x.s2 --who 'A. Reader' --why 'v2 moves it' --link https://lore.kernel.org/...",),
    keys="",
    epilog=RUNS_NOTHING,
)
