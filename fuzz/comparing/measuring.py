# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a workload on one version."""

import random
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Final

from candidate import Candidate

from ..execution.actors import SWITCH, YIELD, Actor
from ..execution.executor import Executor
from ..execution.par_operations import ParOperations
from ..execution.refusal import UnmodelledError
from ..exploring.switch_places import RunPlaces
from ..judging.cost import Cost
from ..language.operations import Par, Switch
from ..language.program import Program
from .workloads import create, rebuild

# Number of draws of the places at which vCPUs arrive in a rebuild.
DRAWS: Final = 3


class WorkloadError(Exception):
    """A version does not finish a workload; one line with the reason."""


@dataclass(slots=True)
class Figures:
    """The cost of the block of a workload, the mean of all draws.

    :param bytes_cleaned: bytes of the data cache cleaned to the point of coherency
    :param window_entries: entries that the walker visits while the entry of the block is invalid
    :param window_events: events of the kernel layer in that time
    """

    bytes_cleaned: float = 0.0
    window_entries: float = 0.0
    window_events: float = 0.0
    faults: float = 0.0

    def add(self, other: "Figures", share: float) -> None:
        """Add a share of other figures."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name) * share)


class ArrivalScheduler(ParOperations):
    """A block in which vCPUs interrupt the first one. The first one continues when they wait or are done."""

    def next(self, actor: Actor) -> Actor | None:
        first = self.actors[0]
        if actor.reason not in (SWITCH, YIELD) and not first.done and not first.waiting:
            return first
        return super().next(actor)


class Experiment:
    """A workload on one version, for different numbers of vCPUs.

    :param workload: one of `fuzz.comparing.workloads.WORKLOADS`
    :param block: one of `fuzz.comparing.workloads.BLOCKS`
    :param seed: the seed of all draws
    """

    def __init__(self, version: Candidate, workload: str, block: str, seed: int = 0) -> None:
        self.version = version
        self.workload = workload
        self.block = block
        self.seed = seed
        # The places of a rebuild, once they are known: there may be very many.
        self.places: RebuildPlaces | None = None

    def measure(self, cpus: int) -> Figures:
        """Run the workload, `DRAWS` times if it draws anything.

        :param cpus: number of vCPUs
        :raises WorkloadError: the version crashes, or gets stuck
        :raises UnmodelledError: the workload needs something that is not modelled for the version
        """
        if self.workload == "create":
            return run(started(self.version, create(cpus, self.block)))
        if cpus == 1:
            return run(started(self.version, rebuild(cpus, self.block)))
        if self.places is None:
            self.places = RebuildPlaces(self.version, self.block)
        places = self.places
        mean = Figures()
        for draw in range(DRAWS):
            source = random.Random(f"compare {self.seed} {draw}")
            drawn = map(places.place, source.sample(range(places.count), min(cpus - 1, places.count)))
            mean.add(run(started(self.version, rebuild(cpus, self.block, arrivals_at(drawn)))), 1 / DRAWS)
        return mean


class RebuildPlaces:
    """The places that the vCPU that rebuilds a block reaches, in order.

    :raises WorkloadError, UnmodelledError: as in `Experiment.measure`

    *count*: the number of places
    """

    def __init__(self, version: Candidate, block: str) -> None:
        executor = started(version, rebuild(2, block))
        places = RunPlaces(executor)
        run(executor)
        self.found = [place for place in places.found if place.switch.cpu == 0]
        # The number of places up to and including each one, with those that differ from it only in their count.
        self.ends = list(accumulate(1 + place.more for place in self.found))
        self.count = self.ends[-1]

    def place(self, number: int) -> Switch:
        """Return the place of this number, from 0."""
        at = bisect_right(self.ends, number)
        place = self.found[at]
        into = number - self.ends[at] + 1 + place.more
        return replace(place.switch, count=place.switch.count + into)


def arrivals_at(places: Iterable[Switch]) -> list[Switch]:
    """Let vCPUs 1, 2, ... arrive at these places, each at a different one."""
    return [replace(place, to=cpu) for cpu, place in enumerate(places, 1)]


def started(version: Candidate, program: Program) -> Executor:
    """Return the executor of a side on which vCPUs arrive, before anything has run on it."""
    executor = Executor(version, program)
    executor.par = ArrivalScheduler(executor.side, executor.checkers, executor.guest, executor.host, executor.unsettled)
    tree = executor.tree
    if tree is not None:
        # The next actor is chosen here, not in the tree's process.
        tree.direct = 0
    return executor


def run(executor: Executor) -> Figures:
    """Run a program whose last operation is the block. Return the cost of the block.

    :raises WorkloadError, UnmodelledError: as in `Experiment.measure`
    """
    cost = Cost(executor)
    executor.create()
    figures = Figures()
    for at, operation in enumerate(executor.program.operations):
        before = cost.totals()
        cleaned, entries, events = before.bytes_cleaned, before.window_entries, before.window_events
        outcome, _ = executor.step(at)
        place = f"{executor.side.version.name}: operation {at + 1}"
        if executor.refused:
            raise UnmodelledError(executor.refused, place)
        if executor.dead or outcome.status != "ok":
            raise WorkloadError(f"{place}: {outcome.detail or outcome}")
        if isinstance(operation, Par):
            after = cost.totals()
            faults = sum(
                part.faults for part, each in zip(outcome.parts, operation.operations, strict=True) if each.cpu
            )
            figures = Figures(
                after.bytes_cleaned - cleaned, after.window_entries - entries, after.window_events - events, faults
            )
    executor.destroy()
    executor.dismantle()
    return figures
