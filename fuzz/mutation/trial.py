# SPDX-License-Identifier: GPL-2.0-only
"""The trial of one mutant: programs run until one of them tells the mutant from its base."""

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

from ..execution.mistakes import CandidateMistakeError
from ..judging.cost import Comparison, Costs
from ..judging.differential import COMMON, Differential
from ..language.text import print_program
from ..processes.fork import Fork
from .mutants import Mutant, candidate_text
from .programs import MutantPrograms, Tried, on_machine
from .streams import same_events

BASE: Final = "original"
# CPU seconds that a mutant may take for one program before it counts as hanging.
PATIENCE: Final = 5
HANGS: Final = "does not return"
DIES: Final = "its process dies"
# Prefix of what kills a mutant that does more work than its base, and nothing wrong.
COST: Final = "cost: "
# Costs that do not measure work by themselves.
_NO_WORK: Final = frozenset({"events", "window_events", "longest_window"})
# Seconds between two polls of the processes.
_LOOK: Final = 0.5


@dataclass(frozen=True, slots=True)
class MutantTrial:
    """The outcome of a trial.

    :param key: key of the mutant (`fuzz.mutation.mutants.Mutant.key`)
    :param killed: title of the finding that tells it from its base, or the cost (`COST`); "" if nothing did
    :param by: name of the program with that finding
    :param programs: number of programs tried
    :param operations: number of their operations
    :param silent: text of the first program on which it differs from its base without a finding
    :param cpu_seconds: CPU time of the trial
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
        """Return whether its events equal those of the base on all programs."""
        return not self.killed and not self.silent


class MutantJudge:
    """Tries mutants in this process.

    :param programs: the programs to try, the corpus first
    :param operations: upper bound of operations for a mutant that survives
    """

    def __init__(self, programs: MutantPrograms, operations: int) -> None:
        self.programs = programs
        self.operations = operations

    def attempt(self, mutant: Mutant) -> MutantTrial:
        """Try one mutant; if it hangs or crashes, it ends this process."""
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
                if not same_events(self.programs.base, here, tried.program, tried.points):
                    killed, more = self.judged(here, tried)
                    by = tried.name if killed or (more and not cost) else by
                    cost = cost or more
                    silent = silent or ("" if killed else print_program(tried.program))
                signal.setitimer(signal.ITIMER_PROF, 0)
        killed = killed or cost
        spent = round(time.process_time() - start, 2)
        return outcome(mutant, killed, by, number, operations, "" if killed else silent, spent)

    def version(self, mutant: Mutant, folder: Path) -> Candidate:
        """Return the candidate for a mutant, loaded from its own file."""
        path = folder / f"m{mutant.key}.py"
        path.write_text(candidate_text(mutant))
        return load(path, str(path))

    def judged(self, version: Candidate, tried: Tried) -> tuple[str, str]:
        """Return the title of the first finding that tells a mutant from its base, and its extra work; "" if none."""
        differential = Differential(on_machine(self.programs.base, tried.caps), version, measure=True)
        # It is already known that the two differ.
        differential.ports = None
        try:
            verdict = differential.run(tried.program)
        except CandidateMistakeError:
            return "mistake: no C compiler would accept it", ""
        title = next((each.title for each in verdict.findings if each.kind != COMMON), "")
        return title, costlier(verdict.costs)


def costlier(costs: Comparison | None) -> str:
    """Return the first kind of work of which the candidate does more; "" if there is none."""
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
    """A fork of this process that tries mutants, one after the other.

    *busy*: the mutant that is being tried
    """

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.fork = Fork("a process that tries mutants", work)
        self.fork.start()
        self.busy: Mutant | None = None

    def begin(self, number: int, mutant: Mutant) -> None:
        """Start the trial of a mutant.

        :param number: index of the mutant, by which the fork identifies it
        """
        self.busy = mutant
        self.fork.send(number)

    def end(self) -> MutantTrial:
        """Return the finished trial; a death of the process is attributed to the mutant."""
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

    :param workers: number of parallel trials
    :param operations: number of operations tried on a mutant that survives; the corpus is always tried completely
    :param seed: seed of the random programs
    :returns: the trials, in the order in which they end
    :raises NoProcessError: the system cannot start a process
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
