# SPDX-License-Identifier: GPL-2.0-only
"""The smallest program that shows a finding, with progress for people. Imported by actions only."""

import sys
import time
from typing import Final

import candidate

from ..findings.found import CRASH
from ..findings.replay import Replayer
from ..judging.finding import Finding
from ..judging.silence import SECONDS, is_silent
from ..language.program import Program
from ..language.text import print_program
from ..minimizing.minimize import Minimized, minimized
from ..minimizing.minimizer import Judge, MinimizingProgress
from ..minimizing.watched import SILENT_TRIAL, WatchedJudge
from ..reports.report import plural
from .chosen_finding import Chosen
from .messages import complain

_EVERY: Final = 0.2
# Print fewer lines where they cannot be rewritten.
_PLAIN_EVERY: Final = 10.0


def shrink(chosen: Chosen, replayer: Replayer, seconds: float, quiet: bool) -> tuple[Minimized, Finding]:
    """Minimise, with progress on stderr unless *quiet*, and replay the result in a fresh process.

    :returns: the result, and the finding as the result shows it; the original program if the smaller one does not
      replay
    """
    versions = candidate.get(chosen.reference), candidate.get(chosen.candidate)
    show = None if quiet else ShrinkingDisplay(chosen.program)
    patience = SILENT_TRIAL if is_silent(chosen.shown.signature) else SECONDS
    with WatchedJudge(*versions, patience) as watched:
        judge = judge_of(chosen, replayer) or watched
        result = minimized(chosen.program, chosen.key, judge, seconds, progress=show)
    if show is not None:
        show.clear()
    if result.interrupted:
        # After Ctrl-C, wait no longer than for a trial.
        replayer.silence = patience
    for each in replayer.shows(print_program(result.program), chosen.reference, chosen.candidate):
        if each.key == chosen.key:
            return result, each
    complain(f"{chosen.file}: the smaller program does not replay in a fresh process; the original program is kept")
    return Minimized(chosen.program, result.runs, result.seconds, False, result.interrupted), chosen.shown


def judge_of(chosen: Chosen, replayer: Replayer) -> Judge | None:
    """Return a judge that uses a fresh process per program, for a finding that kills the process; None for others."""
    if chosen.shown.kind != CRASH:
        return None
    return lambda program: replayer.shows(print_program(program), chosen.reference, chosen.candidate)


def sizes_text(before: Program, result: Minimized) -> str:
    """Return the sizes of a program before and after, with the effort spent."""
    after = result.program
    sizes = f"{plural(len(before.operations), 'operation')} to {len(after.operations)}"
    sizes += f", {plural(len(before.slots), 'slot')} to {len(after.slots)}"
    ended = "" if result.finished else ", interrupted" if result.interrupted else ", not to the end"
    return f"{sizes}, {plural(result.runs, 'run')} in {result.seconds:.1f} s{ended}"


class ShrinkingDisplay:
    """Progress on stderr: a line that is updated in place on a terminal, otherwise occasional lines.

    :param program: before minimising
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.terminal = sys.stderr.isatty()
        self.last = time.monotonic() - (_EVERY if self.terminal else 0)

    def __call__(self, progress: MinimizingProgress) -> None:
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
        """Clear the line for other output."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
