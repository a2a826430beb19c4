# SPDX-License-Identifier: GPL-2.0-only
"""The replay of programs on one version, to see the lines of its modules that run."""

import sys
from collections.abc import Sequence
from pathlib import Path

from candidate import Candidate

from ..execution.executor import Executor
from ..language.program import Program


def replay(version: Candidate, program: Program) -> None:
    """Run a program as one side does when it is judged."""
    executor = Executor(version, program)
    executor.create()
    for at in range(len(program.operations)):
        if executor.dead:
            break
        executor.step(at)
    executor.destroy()


def candidate_files(versions: Sequence[Candidate]) -> list[Path]:
    """The modules of candidate/ that these versions are made of, sorted."""
    classes = [cls for version in versions for cls in (*version.pgtable.__mro__, *version.mmu.__mro__)]
    modules = {cls.__module__ for cls in classes if cls.__module__.startswith("candidate.")}
    return sorted(Path(sys.modules[name].__file__ or "") for name in modules)
