# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz fuzz``: one engine, for a while."""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import candidate

from ..engines.drivers import missing
from ..engines.seeds import shipped
from ..engines.summary import Keeper, Summary
from ..engines.supervisor import run_unit
from ..engines.unit import Result, Unit
from ..exit_codes import BAD_INPUT, FINE, INTERRUPTED, NO_VERDICT, OUR_MISTAKE, WORSE
from ..files import Place
from ..findings.found import CRASH, folder_name
from ..findings.replay import NO_ANSWER
from ..reports import answers, report
from .changes import changes_answer, say_changes
from .commands import BadInputError, complain, dump, known_findings, say_form

_PROGRESS_EVERY: Final = 0.2


def command(arguments: argparse.Namespace) -> int:
    """``s2fuzz fuzz``

    :raises BadInputError: the engine cannot run here, or the output directory or the known findings cannot be used
    :raises candidate.UnknownCandidate: no version of this name
    """
    lacking = missing(arguments.engine)
    if lacking:
        raise BadInputError(f"--engine {lacking}")
    reference = candidate.get(arguments.reference).name
    patched = candidate.get(arguments.candidate).name
    out = make_out(arguments.out, folder_name(patched, reference))
    accepted = known_findings(arguments)
    say_changes(reference, [patched])
    say_form(arguments)
    budget = arguments.programs, arguments.seconds
    unit = Unit(arguments.engine, reference, patched, arguments.seed, *budget, corpus=shipped(arguments.engine))
    summary = Summary(reference, patched, arguments.seed, arguments.engine, accepted=accepted)
    progress = Progress(summary, sys.stderr.isatty() and not arguments.json)
    with Keeper(summary, out) as keeper:

        def watch(result: Result) -> None:
            keeper.watch(result)
            progress.show()

        try:
            result = run_unit(unit, watch)
        finally:
            progress.clear()
        keeper.watch(result)
    return print_summary(summary, result, arguments.json)


def print_summary(summary: Summary, result: Result, as_json: bool) -> int:
    """Print what a session did.

    :returns: the exit code
    """
    code = code_of(summary)
    if as_json:
        changes = changes_answer(summary.reference, [summary.candidate])
        dump({**answers.fuzz_answer(summary), "exit_code": code, "changes": changes})
    else:
        print(report.fuzz_text(summary), end="")
    for accident in result.accidents:
        complain(f"{accident}, which did not come again; the session went on")
    if summary.trouble:
        complain(f"{summary.trouble}; not all programs could be written")
    for found in summary.crashes:
        complain(f"a mistake of s2fuzz: {found.reason}; program: {found.path or f'{found.number} of this seed'}")
    for found in summary.unreplayed:
        place = found.path or f"program {found.number} of this seed"
        complain(f"not filed, for it did not replay: {found.kind} {found.signature}: {found.reason}; {place}")
    return code


def code_of(summary: Summary) -> int:
    """The exit code of a session."""
    if summary.interrupted:
        return INTERRUPTED
    if summary.crashes or any(found.kind == CRASH for found in summary.unreplayed):
        return OUR_MISTAKE
    if any(f"{CRASH} {signature}" in found.reason for found in summary.unreplayed for signature in NO_ANSWER):
        return NO_VERDICT
    if summary.trouble:
        return BAD_INPUT
    if not summary.programs:
        return NO_VERDICT
    return WORSE if summary.failed else FINE


class Progress:
    """Shows the session so far on stderr, in one line, not too often.

    :param shown: whether at all
    """

    def __init__(self, summary: Summary, shown: bool) -> None:
        self.summary = summary
        self.shown = shown
        self.last = 0.0

    def show(self) -> None:
        now = time.monotonic()
        if self.shown and now - self.last >= _PROGRESS_EVERY:
            self.last = now
            print(f"\r\x1b[K{report.progress_text(self.summary)}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the line to others."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def make_out(name: str, folder: str) -> Path:
    """The output directory; it is seen now, not after an hour, that files can be written.

    :param folder: in it, for this candidate
    :raises BadInputError: they cannot
    """
    out = Path(name) / folder
    try:
        out.mkdir(parents=True, exist_ok=True)
        Place(out / "finding.s2").probe()
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"--out {name}: {wrong}; allowed: a directory that can be made and written") from None
    return out
