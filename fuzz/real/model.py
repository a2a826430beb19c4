# SPDX-License-Identifier: GPL-2.0-only
"""The model of a kernel: the outcomes of a program on it, and the rules that it breaks."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import candidate
from candidate import Candidate
from candidate.tree import PREFIX

from ..checkers import Violation
from ..execution.executor import Executor
from ..language.program import Program
from ..sides.outcome import Outcome
from .kernels import series

# The port that is closest to Debian's kernels.
PORT: Final = "v5.14"
# Environment variable: folder with kernel trees by version, as `make test-trees` creates it.
TREES_VARIABLE: Final = "S2FUZZ_TREES"


@dataclass
class Expected:
    """Outcomes and violations of a program on a version of the model.

    :param outcomes: one for each operation that ran
    :param violations: in order, each with the operation at which it was seen
    :param refused: why the model has no verdict; "" if it has one
    """

    outcomes: list[Outcome] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    refused: str = ""


class ModelRun:
    """A program on one version of the kernel code, watched by checkers, one operation at a time.

    :param one_cpu: run all vCPUs on one CPU, as the emulated machine does: a local TLB flush then affects all of them
    """

    def __init__(self, version: Candidate, program: Program, one_cpu: bool = True) -> None:
        self.program = program
        self.one_cpu = one_cpu
        self.found = Expected()
        self.executor = Executor(version, program)
        take(self.found, -1, self.executor.create())

    def step(self) -> bool:
        """Run the next operation; return false if there is none, or none can run any more."""
        at = len(self.found.outcomes)
        if self.executor.dead or at == len(self.program.operations):
            return False
        if self.one_cpu:
            cpus = self.executor.side.cpu_of
            cpus[:] = [0] * len(cpus)
        outcome, violations = self.executor.step(at)
        self.found.outcomes.append(outcome)
        take(self.found, at, violations)
        return True

    def finish(self) -> Expected:
        """Run the remaining operations, end the VMs, and return the results."""
        while self.step():
            pass
        take(self.found, len(self.program.operations), self.executor.destroy())
        self.found.refused = self.executor.refused
        self.executor.side.dismantle()
        return self.found


def take(found: Expected, at: int, violations: list[Violation]) -> None:
    """Record violations seen at operation *at*."""
    for violation in violations:
        violation.at = at
        found.violations.append(violation)


def available_trees() -> dict[str, Path]:
    """Return kernel trees by version, such as ``6.12``."""
    homes = [os.environ.get(TREES_VARIABLE, ""), os.path.expanduser("~/.cache/s2fuzz/kernels")]
    found: dict[str, Path] = {}
    for home in filter(None, homes):
        try:
            for each in sorted(Path(home).iterdir()):
                if (each / "arch/arm64/kvm").is_dir():
                    found.setdefault(each.name, each)
        except OSError:
            continue
    return found


def model_for(release: str) -> str:
    """Return the name of the version that models a kernel: its tree, if available, or a port.

    :param release: release of the kernel
    """
    tree = available_trees().get(series(release))
    return f"{PREFIX}{tree}" if tree is not None else PORT


def get(name: str) -> Candidate:
    """Return the version of this name.

    :raises candidate.UnknownCandidateError: there is none
    :raises candidate.tree.TreeError: a tree cannot be built
    """
    return candidate.get(name)
