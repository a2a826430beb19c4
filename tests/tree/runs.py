# SPDX-License-Identifier: GPL-2.0-only
"""Runs of a program on a version: the lines of its trace, or its violations."""

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.reports.trace import Trace

from ..good_bad.case import all_found

MAPS = parse("s2fuzz 1\nvm\nslot a size=4M backing=anon\ncpu0 write a+0\ncpu0 read a+4K\n")


def trace(name: str, program: Program = MAPS) -> list[str]:
    """Return the lines of a program's trace on a version, violations included."""
    executor = Executor(candidate.get(name), program)
    trace = Trace(executor)
    lines = trace.take(executor.create(), None)
    for at in range(len(program.operations)):
        outcome, violations = executor.step(at)
        lines += trace.take(violations, outcome)
    executor.destroy()
    executor.dismantle()
    return [line.text for line in lines]


def violations(name: str, program: Program) -> list[str]:
    """Return the signatures of the violations of a program on a version."""
    return [violation.signature for violation in all_found(candidate.get(name), program)]
