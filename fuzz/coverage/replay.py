# SPDX-License-Identifier: GPL-2.0-only
"""Replay of programs on one version, to find the lines of its modules that run."""

from collections.abc import Sequence
from pathlib import Path

from candidate import Candidate
from candidate.registry.files import modules_of
from candidate.registry.source_paths import source_of

from ..execution.executor import Executor
from ..language.program import Program
from ..sides.pulse import REFERENCE


def replay(version: Candidate, program: Program, number: int = REFERENCE) -> Executor:
    """Run a program as one side does during judging; return that side after its end.

    :param number: the number of the side, for `fuzz.sides.pulse`
    """
    executor = Executor(version, program, number)
    executor.create()
    for at in range(len(program.operations)):
        if executor.dead:
            break
        executor.step(at)
    executor.destroy()
    return executor


def candidate_files(versions: Sequence[Candidate]) -> list[Path]:
    """Return the modules that define these versions, of candidate/ or outside files, sorted."""
    modules = {name for version in versions for name in modules_of(version) if name.startswith("candidate.")}
    return sorted(source_of(name) for name in modules)
