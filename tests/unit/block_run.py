# SPDX-License-Identifier: GPL-2.0-only
"""A program with par blocks, run on one version with a trace."""

import candidate
from candidate import Candidate
from fuzz.checkers import Violation
from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from fuzz.reports.trace import Trace
from fuzz.sides.outcome import Outcome


class Run:
    """A program on one version: the lines of a trace, outcomes, violations; *turns*: turns taken in a tree's process.

    :param direct: as in `candidate.tree.runtime.tree.TreeSide.direct`
    """

    def __init__(self, version: str | Candidate, text: str, direct: int = 1) -> None:
        program = parse(text)
        executor = Executor(candidate.get(version) if isinstance(version, str) else version, program)
        tree = executor.tree
        if tree is not None:
            tree.direct = direct
        trace = Trace(executor)
        self.violations: list[Violation] = executor.create()
        self.outcomes: list[Outcome] = []
        self.lines = [line.text for line in trace.take(self.violations, None)]
        for at in range(len(program.operations)):
            if executor.dead:
                break
            outcome, found = executor.step(at)
            self.outcomes.append(outcome)
            self.lines += [line.text for line in trace.take(found, outcome)]
            self.violations += found
        found = executor.destroy()
        self.lines += [line.text for line in trace.take(found, None)]
        self.violations += found
        self.refused = executor.refused
        process = None if tree is None else tree.process
        self.turns, self.turn_time = (0, 0) if process is None else process.turns()
        executor.dismantle()

    def count(self, text: str) -> int:
        """Return the number of lines that contain a text."""
        return sum(text in line for line in self.lines)

    def order(self) -> str:
        """Return the numbers of the vCPUs in the order of their turns."""
        return "".join(line[-1] for line in self.lines if line.startswith("-- turn of cpu"))
