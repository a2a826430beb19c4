# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz minimize``: the smallest program that shows a finding."""

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import candidate

from ..exit_codes import FINE, INTERRUPTED
from ..files import Place
from ..findings.found import CRASH, Found, commented, file_comments
from ..findings.replay import Replayer, Shown
from ..judging.silence import SECONDS, is_silent
from ..language.program import Program
from ..language.text import print_program, shown_name
from ..minimizing.minimize import Minimized, minimized
from ..minimizing.trial import Judge, Progress
from ..minimizing.watched import SILENT_TRIAL, WatchedJudge
from ..reports import answers
from ..reports.report import plural
from .changes import changes_answer, say_changes
from .commands import complain, dump, refused_output, say_form
from .finding import Chosen, choose

STANDARD: Final = "-"
_EVERY: Final = 0.2
# Lines that nobody rewrites are few.
_PLAIN_EVERY: Final = 10.0


def command(arguments: argparse.Namespace) -> int:
    """``s2fuzz minimize``

    :raises BadInputError: the program cannot be read or shows nothing, *output* cannot be written
    :raises candidate.UnknownCandidate: no version of one of the names
    """
    with ExitStack() as stack:
        with Replayer() as replayer:
            # What is refused is refused before anything runs.
            place = None if arguments.output is None else _place(arguments)
            chosen = choose(arguments, replayer)
            if arguments.output is None:
                place = _place(arguments)
            if place is not None:
                stack.enter_context(place)
            say_changes(chosen.reference, [chosen.candidate])
            say_form(arguments)
            result, shown = shrink(chosen, replayer, arguments.seconds, quiet=arguments.json)
        # A device or a FIFO cannot be run again.
        file = Path(chosen.file if place is None or place.opened else place.path)
        text = file_text_of(chosen, result, shown, file)
        if place is not None:
            try:
                place.write(text)
            except OSError as error:
                raise refused_output(place.path, error) from None
    name = None if place is None else shown_name(place.path)
    code = INTERRUPTED if result.interrupted else FINE
    if arguments.json:
        changes = changes_answer(chosen.reference, [chosen.candidate])
        dump({**_answer(chosen, result, name, text), "exit_code": code, "changes": changes})
    elif name is None:
        print(text, end="")
    else:
        print(f"{chosen.shown.kind}  {chosen.shown.signature}\n{_sizes(chosen.program, result)}: {name}")
    return code


def shrink(chosen: Chosen, replayer: Replayer, seconds: float, quiet: bool) -> tuple[Minimized, Shown]:
    """Minimise, with progress on stderr unless *quiet*, and replay the result in a fresh process.

    :returns: the result, and the finding as it shows it; the program as it was where the smaller one does not replay
    """
    versions = candidate.get(chosen.reference), candidate.get(chosen.candidate)
    show = None if quiet else Shower(chosen.program)
    patience = SILENT_TRIAL if is_silent(chosen.shown.signature) else SECONDS
    with WatchedJudge(*versions, patience) as watched:
        judge = judge_of(chosen, replayer) or watched
        result = minimized(chosen.program, chosen.key, judge, seconds, progress=show)
    if show is not None:
        show.clear()
    if result.interrupted:
        # Nobody waits any longer than for a trial.
        replayer.silence = patience
    for each in replayer.shows(print_program(result.program), chosen.reference, chosen.candidate):
        if (each.kind, each.signature) == chosen.key:
            return result, each
    complain(f"{chosen.file}: the smaller program does not replay in a fresh process; nothing is left out")
    return Minimized(chosen.program, result.runs, result.seconds, False, result.interrupted), chosen.shown


def judge_of(chosen: Chosen, replayer: Replayer) -> Judge | None:
    """A judge with a fresh process for each program, where a finding is that it dies; None: it is another."""
    if chosen.shown.kind != CRASH:
        return None
    return lambda program: replayer.shows(print_program(program), chosen.reference, chosen.candidate)


def file_text_of(chosen: Chosen, result: Minimized, shown: Shown, file: Path) -> str:
    """The program with its comments.

    :param file: that it goes to, for the command in them
    """
    found = Found(shown.kind, shown.signature, shown.reason, result.program, 0, shown.at)
    about = file_comments(found, chosen.reference, chosen.candidate, file)
    if "seed" in chosen.comments:
        about["seed"] = chosen.comments["seed"]
    about["minimized"] = _sizes(chosen.program, result)
    return commented(about, result.program)


def _place(arguments: argparse.Namespace) -> Place | None:
    """Where to write, seen to be a place for a file; None: standard output.

    :raises BadInputError: it is none
    """
    name = arguments.output
    if name == STANDARD:
        return None
    if name is None:
        path = Path(arguments.program)
        name = str(path.with_name(f"{path.stem}.min{path.suffix}"))
    try:
        place = Place(name)
        place.probe()
    except OSError as error:
        raise refused_output(name, error) from None
    return place


def _sizes(before: Program, result: Minimized) -> str:
    after = result.program
    sizes = f"{plural(len(before.operations), 'operation')} to {len(after.operations)}"
    sizes += f", {plural(len(before.slots), 'slot')} to {len(after.slots)}"
    ended = "" if result.finished else ", interrupted" if result.interrupted else ", not to the end"
    return f"{sizes}, {plural(result.runs, 'run')} in {result.seconds:.1f} s{ended}"


def _answer(chosen: Chosen, result: Minimized, file: str | None, text: str) -> answers.Json:
    return {
        **answers.head(),
        "program": chosen.file,
        "reference": chosen.reference,
        "candidate": chosen.candidate,
        "class": chosen.shown.kind,
        "signature": chosen.shown.signature,
        "operations": [len(chosen.program.operations), len(result.program.operations)],
        "slots": [len(chosen.program.slots), len(result.program.slots)],
        "runs": result.runs,
        "seconds": round(result.seconds, 3),
        "finished": result.finished,
        "interrupted": result.interrupted,
        "file": file,
        "text": text,
    }


class Shower:
    """Shows progress on stderr: a line that is rewritten on a terminal, else now and then one.

    :param program: as it was
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.terminal = sys.stderr.isatty()
        self.last = time.monotonic() - (_EVERY if self.terminal else 0)

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.last < (_EVERY if self.terminal else _PLAIN_EVERY):
            return
        self.last = now
        best = progress.program
        sizes = f"{len(self.program.operations)} -> {plural(len(best.operations), 'operation')}"
        sizes += f", {plural(len(best.slots), 'slot')}, {plural(progress.runs, 'run')}"
        text = f"{progress.seconds:5.0f} s  {sizes}, {progress.doing}"
        before, after = ("\r\x1b[K", "") if self.terminal else ("s2fuzz:", "\n")
        print(before + text, end=after, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the line to others."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
