# SPDX-License-Identifier: GPL-2.0-only
"""Judge versions against themselves, and show findings that no known bug explains: new bugs or false alarms.

``S2FUZZ_TREES=... .venv/bin/python -m tests.measuring.alarms v5.14 tree:PATH``. Versions run one after the other, in
this process. Both sides of a program do the same, so one side is judged for both. Some programs are judged on both
sides. If such a program has par blocks, it is run again and must have the same events.
"""

import argparse
import os
from collections import Counter
from typing import Final

import candidate
from candidate import Candidate
from fuzz.checkers import Violation
from fuzz.engines.repeated import repeat
from fuzz.engines.unit_run import REPEATED, offers_of
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.judging.conditions import Conditions
from fuzz.judging.differential import Differential
from fuzz.judging.verdict import Judge, Verdict
from fuzz.language.program import KIB, Program, has_blocks
from fuzz.language.text import print_program

from .races import cpu_seconds

# Number of programs between two checks of the clock.
LOOK_EVERY: Final = 10


def judged_alone(version: Candidate, program: Program) -> Verdict | None:
    """Return the verdict on a program, with one side standing for both; None if the program did not reach its end."""
    executor = Executor(version, program)
    conditions = Conditions(executor)
    found: list[Violation] = []

    def take(more: list[Violation]) -> None:
        conditions.explain(more)
        found.extend(more)

    try:
        take(executor.create())
        for at in range(len(program.operations)):
            if not executor.dead:
                take(executor.step(at)[1])
        conditions.before_operation(None)
        take(executor.destroy())
        if executor.dead:
            return None
        return Judge(version, version, executor.side.granule).judge(found, found, [])
    finally:
        executor.dismantle()


class Alarms:
    """One version against itself.

    *judged*, *operations*, *concurrent*, *repeated*: number of programs, of operations, of programs with par blocks,
    of repeated programs; *granules*: programs by page size in bytes;
    *explained*: programs by signature and known bug; *alarms*: unexplained findings by signature; *refused*: programs
    without a verdict

    :param version: the version of both sides
    :param generator: source of the programs
    :param blocks: judge programs with par blocks only
    """

    def __init__(self, version: Candidate, generator: Generator, blocks: bool) -> None:
        self.version = version
        self.generator = generator
        self.blocks = blocks
        self.differential = Differential(version, version)
        self.judged = self.operations = self.concurrent = self.repeated = self.refused = 0
        self.granules: Counter[int] = Counter()
        self.explained: Counter[str] = Counter()
        self.alarms: Counter[str] = Counter()

    def next(self) -> Program:
        """Return the next program to be judged."""
        while True:
            program = self.generator.next()
            if has_blocks(program) or not self.blocks:
                return program

    def judge(self) -> list[str]:
        """Judge one program.

        :returns: new findings, as text
        :raises fuzz.engines.repeated.NotRepeatableError: another run of it has other events
        """
        program = self.next()
        self.judged += 1
        self.concurrent += has_blocks(program)
        sampled = self.judged % REPEATED == 1
        alone = None if sampled else judged_alone(self.version, program)
        verdict = self.differential.run(program) if alone is None else alone
        self.granules[program.vm.granule] += 1
        self.operations += len(program.operations)
        self.refused += bool(verdict.refused)
        told: list[str] = []
        for finding in verdict.findings:
            if finding.known:
                self.explained[f"{finding.signature} ({finding.known})"] += 1
                continue
            if not self.alarms[finding.signature]:
                about = f"program {self.generator.number}: {finding.signature}: {finding.reason}"
                told.append(f"{about}\n{print_program(program)}")
            self.alarms[finding.signature] += 1
        if sampled and has_blocks(program) and not verdict.refused:
            repeat(self.version, program)
            self.repeated += 1
        return told

    def text(self, cpu: float) -> str:
        """Return a summary in one line.

        :param cpu: seconds of CPU time
        """
        sizes = ", ".join(f"{count} of {granule // KIB}K" for granule, count in sorted(self.granules.items()))
        runs = f"{self.judged} programs ({sizes}), {self.operations} operations"
        blocks = f"{self.concurrent} with par blocks, {self.repeated} of these repeated"
        found = f"{len(self.explained)} findings explained, {len(self.alarms)} not"
        return f"{self.version.name}: {runs}, {blocks}, {self.refused} refused, {cpu:.0f} CPU s: {found}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.measuring.alarms", description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="+", metavar="VERSION", help="as `s2fuzz list` has them, or tree:PATH")
    parser.add_argument("--cpu", type=float, default=600.0, help="CPU seconds for each (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the programs (%(default)s)")
    parser.add_argument("--granule", type=int, default=0, choices=(0, 4, 16, 64), help="in KiB; 0: all (%(default)s)")
    parser.add_argument("--blocks", action="store_true", help="programs with par blocks only")
    chosen = parser.parse_args()
    for name in chosen.versions:
        version = candidate.get(name)
        alarms = Alarms(version, Generator(chosen.seed, chosen.granule * KIB, offers_of(version)), chosen.blocks)
        start, used = cpu_seconds(os.getpid()), 0.0
        while used < chosen.cpu:
            for told in alarms.judge():
                print(told, flush=True)
            if alarms.judged % LOOK_EVERY == 0:
                used = cpu_seconds(os.getpid()) - start
        print(alarms.text(used), flush=True)


if __name__ == "__main__":
    main()
