# SPDX-License-Identifier: GPL-2.0-only
"""A replayer that judges in this process, where a test can reach into it."""

from collections.abc import Sequence

import candidate
from fuzz.findings.replay import Replayer
from fuzz.judging.finding import Finding
from fuzz.language.text import parse
from fuzz.minimizing.minimizer import judge_here


class Here(Replayer):
    """Starts no process; keeps the texts that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def expect(self, programs: Sequence[str], reference: str, candidate_name: str, beside: int) -> None:
        """Begin nothing: programs are judged when they are asked for."""

    def shows(self, program: str, reference: str, candidate_name: str) -> list[Finding]:
        self.asked.append(program)
        return judge_here(candidate.get(reference), candidate.get(candidate_name))(parse(program))


class Scripted(Here):
    """Says what a test wants it to.

    :param answers: program text -> what it shows; others show nothing
    """

    def __init__(self, answers: dict[str, list[Finding]]) -> None:
        super().__init__()
        self.answers = answers

    def shows(self, program: str, reference: str, candidate_name: str) -> list[Finding]:
        self.asked.append(program)
        return self.answers.get(program, [])
