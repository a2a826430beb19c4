# SPDX-License-Identifier: GPL-2.0-only
"""The programs of the benchmark, and the answers of `fuzz.benchmark.mix_process`.

``python -m fuzz.benchmark.mix PROGRAMS`` answers each line ``NAME ARGUMENTS...`` on its
standard input with one line of JSON: the result of the method of `Mix` with that name, or of `memory`.
``python -m fuzz.benchmark.mix PROGRAMS all`` judges all programs and prints nothing. Versions other than
the original and RFC v1 may follow: ``REFERENCE CANDIDATE``.
"""

import cProfile
import gc
import json
import os
import pstats
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import candidate
from candidate.tree.runtime import times
from reference.events import EVENT_NAMES, Observer

from ..execution.executor import Executor
from ..judging.collection import collect_rarely
from ..judging.differential import Differential
from ..language.program import Program
from . import fixed, switching
from .areas import shares

# Seed of the engines that are measured.
SEED: Final = 1
REFERENCE: Final = "original"
CANDIDATE: Final = "rfc-v1"
# The profiled run has one program in this many, since profiling is slow.
PROFILED: Final = 5


class Count(Observer):
    """Counts the events of a kernel layer, each once."""

    events = 0


def _count(self: Count, *_: object) -> None:
    self.events += 1


for _name in EVENT_NAMES:
    setattr(Count, _name, _count)


class Mix:
    """The fixed mix, and two versions.

    :param programs: number of programs, at most `fixed.COUNT`
    :param reference: name of a version; likewise *version*
    """

    def __init__(self, programs: int, reference: str = REFERENCE, version: str = CANDIDATE) -> None:
        self.reference, self.candidate = candidate.get(reference), candidate.get(version)
        self.differential = Differential(self.reference, self.candidate)
        self.programs = fixed.programs(programs)
        # CPU seconds of each program, when last judged.
        self.spent = [0.0] * programs

    def run(self, first: int, end: int) -> dict[str, float]:
        """Judge programs *first* to *end*.

        :returns: ``seconds``, ``cpu_seconds`` of this process, ``operations``; ``user_seconds`` and ``system_seconds``
            of the processes of trees; ``in_full``: programs of two trees that were judged again in full
        """
        start, cpu, trees, again = time.perf_counter(), time.process_time(), times.seconds(), self.differential.again
        for at in range(first, end):
            self.spent[at] = self.judge(self.programs[at])
        user, system = times.seconds()
        return {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
            "user_seconds": user - trees[0],
            "system_seconds": system - trees[1],
            "operations": sum(len(program.operations) for program in self.programs[first:end]),
            "in_full": self.differential.again - again,
        }

    def judge(self, program: Program) -> float:
        """Judge a program.

        :returns: CPU seconds of this process
        """
        start = time.process_time()
        self.differential.run(program)
        return time.process_time() - start

    def capped(self) -> dict[str, float]:
        """Judge the capped mix (`fixed.shortened`): after `run`, judge the programs that differ from the fixed mix.

        :returns: ``cpu_seconds`` of all programs, ``operations``, ``changed``: number of programs that differ
        """
        programs = [fixed.shortened(number, program) for number, program in enumerate(self.programs)]
        spent, changed = list(self.spent), 0
        for at, program in enumerate(programs):
            if program != self.programs[at]:
                spent[at] = self.judge(program)
                changed += 1
        operations = sum(len(program.operations) for program in programs)
        return {"cpu_seconds": sum(spent), "operations": operations, "changed": changed}

    def counts(self) -> list[list[int]]:
        """Return the counts of each program, for both sides together, in the order of `fuzz.benchmark.model.TERMS`."""
        self.differential.measure = True
        rows = [self.counts_of(program) for program in self.programs]
        self.differential.measure = False
        return rows

    def counts_of(self, program: Program) -> list[int]:
        """Return the counts of one program."""
        costs = self.differential.run(program).costs
        sides = [] if costs is None else [costs.reference, costs.candidate]
        words = program.vm.granule // 8 * sum(side.table_pages for side in sides)
        events, entries = sum(side.events for side in sides), sum(side.entries_visited for side in sides)
        return [1, len(program.operations), events, entries, words]

    def spending(self) -> list[float]:
        """Return the CPU seconds of each program, when last judged."""
        return self.spent

    def events(self) -> int:
        """Return the number of events of both sides over all programs, including creation and destruction."""
        return sum(self.events_of(program) for program in self.programs)

    def events_of(self, program: Program) -> int:
        sides = [Executor(version, program) for version in (self.reference, self.candidate)]
        counts = [Count() for _ in sides]
        for side, count in zip(sides, counts, strict=True):
            side.side.kernel.observe(count)
            side.create()
        for at in range(len(program.operations)):
            if any(side.dead for side in sides):
                break
            for side in sides:
                side.step(at)
        for side in sides:
            side.destroy()
            side.dismantle()
        return sum(count.events for count in counts)

    def switch(self) -> float:
        """Return the microseconds that a switch between two vCPUs takes in the reference."""
        return round(switching.cost(self.reference), 2)

    def areas(self) -> dict[str, float]:
        """Return per cent of the time by area, from a profiled run; for plain Python only."""
        profile = cProfile.Profile()
        profile.enable()
        self.run(0, max(len(self.programs) // PROFILED, 1))
        profile.disable()
        return shares(pstats.Stats(profile))


def memory() -> dict[str, int]:
    """Return ``peak_kib``, the peak memory of this process, and ``objects``, the number of live Python objects.

    The peak depends on the largest program so far. Objects whose number grows with the
    number of programs are a leak.
    """
    gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_kib": peak // 1024 if sys.platform == "darwin" else peak, "objects": len(gc.get_objects())}


def serve(mix: Mix, reply: Callable[[str], None]) -> None:
    """Answer until standard input ends.

    :param reply: receives each answer, a line of JSON
    """
    methods = (mix.run, mix.capped, mix.counts, mix.spending, mix.events, mix.switch, mix.areas)
    commands: dict[str, Callable[..., Any]] = {method.__name__: method for method in methods}
    commands["memory"] = memory
    for line in sys.stdin:
        name, *arguments = line.split()
        answer = commands[name](*map(int, arguments))
        reply(json.dumps(answer))


if __name__ == "__main__":
    # The parent process ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _all = sys.argv[2:3] == ["all"]
    _mix = Mix(int(sys.argv[1]), *sys.argv[2 + _all :])
    collect_rarely()
    if _all:
        _mix.run(0, len(_mix.programs))
        # Skip the garbage collections at exit, which are not part of judging.
        os._exit(0)
    serve(_mix, lambda line: print(line, flush=True))
