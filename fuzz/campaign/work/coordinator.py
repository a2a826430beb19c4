# SPDX-License-Identifier: GPL-2.0-only
"""The coordinator: keeps a pool busy and records the outcomes until it is told to stop."""

import sqlite3
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

import candidate
from candidate.tree import TreeError

from ...closing import Closing
from ...corpus import CorpusError
from ...engines.supervisor import EngineError
from ...engines.unit import Unit
from ...execution.mistakes import CandidateMistakeError
from ...findings.accepted import Accepted
from ..store.code import digests_of
from ..store.database import NAME, CampaignError, failure
from ..store.findings import Replayed
from ..store.log import mistake_text
from ..store.outcomes import Notice, UnitOutcome
from ..store.parts import OpenCampaign
from ..store.records import Records
from ..store.settings import Settings
from .file_minimizing import MinimizedFile
from .filing import Filer
from .hook import Hook
from .limits import Limit, Limits
from .plan import Planner
from .pool import Cluster, Local, Pool
from .replays import Replays
from .retries import Retries
from .stopping import INTERRUPTED, Stopping
from .upkeep import Screen, Upkeep
from .worker import Stop

# Ctrl-C takes at most two seconds: time for units to send their results, and for replays to end.
_UNITS_TIMEOUT: Final = 1.0
_REPLAY_TIMEOUT: Final = 0.2
# Time for the remaining replays after the campaign's time is over.
_LAST_REPLAYS: Final = 60.0

Event = tuple[int, "Future[UnitOutcome]"] | Replayed | MinimizedFile


class Coordinator(Closing):
    """One session of a campaign.

    Its pool and its filer begin with it, and `close` ends them.

    :param folder: of the campaign
    :param parts: of the campaign, open in this process only
    :param accepted: the entries of the user's file of accepted findings
    :param client: of the Dask scheduler, if the settings name one (`fuzz.campaign.work.pool.client_of`)
    :raises CampaignError: the directory cannot be written
    """

    def __init__(
        self,
        folder: Path,
        parts: OpenCampaign,
        settings: Settings,
        accepted: Accepted,
        screen: Screen,
        client: Any = None,
    ) -> None:
        self.folder = folder
        self.db, self.log, corpus, seed = parts
        self.settings = settings
        self.screen = screen
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.stopping = Stopping(settings.seconds)
        self.limits = Limits(tuple(Limit(*each) for each in settings.until))
        self.flying: dict[int, Unit] = {}
        # The number of slots of the pool at the last check.
        self.slots = 1
        self.planner = Planner(self.db, corpus, settings, seed)
        code = digests_of(settings.reference, settings.candidate)
        self.records = Records(self.db, corpus, settings, code, accepted)
        self.say_code()
        self.retries = Retries(folder, self.planner, self.records, self.log, self.stopping)
        self.upkeep = Upkeep(folder, self.records, self.log, screen)
        self.pool = self.make_pool(client)
        self.filer = Filer(folder / "findings", settings.reference, settings.candidate, self.events.put)
        self.hook = Hook(settings.on_finding, folder, self.log, self.records.findings.told)
        self.replays = Replays(self.records, self.filer, self.hook, self.log)

    def make_pool(self, client: Any) -> Pool:
        settings = self.settings
        if client is not None:
            return Cluster(client, settings.scheduler, settings.workers, self.log.mistake)
        return Local(settings.workers, self.note)

    def say_code(self) -> None:
        """Log which code has changed since the last session."""
        before = self.records.previous_code()
        if before is None:
            return
        changes = self.records.code.changes(before, (self.settings.candidate, self.settings.reference))
        if changes:
            number = self.records.version
            self.log.say(f"the code of {changes} has changed: later findings count as version {number}")

    def note(self, notice: Notice) -> None:
        """Record a notice, in a worker's thread.

        :raises Stop: the unit is to end
        """
        self.upkeep.notices[notice.worker] = notice
        if self.stopping.units_end():
            raise Stop

    def run(self) -> str:
        """Run until it is time to stop.

        :returns: why it ended
        :raises CampaignError: it cannot continue; the outcomes of the units in flight are lost, and they will be
          repeated
        :raises Exception: a mistake of ours, likewise; the log has its traceback
        """
        try:
            with self.stopping.signals():
                self.records.begin(self.pool.slots())
                self.say_begin()
                self.replays.ask_waiting()
                self.replays.tell_untold()
                self.upkeep.list_corpus()
                while not self.stopping.over():
                    self.fill()
                    self.process_events(0.1)
                    self.upkeep.tick(self.flying)
                    self.hook.tick()
                    self.stopping.reach(self.limits.reached(self.db, self.records.elapsed, self.records.version))
                self.wind_down()
                self.hook.close()
                self.records.end(self.stopping.why)
                self.log.say(f"ended: {self.stopping.why}")
        except (OSError, sqlite3.Error) as error:
            path = self.folder / NAME if isinstance(error, sqlite3.Error) else Path(error.filename or self.log.path)
            raise self.cannot_continue(failure(path, error)) from None
        except (CampaignError, CorpusError, TreeError) as error:
            raise self.cannot_continue(error) from None
        except Exception as error:
            self.note_mistake(error)
            raise
        return self.stopping.why

    def close(self) -> None:
        """End the units and the replays in flight, and release the terminal."""
        self.stopping.ended = True
        with suppress(OSError):
            self.screen.close()
        self.pool.close()
        self.filer.close(_REPLAY_TIMEOUT)

    def cannot_continue(self, error: Exception) -> CampaignError:
        """Log and record the reason, if possible, and return the error to raise."""
        with suppress(OSError, sqlite3.Error):
            self.log.say(f"ended: {error}")
        with suppress(OSError, sqlite3.Error):
            self.records.end(str(error))
        return CampaignError(f"{error}; the campaign has stopped; the same command resumes it")

    def note_mistake(self, error: Exception) -> None:
        """Log and record, if possible, that a mistake of ours ends the session."""
        with suppress(OSError, sqlite3.Error):
            self.log.mistake(error)
        with suppress(OSError, sqlite3.Error):
            self.records.end(mistake_text(error))

    def say_begin(self) -> None:
        settings, repeated = self.settings, len(self.retries.queue)
        where = f"on {settings.scheduler}" if settings.scheduler else f"{self.pool.slots()} workers"
        rest = f"; resumes {repeated} units in flight" if repeated else ""
        what = f"{settings.candidate} against {settings.reference}, engines {' '.join(settings.engines)}, {where}"
        self.log.say(f"session {self.records.session}: {what}{rest}")

    def fill(self) -> None:
        """Hand out units until every worker has one."""
        slots = self.pool.slots()
        if not slots and self.slots:
            self.log.say("no worker of the cluster answers; waiting for one")
        self.slots = slots
        while len(self.flying) < slots:
            number = self.retries.next_unit()
            unit = self.planner.unit(number)
            self.upkeep.report_aside()
            self.records.begin_unit(number)
            self.flying[number] = unit
            self.pool.submit(number, unit).add_done_callback(partial(self.queue_end, number))

    def queue_end(self, number: int, future: "Future[UnitOutcome]") -> None:
        """Queue the end of a unit as an event, in whatever thread."""
        self.events.put((number, future))

    def process_events(self, seconds: float) -> bool:
        """Process all pending events; wait up to *seconds* seconds for the first one.

        :returns: whether there was one
        """
        if self.filer.failure is not None:
            raise self.filer.failure
        try:
            event = self.events.get(timeout=seconds)
        except Empty:
            return False
        while True:
            if isinstance(event, Replayed):
                self.replays.process_replayed(event)
            elif isinstance(event, MinimizedFile):
                self.replays.process_minimized(event)
            else:
                self.process_unit(*event)
            try:
                event = self.events.get_nowait()
            except Empty:
                return True

    def process_unit(self, number: int, future: "Future[UnitOutcome]") -> None:
        """Process the end of a unit."""
        unit = self.flying.pop(number)
        try:
            outcome = future.result()
        except Exception as error:
            self.process_failure(number, unit, error)
            return
        self.retries.succeeded(unit.engine)
        self.upkeep.notices.pop(outcome.worker, None)
        if outcome.code is None:
            self.retries.repeat(number, unit.engine, "the code changed meanwhile")
            return
        if outcome.interrupted and not outcome.state.programs:
            return
        if outcome.code != self.records.code:
            self.switch_code(outcome)
        pending = self.records.finish(unit, outcome, outcome.code)
        if pending is None:
            return
        self.upkeep.unit_done(outcome.worker, outcome.state.programs)
        for line in outcome.accidents:
            self.log.say(f"unit {number}: {line}, which did not recur")
        for each in pending:
            self.filer.ask(each, outcome.code)

    def switch_code(self, outcome: UnitOutcome) -> None:
        """Switch to the new code version that a unit ran on."""
        assert outcome.code is not None
        names = self.settings.candidate, self.settings.reference
        changes = outcome.code.changes(self.records.code, names)
        for name in names:
            # Lines of a tree must refer to its new text; a worker may run on another machine.
            candidate.renewed(name)
        self.records.code = outcome.code
        self.records.version = number = self.records.version_of(outcome.code)
        # Code that was gone may be back, after a change that was undone.
        self.replays.ask_waiting()
        self.log.say(
            f"{outcome.worker}: the code of {changes} has changed:"
            f" findings from unit {outcome.number} on count as version {number}"
        )

    def process_failure(self, number: int, unit: Unit, error: Exception) -> None:
        """Process the failure of a unit.

        :raises CampaignError: the campaign cannot continue
        :raises Exception: *error* itself, if it is a mistake of ours
        """
        if isinstance(error, CandidateMistakeError | TreeError | candidate.UnknownCandidateError):
            if not self.stopping.why:
                raise CampaignError(str(error))
        elif isinstance(error, EngineError):
            if not self.stopping.why:
                self.retries.failed(number, unit, str(error))
        elif why := self.lost(error):
            if not self.stopping.why:
                self.retries.lost(number, unit, why)
        else:
            raise error

    def lost(self, error: Exception) -> str:
        """Return why a unit was lost, if the reason is the system or the pool; "" if it is a mistake of ours."""
        if isinstance(error, OSError):
            return f"no process for it: {error.strerror or error}"
        if isinstance(error, MemoryError):
            return "no memory for it"
        return self.pool.lost(error)

    def replay_time(self) -> float:
        """Return the seconds for the replays at the end of the session: a signal may arrive during that time."""
        return _REPLAY_TIMEOUT if self.stopping.why == INTERRUPTED else _LAST_REPLAYS

    def wind_down(self) -> None:
        """Collect the results so far of the units in flight, and the replays that end in time."""
        deadline = time.monotonic() + _UNITS_TIMEOUT
        while self.flying and (left := deadline - time.monotonic()) > 0:
            self.process_events(left)
        begun = time.monotonic()
        while self.filer.waiting and (left := begun + self.replay_time() - time.monotonic()) > 0:
            self.process_events(min(left, 0.1))
            if self.stopping.why != INTERRUPTED:
                self.upkeep.tick(self.flying)
        # After this, a file that the filer was writing exists and counts.
        self.filer.close(_REPLAY_TIMEOUT)
        while self.process_events(0):
            pass
        self.records.add_statistics(0, 0)
        self.records.exercise.note(self.records.version)
