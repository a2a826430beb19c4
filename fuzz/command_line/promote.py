# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz promote``: a finding becomes a regression test."""

import argparse
from pathlib import Path

import candidate

from ..distribution import home_folder
from ..exit_codes import FINE, INTERRUPTED
from ..findings.found import CRASH
from ..findings.replay import Replayer
from ..minimizing.promotion import (
    PromotionError,
    default_name,
    expectations,
    free_place,
    regression_text,
    same_program,
    write_regression,
)
from ..reports import answers
from .changes import say_changes
from .commands import BadInputError, dump, say_form
from .finding import Chosen, choose
from .minimize import shrink


def regressions_folder() -> Path:
    """Where ``tests/corpus`` looks."""
    return home_folder() / "corpus" / "regressions"


def command(arguments: argparse.Namespace) -> int:
    """``s2fuzz promote``

    :raises BadInputError: the finding cannot be read, does not replay, or is there already; a name that is not valid
    :raises candidate.UnknownCandidate: no version of one of the names
    """
    try:
        return _promote(arguments)
    except PromotionError as error:
        raise BadInputError(str(error)) from None


def _promote(arguments: argparse.Namespace) -> int:
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


def _check(chosen: Chosen, arguments: argparse.Namespace) -> None:
    """Refuse what is no regression test.

    :raises PromotionError: why
    """
    original = candidate.names()[0]
    if chosen.reference != original:
        raise PromotionError(f"{chosen.file}: found against {chosen.reference}; allowed: findings against {original}")
    if chosen.shown.kind == CRASH:
        raise PromotionError(f"{chosen.file}: {chosen.shown.signature} is a mistake of s2fuzz; allowed: a finding")
    said = chosen.comments.get("kind", ""), chosen.comments.get("signature", "")
    if arguments.signature is None and all(said) and said != chosen.key:
        wrong = f"{' '.join(said)} does not replay in a fresh process"
        raise PromotionError(f"{chosen.file}: {wrong}; allowed: what it still shows, with --signature")
