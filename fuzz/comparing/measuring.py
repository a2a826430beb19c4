# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a workload on one version."""

import random
from dataclasses import dataclass, fields, replace
from typing import Final

from candidate import Candidate

from ..execution.actors import SWITCH, Actor
from ..execution.executor import Executor
from ..execution.par_operations import ParOperations
from ..exploring.places import SwitchPlaces
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


def measure(version: Candidate, workload: str, cpus: int, block: str, seed: int = 0) -> Figures:
    """Run a workload, one that draws anything `DRAWS` times.

    :param workload: one of `fuzz.comparing.workloads.WORKLOADS`
    :param cpus: vCPUs
    :param block: one of `fuzz.comparing.workloads.BLOCKS`
    :raises WorkloadError: the version has no verdict, crashes, or gets nowhere
    """
    if workload == "create":
        return run(started(version, create(cpus, block)))
    if cpus == 1:
        return run(started(version, rebuild(cpus, block)))
    places = steps(version, block)
    mean = Figures()
    for draw in range(DRAWS):
        drawn = random.Random(f"compare {seed} {draw}").sample(places, min(cpus - 1, len(places)))
        mean.add(run(started(version, rebuild(cpus, block, arriving(drawn)))), 1 / DRAWS)
    return mean


def steps(version: Candidate, block: str) -> list[Switch]:
    """Return the places to which the vCPU that rebuilds comes, in their order."""
    executor = started(version, rebuild(2, block))
    places = SwitchPlaces(executor)
    run(executor)
    return [place.switch for place in places.found if place.switch.cpu == 0]


def arriving(places: list[Switch]) -> list[Switch]:
    """Let vCPUs 1, 2, ... arrive at these places, each at another one."""
    return [replace(place, to=cpu) for cpu, place in enumerate(places, 1)]


def started(version: Candidate, program: Program) -> Executor:
    """A side on which vCPUs arrive, before anything has run on it."""
    executor = Executor(version, program)
    executor.par = Arriving(executor.side, executor.checkers, executor.guest, executor.host)
    tree = tree_of(executor)
    if tree is not None:
        # Who goes on is said here, not in the tree's process.
        tree.direct = 0
    return executor


def run(executor: Executor) -> Figures:
    """Run a program whose last operation is the block; return what that costs.

    :raises WorkloadError: as of `measure`
    """
    cost = Cost(executor)
    executor.create()
    figures = Figures()
    for at, operation in enumerate(executor.program.operations):
        before = cost.totals()
        cleaned, entries, events = before.bytes_cleaned, before.window_entries, before.window_events
        outcome, _ = executor.step(at)
        if executor.refused or executor.dead or outcome.status != "ok":
            why = executor.refused or outcome.detail or str(outcome)
            raise WorkloadError(f"{executor.side.version.name}: operation {at + 1}: {why}")
        if isinstance(operation, Par):
            after = cost.totals()
            faults = sum(
                part.faults for part, each in zip(outcome.parts, operation.operations, strict=True) if each.cpu
            )
            figures = Figures(
                after.bytes_cleaned - cleaned, after.window_entries - entries, after.window_events - events, faults
            )
    executor.destroy()
    executor.checkers.dismantle()
    executor.side.dismantle()
    return figures
