# SPDX-License-Identifier: GPL-2.0-only
"""Units that are done again after a failure, and the limits on failures."""

from collections import Counter
from pathlib import Path
from typing import Final

from ...engines.unit import Unit
from ..store.database import CampaignError
from ..store.log import Log
from ..store.records import Records
from .plan import Planner
from .stopping import Stopping

# Limits on consecutive failures.
_MAX_ATTEMPTS: Final = 3
_MAX_ENGINE_FAILURES: Final = 4
_MAX_LOSSES: Final = 10
# Seconds, multiplied by the number of consecutive losses.
_LOSS_DELAY: Final = 0.1


class Retries:
    """The queue of units to do again. It begins with the units that an earlier session left open.

    :param folder: of the campaign
    :param records: of the campaign
    :param log: of the campaign
    """

    def __init__(self, folder: Path, planner: Planner, records: Records, log: Log, stopping: Stopping) -> None:
        self.folder = folder
        self.planner = planner
        self.records = records
        self.log = log
        self.stopping = stopping
        self.queue = planner.open()
        self.attempts: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.disabled: set[str] = set()
        self.losses = 0

    def next_unit(self) -> int:
        """Return the number of the next unit: one from the queue, or else a new one."""
        return self.queue.pop(0) if self.queue else self.planner.plan()

    def repeat(self, number: int, engine: str, why: str) -> None:
        """Queue a unit again; give it up if its engine is disabled."""
        given_up = engine in self.disabled
        if given_up:
            self.records.fail_unit(number, why, True)
        self.decide(number, why, given_up)

    def decide(self, number: int, why: str, given_up: bool) -> None:
        """Log what becomes of a unit that has failed, and queue it again unless it is given up."""
        self.log.say(f"unit {number}: {why}; it is {'given up' if given_up else 'repeated'}")
        if not given_up:
            self.queue.append(number)

    def succeeded(self, engine: str) -> None:
        """Note that a unit of an engine has ended without a failure."""
        self.losses = 0
        self.failures[engine] = 0

    def lost(self, number: int, unit: Unit, why: str) -> None:
        """Process the loss of a unit for a reason unrelated to the unit.

        :raises CampaignError: too many units were lost in a row
        """
        self.losses += 1
        self.repeat(number, unit.engine, why)
        if self.losses >= _MAX_LOSSES:
            raise CampaignError(f"{self.folder}: {why}, {self.losses} times in a row; check the workers")
        # The cause, such as too many processes, may be temporary.
        self.stopping.wait(self.losses * _LOSS_DELAY)

    def failed(self, number: int, unit: Unit, why: str) -> None:
        """Process a failure of a unit's engine.

        :raises CampaignError: no engine is left
        """
        self.attempts[number] += 1
        self.failures[unit.engine] += 1
        if self.failures[unit.engine] >= _MAX_ENGINE_FAILURES and unit.engine not in self.disabled:
            self.disable(unit.engine, why)
        for_good = self.attempts[number] >= _MAX_ATTEMPTS or unit.engine in self.disabled
        self.records.fail_unit(number, why, for_good)
        self.decide(number, why, for_good)
        if not self.planner.engines:
            raise CampaignError(f"{self.folder}: {why}; use an engine that works")

    def disable(self, engine: str, why: str) -> None:
        """Plan no more units of an engine, and give up those in the queue; units in flight may still end well."""
        self.disabled.add(engine)
        self.planner.engines = [each for each in self.planner.engines if each != engine]
        self.log.say(f"engine {engine} does not work and is disabled: {why}")
        dropped = [number for number in self.queue if self.planner.engine(number) == engine]
        self.queue = [number for number in self.queue if number not in dropped]
        for number in dropped:
            self.records.fail_unit(number, why, True)
        if dropped:
            self.log.say(f"units {', '.join(map(str, dropped))}: given up, as engine {engine} is disabled")
