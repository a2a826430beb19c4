# SPDX-License-Identifier: GPL-2.0-only
"""Options shared by several commands."""

import os
from argparse import Namespace
from typing import Final

from .command import KEYS
from .messages import BadInputError
from .parser import Once, Parser
from .values import folder, seconds, seed, workers

# A copy of the constant in `fuzz.findings.accepted`, which must not be imported yet.
DEFAULT_FILE: Final = "known-findings.toml"
# Help for a program.
BINARY: Final = "a program as text, or a mail with one (-: standard input); use `s2fuzz convert` for a binary"


def add_json(parser: Parser, keys: str = KEYS) -> None:
    """Add ``--json``.

    :param keys: the file that explains the keys of the answer
    """
    parser.add_argument("--json", action="store_true", help=f"answer with one JSON object; keys: {keys}")


def add_differences(parser: Parser, inputs: str, below: str) -> None:
    """Add ``--seed`` and ``--out`` for a comparison on random inputs.

    :param inputs: the word for the inputs
    :param below: the folder in DIR for the differences
    """
    parser.add_argument("--seed", type=seed, default=1, metavar="S", help=f"same seed, same {inputs} (%(default)s)")
    about = f"differences go to DIR/{below} (%(default)s)"
    parser.add_argument("--out", type=folder, action=Once, default="findings", metavar="DIR", help=about)


def add_versions(parser: Parser, candidate: str, required: bool = False, comments: bool = False) -> None:
    """Add ``--reference`` and ``--candidate``.

    :param candidate: help for ``--candidate``
    :param comments: a program's comments may name the reference, so there is no default here
    """
    reference = "the version that the candidate is compared with: a name, or a file such as ./my_base.py"
    reference += " (from the program's comments, else original)" if comments else " (%(default)s)"
    default = None if comments else "original"
    parser.add_argument("--reference", action=Once, default=default, metavar="NAME", help=reference)
    candidate += "; also a file such as ./my_patch.py, or a kernel tree such as tree:../linux or tree:../linux@HEAD~1"
    parser.add_argument("--candidate", action=Once, required=required, metavar="NAME", help=candidate)
    sanitize = "build kernel trees with checks of memory and of undefined behaviour (tree:PATH:sanitize)"
    parser.add_argument("--sanitize", action="store_true", help=sanitize)


def sanitize_trees(arguments: Namespace) -> None:
    """Add the suffix of ``--sanitize`` to the versions of ``--reference`` and ``--candidate``.

    :raises BadInputError: neither of them is a kernel tree
    """
    from candidate.tree import PREFIX, SANITIZE

    named = [name for name in ("reference", "candidate") if str(getattr(arguments, name, "")).startswith(PREFIX)]
    if not named:
        raise BadInputError("--sanitize: neither version is a kernel tree; allowed: with tree:PATH")
    for name in named:
        setattr(arguments, name, getattr(arguments, name).removesuffix(SANITIZE) + SANITIZE)


def pin_commits(arguments: Namespace) -> None:
    """Resolve versions that are git commits to commit ids, so that they name the same code throughout the command.

    :raises candidate.tree.TreeError: there is no such commit
    """
    from candidate.tree import with_pinned_commit

    for option, value in list(vars(arguments).items()):
        if isinstance(value, str):
            setattr(arguments, option, with_pinned_commit(value))
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            setattr(arguments, option, [with_pinned_commit(each) for each in value])


def add_known(parser: Parser) -> None:
    """Add ``--known``."""
    known = "TOML file of accepted findings: reported, but ignored for the exit code"
    parser.add_argument("--known", metavar="FILE", help=f"{known} ({DEFAULT_FILE} here, if there is one)")


def add_which_finding(parser: Parser) -> None:
    """Add the options that choose one finding of a program."""
    default = "from its comments"
    reference = f"the version that the candidate is compared with ({default})"
    parser.add_argument("--reference", action=Once, metavar="NAME", help=reference)
    parser.add_argument("--candidate", action=Once, metavar="NAME", help=f"the version that shows it ({default})")
    signature = "which finding, with * and ? (the one of its comments, or the most serious)"
    parser.add_argument("--signature", action=Once, metavar="S", help=signature)


def add_finding(parser: Parser) -> None:
    """Add the options that choose a finding, and the time limit for minimising it."""
    add_which_finding(parser)
    parser.add_argument(
        "--seconds", type=seconds, default=60.0, metavar="N", help="time limit for minimising, in seconds (60)"
    )


def add_workers(parser: Parser) -> None:
    """Add ``--workers``, by default one for each core."""
    about = "number of processes (%(default)s: one per core)"
    parser.add_argument("--workers", type=workers, default=len(os.sched_getaffinity(0)), metavar="N", help=about)
