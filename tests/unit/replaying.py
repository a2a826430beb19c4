# SPDX-License-Identifier: GPL-2.0-only
"""A replayer that judges in this process, where a test can patch it."""

from collections.abc import Sequence

import candidate
from fuzz.findings.replay import Replayer
from fuzz.judging.finding import Finding
from fuzz.language.text import parse
from fuzz.minimizing.minimizer import judge_here


class Here(Replayer):
    """Starts no process; records the texts that it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def expect(self, programs: Sequence[str], reference: str, candidate_name: str, beside: int) -> None:
        """Do nothing: programs are judged only when they are asked for."""

    def shows(self, program: str, reference: str, candidate_name: str) -> list[Finding]:
        self.asked.append(program)
        return judge_here(candidate.get(reference), candidate.get(candidate_name))(parse(program))


class Scripted(Here):
    """Returns prepared findings.

    :param answers: program text -> findings; other programs have none
    """

    def __init__(self, answers: dict[str, list[Finding]]) -> None:
        super().__init__()
        self.answers = answers

    def shows(self, program: str, reference: str, candidate_name: str) -> list[Finding]:
        self.asked.append(program)
        return self.answers.get(program, [])
