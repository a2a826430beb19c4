# SPDX-License-Identifier: GPL-2.0-only
"""The findings of a program, judged in a process that may end or hang."""

from dataclasses import astuple
from typing import Final

from candidate import Candidate

from ..findings.found import CRASH
from ..findings.replay import HUNG, died_signature
from ..judging import silence
from ..judging.finding import Finding
from ..judging.forked import CopyLostError, Forked
from ..judging.silence import silent_finding
from ..language.program import Program
from ..language.text import parse, print_program
from .minimizer import judge_here

# Seconds of CPU time without an event that suffice while a program is reduced whose kernel code is known
# not to return: each program that shows it takes this long. The result is replayed with the full limit.
SILENT_TRIAL: Final = 2.0


class WatchedJudge:
    """A `fuzz.minimizing.minimizer.Judge` with its own process for all programs. A context manager.

    :param seconds: CPU time without an event after which kernel code counts as not returning
    """

    def __init__(self, reference: Candidate, candidate: Candidate, seconds: float = silence.SECONDS) -> None:
        self.names = reference.name, candidate.name
        judge = judge_here(reference, candidate)
        self.forked = Forked(lambda text: [astuple(each) for each in judge(parse(text))], seconds)

    def __enter__(self) -> "WatchedJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self.forked.close()

    def __call__(self, program: Program) -> list[Finding]:
        try:
            return [Finding(*each) for each in self.forked.ask(print_program(program))]
        except CopyLostError as lost:
            if lost.position is not None:
                return [silent_finding(lost.position, *self.names, program, lost.seconds)]
            signature = HUNG
            if lost.status is not None:
                text = f"process ended with exit code {lost.status}"
                signature = died_signature(-lost.status) if lost.status < 0 else text
            return [Finding(CRASH, signature, f"no verdict: the process {lost}")]
