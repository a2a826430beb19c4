# SPDX-License-Identifier: GPL-2.0-only
"""Keeps a pool busy and writes down what comes of it, until it is told to stop."""

import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final, Protocol

from ..corpus import Corpus, CorpusError
from ..engines.supervisor import EngineError
from ..engines.unit import Unit
from ..findings.accepted import Accepted
from .code import code_of
from .database import NAME, CampaignError, failure
from .filing import Filer
from .log import Log
from .overview import Overview, read
from .plan import Planner
from .pool import Cluster, Local, Pool
from .records import FILED, Records, Replayed
from .settings import Settings
from .work import Notice, Outcome, Stop

# Seconds.
_BEAT_EVERY: Final = 2.0
_SHOW_EVERY: Final = 1.0
STATISTICS_EVERY: Final = 20.0
_SCAN_EVERY: Final = 3600.0
# At a time, of what would keep the rest waiting.
_SCAN_SLICE: Final = 0.05
# Ctrl-C is over within two seconds: units get so long to say what they have, replays so long to end.
_UNITS_PATIENCE: Final = 1.0
_REPLAY_PATIENCE: Final = 0.3
# For the replays that are left when the time is over.
_LAST_REPLAYS: Final = 60.0
# Failures in a row.
_MAX_ATTEMPTS: Final = 3
_MAX_ENGINE_FAILURES: Final = 4
_MAX_LOSSES: Final = 10
# Seconds, times the losses in a row.
_LOSS_DELAY: Final = 0.1

INTERRUPTED: Final = "interrupted"
TIME_OVER: Final = "its time is over"


class Screen(Protocol):
    """Where people see how it goes."""

    def show(self, overview: Overview, news: list[str], last: list[str]) -> None:
        """Show it.

        :param news: messages since the last time
        :param last: the last few messages, with the time of day
        """

    def close(self) -> None:
        """Leave the terminal to others."""


Event = tuple[int, "Future[Outcome]"] | Replayed


class Coordinator:
    """One session of a campaign.

    :param folder: of the campaign
    :param log: of the campaign, which is ours alone meanwhile
    :param seed: of the campaign
    :param accepted: findings that are known
    :raises CampaignError: there is no scheduler, or the directory cannot be written
    """

    def __init__(
        self,
        folder: Path,
        db: sqlite3.Connection,
        log: Log,
        corpus: Corpus,
        settings: Settings,
        seed: int,
        accepted: Accepted,
        screen: Screen,
    ) -> None:
        self.folder = folder
        self.db = db
        self.log = log
        self.settings = settings
        self.screen = screen
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.stopping = threading.Event()
        # Why it ended.
        self.why = ""
        self.notices: dict[str, Notice] = {}
        self.workers: dict[str, tuple[int, int]] = {}
        self.flying: dict[int, Unit] = {}
        self.attempts: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.losses = 0
        # At the last look.
        self.slots = 1
        self.planner = Planner(db, corpus, settings, seed)
        self.again = self.planner.open()
        code = code_of(settings.reference, settings.candidate)
        self.records = Records(db, corpus, settings, code, accepted)
        self.say_code()
        self.pool: Pool
        if settings.scheduler:
            self.pool = Cluster(settings.scheduler, settings.workers)
        else:
            self.pool = Local(settings.workers, self.note)
        self.corpus = corpus
        self.scan: Iterator[tuple[str, object]] | None = None
        self.met: set[str] = set()
        self.newest = 0
        self.due = dict.fromkeys(("beat", "show", "statistics"), 0.0)
        self.next_scan = 0.0

    def say_code(self) -> None:
        """Tell where the code has changed since the last session."""
        before = self.records.previous_code()
        if before is None:
            return
        changes = self.records.code.changes(before, (self.settings.candidate, self.settings.reference))
        if changes:
            number = self.records.version
            self.log.say(f"the code of {changes} has changed: what is found from now on counts as version {number}")

    def note(self, notice: Notice) -> None:
        """Take a notice, in a worker's thread.

        :raises Stop: the unit is to end
        """
        self.notices[notice.worker] = notice
        if self.stopping.is_set():
            raise Stop

    def run(self) -> str:
        """Go on until it is time to stop.

        :returns: why it ended
        :raises CampaignError: it cannot go on; what came of the units in flight is lost, they will be repeated
        """
        filer: Filer | None = None
        try:
            with self.signals():
                self.records.begin(self.pool.slots())
                self.say_begin()
                filer = Filer(
                    self.folder / "findings", self.settings.reference, self.settings.candidate, self.events.put
                )
                self.filer = filer
                for pending in self.records.waiting():
                    filer.ask(pending)
                # So that the first units have something to start from; what the files hold is looked at later.
                self.records.take_corpus(set(self.corpus.digests()), self.records.newest_program())
                while not self.over():
                    self.fill()
                    self.take(0.1)
                    self.tick()
                self.wind_down()
                self.records.end(self.why)
                self.log.say(f"ended: {self.why}")
        except (OSError, sqlite3.Error) as error:
            path = self.folder / NAME if isinstance(error, sqlite3.Error) else Path(error.filename or self.log.path)
            raise self.cannot_go_on(failure(path, error)) from None
        except (CampaignError, CorpusError) as error:
            raise self.cannot_go_on(error) from None
        finally:
            self.stopping.set()
            self.screen.close()
            self.pool.close()
            if filer is not None:
                filer.close(_REPLAY_PATIENCE)
        return self.why

    def cannot_go_on(self, error: Exception) -> CampaignError:
        """Note why, if that can be done."""
        with suppress(OSError, sqlite3.Error):
            self.log.say(f"ended: {error}")
        with suppress(OSError, sqlite3.Error):
            self.records.end(str(error))
        return CampaignError(f"{error}; the campaign has stopped, the same command goes on with it")

    def say_begin(self) -> None:
        settings, repeated = self.settings, len(self.again)
        where = f"on {settings.scheduler}" if settings.scheduler else f"{self.pool.slots()} workers"
        rest = f"; goes on with {repeated} units in flight" if repeated else ""
        what = f"{settings.candidate} against {settings.reference}, engines {' '.join(settings.engines)}, {where}"
        self.log.say(f"session {self.records.session}: {what}{rest}")

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and the like end it in order; a second one at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.why == INTERRUPTED:
                raise KeyboardInterrupt
            self.why = INTERRUPTED
            self.stopping.set()

        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def over(self) -> bool:
        """Whether it is to end."""
        seconds = self.settings.seconds
        if not self.why and seconds is not None and time.monotonic() - self.records.start >= seconds:
            self.why = TIME_OVER
        return bool(self.why)

    def fill(self) -> None:
        """Give every worker something to do."""
        slots = self.pool.slots()
        if not slots and self.slots:
            self.log.say("no worker of the cluster answers; waiting for one")
        self.slots = slots
        while len(self.flying) < slots:
            number = self.again.pop(0) if self.again else self.planner.plan()
            unit = self.planner.unit(number)
            self.report_aside()
            self.records.begin_unit(number)
            self.flying[number] = unit
            self.pool.submit(number, unit).add_done_callback(partial(self.came_back, number))

    def came_back(self, number: int, future: "Future[Outcome]") -> None:
        """A unit ended, in some thread."""
        self.events.put((number, future))

    def take(self, seconds: float) -> bool:
        """Take in what happened, at least one thing within so many seconds.

        :returns: whether there was one
        """
        try:
            event = self.events.get(timeout=seconds)
        except Empty:
            return False
        while True:
            if isinstance(event, Replayed):
                self.take_replayed(event)
            else:
                self.take_unit(*event)
            try:
                event = self.events.get_nowait()
            except Empty:
                return True

    def take_unit(self, number: int, future: "Future[Outcome]") -> None:
        """A unit came back."""
        unit = self.flying.pop(number)
        try:
            outcome = future.result()
        except (Exception, CancelledError) as error:
            self.take_failure(number, unit, error)
            return
        self.losses = 0
        self.failures[unit.engine] = 0
        self.notices.pop(outcome.worker, None)
        if outcome.code is None:
            self.log.say(f"unit {number}: the code has changed meanwhile; it is repeated")
            self.again.append(number)
            return
        if outcome.interrupted and not outcome.state.programs:
            return
        if outcome.code != self.records.code:
            self.take_code(outcome)
        pending = self.records.finish(unit, outcome, outcome.code)
        if pending is None:
            return
        units, programs = self.workers.get(outcome.worker, (0, 0))
        self.workers[outcome.worker] = units + 1, programs + outcome.state.programs
        for line in outcome.accidents:
            self.log.say(f"unit {number}: {line}, which did not come again")
        for each in pending:
            self.filer.ask(each)

    def take_code(self, outcome: Outcome) -> None:
        """A unit ran on other code than those before."""
        assert outcome.code is not None
        names = self.settings.candidate, self.settings.reference
        changes = outcome.code.changes(self.records.code, names)
        self.records.code = outcome.code
        self.records.version = number = self.records.version_of(outcome.code)
        self.filer.other_code()
        self.log.say(
            f"{outcome.worker}: the code of {changes} is another one:"
            f" what is found from unit {outcome.number} on counts as version {number}"
        )

    def take_failure(self, number: int, unit: Unit, error: BaseException) -> None:
        """A unit came to nothing."""
        if self.stopping.is_set():
            return
        why = f"no process for it: {error.strerror or error}" if isinstance(error, OSError) else self.pool.lost(error)
        if why:
            self.take_loss(number, why)
            return
        self.attempts[number] += 1
        self.failures[unit.engine] += 1
        text = str(error) if isinstance(error, EngineError) else repr(error)
        for_good = self.attempts[number] >= _MAX_ATTEMPTS
        self.records.fail_unit(number, text, for_good)
        self.log.say(f"unit {number}: {text}; it is {'given up' if for_good else 'repeated'}")
        if not for_good:
            self.again.append(number)
        if self.failures[unit.engine] >= _MAX_ENGINE_FAILURES and unit.engine in self.planner.engines:
            self.planner.engines = [engine for engine in self.planner.engines if engine != unit.engine]
            self.again = [each for each in self.again if each != number]
            self.log.say(f"engine {unit.engine} does not work and is left out: {text}")
            if not self.planner.engines:
                raise CampaignError(f"{self.folder}: {text}; allowed: an engine that works")

    def take_loss(self, number: int, why: str) -> None:
        """A unit came to nothing, and not by its fault."""
        self.losses += 1
        self.log.say(f"unit {number}: {why}; it is repeated")
        self.again.append(number)
        if self.losses >= _MAX_LOSSES:
            raise CampaignError(f"{self.folder}: {why}, {self.losses} times in a row; allowed: workers that can work")
        # Too many processes, say: that may pass.
        self.stopping.wait(self.losses * _LOSS_DELAY)

    def take_replayed(self, replayed: Replayed) -> None:
        """A program was replayed."""
        self.filer.waiting -= 1
        pending = replayed.pending
        if replayed.trouble:
            raise CampaignError(f"{replayed.trouble}; allowed: a directory that can be written, with room in it")
        if not self.records.file(replayed):
            return
        if replayed.state == FILED:
            accepted = self.records.accepted_text(pending.kind, pending.signature)
            known = f" (accepted: {accepted})" if accepted else ""
            self.log.say(f"found: {pending.kind} {pending.signature}{known}: {replayed.file}")
        else:
            self.log.say(f"did not replay: {pending.kind} {pending.signature}: {replayed.reason}")

    def tick(self) -> None:
        """What is due from time to time."""
        now = time.monotonic()
        self.scan_corpus(now)
        if self.is_due("beat", now, _BEAT_EVERY):
            flying = {
                name: (self.flying[notice.number].engine, notice)
                for name, notice in list(self.notices.items())
                if notice.number in self.flying
            }
            for name in flying:
                self.workers.setdefault(name, (0, 0))
            self.records.show(self.workers, flying)
        if self.is_due("statistics", now, STATISTICS_EVERY):
            at = [notice for notice in list(self.notices.values()) if notice.number in self.flying]
            self.records.add_statistics(sum(each.programs for each in at), sum(each.operations for each in at))
        if self.is_due("show", now, _SHOW_EVERY):
            self.screen.show(read(self.db, self.folder), self.log.take(), list(self.log.last))

    def is_due(self, what: str, now: float, every: float) -> bool:
        if now < self.due[what]:
            return False
        self.due[what] = now + every
        return True

    def scan_corpus(self, now: float) -> None:
        """Look at the files of the corpus, a few at a time: others may have put some there, or spoiled some."""
        if self.scan is None:
            if now < self.next_scan:
                return
            self.newest = self.records.newest_program()
            self.scan, self.met = self.corpus.programs(), set()
        end = now + _SCAN_SLICE
        for digest, _ in self.scan:
            self.met.add(digest)
            if time.monotonic() >= end:
                return
        self.scan, self.next_scan = None, now + _SCAN_EVERY
        self.records.take_corpus(self.met, self.newest)
        self.report_aside()

    def report_aside(self) -> None:
        """Tell of files in the corpus that are no programs of it."""
        for line in self.records.told_of():
            self.log.say(f"corpus: {line}")

    def wind_down(self) -> None:
        """Take in what the units in flight have so far, and what is replayed by then."""
        self.stopping.set()
        deadline = time.monotonic() + _UNITS_PATIENCE
        while self.flying and (left := deadline - time.monotonic()) > 0:
            self.take(left)
        last = _REPLAY_PATIENCE if self.why == INTERRUPTED else _LAST_REPLAYS
        deadline = time.monotonic() + last
        while self.filer.waiting and (left := deadline - time.monotonic()) > 0:
            self.take(min(left, _SHOW_EVERY))
            if self.why != INTERRUPTED:
                self.tick()
        self.records.add_statistics(0, 0)
