# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz promote``: turn a finding into a regression test."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...exit_codes import FINE, INTERRUPTED
from ..command import DONE, Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import BINARY, add_finding
from ..parser import Parser

if TYPE_CHECKING:
    from ..chosen_finding import Chosen

_ABOUT: Final = """\
Minimise a program, run it on every registered version in fresh processes, and put it
with the findings into corpus/regressions/, where pytest runs it from then on.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz promote``."""
    parser.add_argument("program", metavar="FINDING", help=BINARY)
    add_finding(parser)
    parser.add_argument("--name", metavar="NAME", help="name of the file, without .s2 (derived from the signature)")
    out = "the folder to write to (corpus/regressions/ of the checkout)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=out)
    parser.add_argument(
        "--about", metavar="TEXT", help="first comment of the file: what is wrong, and why (the reason of the finding)"
    )


def folder_for(named: Path | None) -> Path:
    """Return the folder to write to.

    :raises BadInputError: the folder does not exist, or none is named and there is no checkout
    """
    from ...minimizing import promotion

    folder = named or promotion.regressions_folder()
    if not folder.is_dir():
        why = "is not a folder" if named else "does not exist, because s2fuzz was not installed from a checkout"
        raise BadInputError(f"promote: {folder} {why}; name the folder to write to with --out")
    return folder


def promote(arguments: Namespace) -> int:
    """Make a finding a regression test.

    :raises BadInputError: the finding cannot be read, does not replay, or exists already; the name is not valid
    :raises NoVerdictError: no process can judge the program, or it needs something that is not modelled
    :raises candidate.UnknownCandidateError: one of the names is no version
    """
    from ...minimizing.expecting import PromotionError

    try:
        return _promote(arguments)
    except PromotionError as error:
        raise BadInputError(str(error)) from None


def _promote(arguments: Namespace) -> int:
    import candidate
    from candidate.tree import PREFIX

    from ...findings.replay import Replayer
    from ...minimizing.expecting import PromotionError, expectations
    from ...minimizing.promotion import (
        default_name,
        free_place,
        regression_text,
        same_program,
        write_regression,
    )
    from ...reports import answers
    from ..changes import say_changes
    from ..chosen_finding import choose
    from ..shrinking import shrink

    folder = folder_for(arguments.out)
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
            # A half minimised program is not a useful test.
            return INTERRUPTED
        # Kernel trees are at no fixed place, so tests run the program on the registered versions.
        reference = candidate.names()[0] if chosen.reference.startswith(PREFIX) else chosen.reference
        for program in (chosen.program, result.program):
            if same := same_program(folder, program, reference):
                raise PromotionError(f"{chosen.file}: {same} is the same program; promote another one")
        expected = expectations(result.program, replayer, reference, candidate.names())
    about = arguments.about or f"Shows on {shown_on(chosen)} ({shown.kind}): {shown.reason}"
    text = regression_text(about, expected, result.program, reference, chosen.stamp)
    write_regression(place, text)
    if arguments.json:
        dump({**answers.head(), "file": str(place), "text": text})
    else:
        print(f"{place}\n{text}", end="")
    say_limits(chosen)
    return FINE


def say_limits(chosen: "Chosen") -> None:
    """Say on which of the versions of a finding tests will not run its program."""
    import candidate
    from candidate.tree import PREFIX

    if candidate.is_file(chosen.candidate):
        registered = len(candidate.names())
        complain(f"expectations of {registered} registered versions; 1 file from outside skipped: {chosen.candidate}")
    if any(name.startswith(PREFIX) for name in (chosen.candidate, chosen.reference)):
        complain("tests run it on the registered versions; to run it on kernel trees: s2fuzz run, with their names")


def shown_on(chosen: "Chosen") -> str:
    """Return the version that shows a finding, and a kernel tree that it was found against, with their commits."""
    from candidate.tree import PREFIX

    if not chosen.reference.startswith(PREFIX):
        return named(chosen.candidate)
    return f"{named(chosen.candidate)} against {named(chosen.reference)}"


def named(version: str) -> str:
    """Return a version's name; for a kernel tree in git also its commit, with ``+`` if files were changed since."""
    from candidate.tree import PREFIX, source_of
    from candidate.tree.facts import commit

    if not version.startswith(PREFIX):
        return version
    found = commit(source_of(version))
    return f"{version} (commit {found[:12]}{'+' if found.endswith('+') else ''})" if found else version


def _check(chosen: "Chosen", arguments: Namespace) -> None:
    """Refuse a finding that cannot be a regression test.

    :raises PromotionError: the reason
    """
    import candidate
    from candidate.tree import PREFIX

    from ...findings.found import CRASH
    from ...minimizing.expecting import PromotionError

    if chosen.reference not in candidate.names() and not chosen.reference.startswith(PREFIX):
        what = "a file from outside" if candidate.is_file(chosen.reference) else "a planted bug"
        there = ", ".join(candidate.names())
        raise PromotionError(
            f"{chosen.file}: found against {chosen.reference}, {what}; allowed: findings against {there}"
        )
    if chosen.shown.kind == CRASH:
        raise PromotionError(f"{chosen.file}: {chosen.shown.signature} is a mistake of s2fuzz; promote a finding")
    said = chosen.comments.get("kind", ""), chosen.comments.get("signature", "")
    if arguments.signature is None and all(said) and said != chosen.key:
        wrong = f"{' '.join(said)} does not replay in a fresh process"
        raise PromotionError(f"{chosen.file}: {wrong}; choose what it still shows, with --signature")


COMMAND: Final = Command(
    "promote",
    "make a finding a regression test",
    _ABOUT,
    add_arguments,
    promote,
    ("s2fuzz promote findings/rfc-v1/x.s2 --name block-not-cleaned",),
    epilog=DONE,
)
