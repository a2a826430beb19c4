# SPDX-License-Identifier: GPL-2.0-only
"""The trial of one mutant: programs, until one of them tells it from its base."""

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import candidate
from candidate import Candidate
from candidate.registry.files import load

from ..execution.mistakes import CandidateMistake
from ..judging.cost import Comparison, Costs
from ..judging.differential import COMMON, Differential
from ..language.text import print_program
from ..processes.fork import Fork
from .mutants import Mutant, candidate_text
from .programs import MutantPrograms, Tried, on_machine
from .streams import does_same

BASE: Final = "original"
# Seconds of CPU time that a mutant may take for one program before it counts as one that does not come back.
PATIENCE: Final = 5
HANGS: Final = "does not return"
DIES: Final = "its process dies"
# What a mutant is killed by that does more than its base, and nothing wrong.
COST: Final = "cost: "
# Not work, but what work is counted in.
_NO_WORK: Final = frozenset({"events", "window_events", "longest_window"})
# Seconds between two looks at the processes.
_LOOK: Final = 0.5


@dataclass(frozen=True, slots=True)
class MutantTrial:
    """The outcome of a trial.

    :param key: of the mutant (`fuzz.mutation.mutants.Mutant.key`)
    :param killed: title of the finding that tells it from its base, or the cost (`COST`); "": nothing did
    :param by: name of the program of that finding
    :param programs: tried until then
    :param operations: of those
    :param silent: text of the first program on which it does other things than its base, without a finding
    :param cpu_seconds: of all that
    """

    key: str
    function: str
    operator: str
    change: str
    killed: str
    by: str
    programs: int
    operations: int
    silent: str
    cpu_seconds: float

    @property
    def equal(self) -> bool:
        """True if its events were the base's on all programs."""
        return not self.killed and not self.silent


class MutantJudge:
    """Tries mutants in this process.

    :param programs: that are tried, the corpus first
    :param operations: a mutant that is alive after so many is let go
    """

    def __init__(self, programs: MutantPrograms, operations: int) -> None:
        self.programs = programs
        self.operations = operations

    def attempt(self, mutant: Mutant) -> MutantTrial:
        """Try one; a mutant that hangs or crashes takes this process with it."""
        start = time.process_time()
        killed = by = silent = cost = ""
        number = operations = 0
        with tempfile.TemporaryDirectory() as folder:
            version = self.version(mutant, Path(folder))
            while not killed and (number < self.programs.corpus or operations < self.operations):
                tried = self.programs.at(number)
                number += 1
                if not tried.points:
                    continue
                operations += len(tried.program.operations)
                signal.setitimer(signal.ITIMER_PROF, PATIENCE)
                here = on_machine(version, tried.caps)
                if not does_same(self.programs.base, here, tried.program, tried.points):
                    killed, more = self.judged(here, tried)
                    by = tried.name if killed or (more and not cost) else by
                    cost = cost or more
                    silent = silent or ("" if killed else print_program(tried.program))
                signal.setitimer(signal.ITIMER_PROF, 0)
        killed = killed or cost
        spent = round(time.process_time() - start, 2)
        return outcome(mutant, killed, by, number, operations, "" if killed else silent, spent)

    def version(self, mutant: Mutant, folder: Path) -> Candidate:
        """Return the candidate that a mutant is, from a file of its own."""
        path = folder / f"m{mutant.key}.py"
        path.write_text(candidate_text(mutant))
        return load(path, str(path))

    def judged(self, version: Candidate, tried: Tried) -> tuple[str, str]:
        """Return the title of the first finding that tells a mutant from its base, and what it does more; "": none."""
        differential = Differential(on_machine(self.programs.base, tried.caps), version, measure=True)
        # What differs is known already.
        differential.ports = None
        try:
            verdict = differential.run(tried.program)
        except CandidateMistake:
            return "mistake: no C compiler would take it", ""
        title = next((each.title for each in verdict.findings if each.kind != COMMON), "")
        return title, costlier(verdict.costs)


def costlier(costs: Comparison | None) -> str:
    """Name the first kind of work of which the candidate does more; "": there is none."""
    if costs is None or not costs.complete:
        return ""
    for each in fields(Costs):
        most, more = getattr(costs.reference, each.name), getattr(costs.candidate, each.name)
        if each.name not in _NO_WORK and more > most:
            return f"{COST}{each.name} {more}, not {most}"
    return ""


def outcome(
    mutant: Mutant, killed: str, by: str, programs: int, operations: int, silent: str, cpu: float
) -> MutantTrial:
    """Return the trial of a mutant."""
    names = (mutant.key, mutant.function.title, mutant.operator, mutant.change)
    return MutantTrial(*names, killed, by, programs, operations, silent, cpu)


class TrialWorker:
    """A fork of this process that tries one mutant after the other.

    *busy*: with this one
    """

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.fork = Fork("a process that tries mutants", work)
        self.fork.start()
        self.busy: Mutant | None = None

    def begin(self, number: int, mutant: Mutant) -> None:
        """Have it try a mutant.

        :param number: by which it knows it
        """
        self.busy = mutant
        self.fork.send(number)

    def end(self) -> MutantTrial:
        """Return the trial that it has made; a death is the mutant's doing."""
        mutant = self.busy
        assert mutant is not None
        self.busy = None
        answer = self.fork.read()
        if answer is not None:
            return MutantTrial(*answer[0])
        code = self.fork.death()
        self.fork.close()
        self.fork.start()
        return outcome(mutant, HANGS if code == -signal.SIGPROF else DIES, "", 0, 0, "", 0.0)


def attempts(todo: Sequence[Mutant], workers: int, operations: int, seed: int) -> Iterator[MutantTrial]:
    """Try mutants.

    :param workers: at a time
    :param operations: of the programs of one that survives; the corpus is always tried as a whole
    :param seed: of the random programs
    :returns: the trials, in the order in which they end
    :raises NoProcessError: the system refuses one
    """
    judging = MutantJudge(MutantPrograms(candidate.get(BASE), seed), operations)

    def work(number: int) -> tuple[Any, ...]:
        trial = judging.attempt(todo[number])
        return tuple(getattr(trial, name) for name in MutantTrial.__slots__)

    pool = [TrialWorker(work) for _ in range(min(workers, len(todo)))]
    try:
        waiting = list(enumerate(todo))[::-1]
        while waiting or any(each.busy for each in pool):
            for each in pool:
                if each.busy is None and waiting:
                    each.begin(*waiting.pop())
            for each in pool:
                if each.busy is not None and each.fork.ready(_LOOK):
                    yield each.end()
    finally:
        for each in pool:
            each.fork.close()
