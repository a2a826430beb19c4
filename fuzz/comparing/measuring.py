# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a workload on one version."""

import random
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Final

from candidate import Candidate

from ..execution.actors import SWITCH, Actor
from ..execution.executor import Executor
from ..execution.par_operations import ParOperations
from ..execution.refusal import UnmodelledError
from ..exploring.places import RunPlaces
from ..judging.cost import Cost
from ..judging.differential import tree_of
from ..language.operations import Par, Switch
from ..language.program import Program
from .workloads import create, rebuild

# Draws of the places at which vCPUs come into a rebuild.
DRAWS: Final = 3


class WorkloadError(Exception):
    """A version does not come to the end of a workload; one line that says why."""


@dataclass(slots=True)
class Figures:
    """The cost of the block of a workload, the mean of all draws.

    :param bytes_cleaned: of the data cache, to the point of coherency
    :param window_entries: entries that the walker visits while the entry of the block is invalid
    :param window_events: events of the kernel layer meanwhile
    :param faults: translation faults of the other vCPUs
    """

    bytes_cleaned: float = 0.0
    window_entries: float = 0.0
    window_events: float = 0.0
    faults: float = 0.0

    def add(self, other: "Figures", share: float) -> None:
        """Add a share of others."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name) * share)


class Arriving(ParOperations):
    """vCPUs come into what the first one does: when they wait, or are done, the first one goes on."""

    def next(self, actor: Actor) -> Actor | None:
        first = self.actors[0]
        if actor.left != SWITCH and not first.done and not first.waiting:
            return first
        return super().next(actor)


class Experiment:
    """A workload on one version, for numbers of vCPUs.

    :param workload: one of `fuzz.comparing.workloads.WORKLOADS`
    :param block: one of `fuzz.comparing.workloads.BLOCKS`
    :param seed: of what is drawn
    """

    def __init__(self, version: Candidate, workload: str, block: str, seed: int = 0) -> None:
        self.version = version
        self.workload = workload
        self.block = block
        self.seed = seed
        # Of a rebuild, once they are known: there may be a great many.
        self.places: RebuildPlaces | None = None

    def measure(self, cpus: int) -> Figures:
        """Run the workload, one that draws anything `DRAWS` times.

        :param cpus: vCPUs
        :raises WorkloadError: the version crashes, or gets nowhere
        :raises UnmodelledError: the workload needs what is not modelled of the version
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
            mean.add(run(started(self.version, rebuild(cpus, self.block, arriving(drawn)))), 1 / DRAWS)
        return mean


class RebuildPlaces:
    """The places to which the vCPU that rebuilds a block comes, in their order.

    :raises WorkloadError, UnmodelledError: as of `Experiment.measure`

    *count*: how many there are
    """

    def __init__(self, version: Candidate, block: str) -> None:
        executor = started(version, rebuild(2, block))
        places = RunPlaces(executor)
        run(executor)
        self.found = [place for place in places.found if place.switch.cpu == 0]
        # How many there are up to each, that one and those that follow it by their count included.
        self.ends = list(accumulate(1 + place.more for place in self.found))
        self.count = self.ends[-1]

    def place(self, number: int) -> Switch:
        """Return one of the places, from 0."""
        at = bisect_right(self.ends, number)
        place = self.found[at]
        into = number - self.ends[at] + 1 + place.more
        return replace(place.switch, count=place.switch.count + into)


def arriving(places: Iterable[Switch]) -> list[Switch]:
    """Let vCPUs 1, 2, ... arrive at these places, each at another one."""
    return [replace(place, to=cpu) for cpu, place in enumerate(places, 1)]


def started(version: Candidate, program: Program) -> Executor:
    """A side on which vCPUs arrive, before anything has run on it."""
    executor = Executor(version, program)
    executor.par = Arriving(executor.side, executor.checkers, executor.guest, executor.host, executor.unsettled)
    tree = tree_of(executor)
    if tree is not None:
        # Who goes on is said here, not in the tree's process.
        tree.direct = 0
    return executor


def run(executor: Executor) -> Figures:
    """Run a program whose last operation is the block; return what that costs.

    :raises WorkloadError, UnmodelledError: as of `Experiment.measure`
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
