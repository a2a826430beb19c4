# SPDX-License-Identifier: GPL-2.0-only
"""Periodic upkeep of a campaign: show its state, check the corpus."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from ...engines.unit import Unit
from ..store.log import Log
from ..store.outcomes import Notice
from ..store.records import Records
from ..view.overview import Overview
from ..view.queries import read

# Intervals in seconds; _SHOW_SHARE is a factor on the time that showing takes.
_BEAT_EVERY: Final = 2.0
_SHOW_EVERY: Final = 1.0
_SHOW_SHARE: Final = 50
# Interval between two checks of how much of the difference of kernel trees ran; longer if a check takes long.
_EXERCISE_EVERY: Final = 5.0
_FORGET_AFTER: Final = 600.0
# Intervals between points of the curves: short while the campaign is young, one minute later.
_STATISTICS_EVERY: Final = (3.0, 60.0)
_POINTS: Final = 100
_SCAN_EVERY: Final = 3600.0
# Maximum time per scan step, because other work waits meanwhile.
_SCAN_SLICE: Final = 0.05


class Screen(Protocol):
    """The output on which people see the state of a campaign."""

    def show(self, overview: Overview, news: list[str], last: list[str]) -> None:
        """Show the state.

        :param news: messages since the last call
        :param last: the latest messages, with the time of day
        """

    def close(self) -> None:
        """Release the terminal."""


class Upkeep:
    """The periodic work between other work.

    :param folder: of the campaign
    """

    def __init__(self, folder: Path, records: Records, log: Log, screen: Screen) -> None:
        self.folder = folder
        self.records = records
        self.log = log
        self.screen = screen
        # For each worker: its progress, the number of units and programs that it has done, and when it last reported.
        self.notices: dict[str, Notice] = {}
        self.done: dict[str, tuple[int, int]] = {}
        self.heard: dict[str, float] = {}
        self.scan: Iterator[tuple[str, object]] | None = None
        self.met: set[str] = set()
        self.newest = 0
        self.due = dict.fromkeys(("beat", "show", "statistics", "scan", "exercise"), 0.0)

    def tick(self, flying: Mapping[int, Unit]) -> None:
        """Do whatever is due.

        :param flying: the units in flight, keyed by number
        """
        now = time.monotonic()
        self.look_at_corpus(now)
        at = [notice for notice in list(self.notices.values()) if notice.number in flying]
        if self.is_due("beat", now, _BEAT_EVERY):
            self.beat(now, {notice.worker: (flying[notice.number].engine, notice) for notice in at})
        least, most = _STATISTICS_EVERY
        if self.is_due("statistics", now, min(max(self.records.elapsed / _POINTS, least), most)):
            self.records.add_statistics(sum(each.programs for each in at), sum(each.operations for each in at))
        if self.is_due("exercise", now, _EXERCISE_EVERY):
            self.records.exercise.note(self.records.version)
            self.due["exercise"] += _SHOW_SHARE * (time.monotonic() - now)
        if self.is_due("show", now, _SHOW_EVERY):
            self.show(now)

    def beat(self, now: float, at: Mapping[str, tuple[str, Notice]]) -> None:
        """Write the state of the workers for other processes.

        :param at: for each worker its engine and its progress
        """
        for name in at:
            self.done.setdefault(name, (0, 0))
            self.heard[name] = now
        # Workers of a cluster come and go.
        self.records.show(
            {name: done for name, done in self.done.items() if now - self.heard[name] < _FORGET_AFTER}, at
        )

    def show(self, now: float) -> None:
        """Show the state to people."""
        try:
            self.screen.show(read(self.records.db, self.folder), self.log.take(), list(self.log.last))
        except OSError:
            # The terminal is gone or the pipe is closed; that must not end a campaign that may run for weeks.
            self.due["show"] = math.inf
            return
        # Summing up a long campaign takes longer, so show it less often.
        self.due["show"] = now + max(_SHOW_EVERY, _SHOW_SHARE * (time.monotonic() - now))

    def is_due(self, what: str, now: float, every: float) -> bool:
        if now < self.due[what]:
            return False
        self.due[what] = now + every
        return True

    def list_corpus(self) -> None:
        """Record the names of the corpus; the contents of the files are checked later."""
        programs = self.records.programs
        programs.sync_with_folder(set(programs.corpus.digests()), programs.newest(), self.records.elapsed)

    def look_at_corpus(self, now: float) -> None:
        """Read some files of the corpus per call: others may have added or damaged files."""
        programs = self.records.programs
        if self.scan is None:
            if not self.is_due("scan", now, _SCAN_EVERY):
                return
            self.scan, self.met, self.newest = programs.corpus.programs(), set(), programs.newest()
        end = now + _SCAN_SLICE
        for digest, _ in self.scan:
            self.met.add(digest)
            if time.monotonic() >= end:
                return
        self.scan = None
        programs.sync_with_folder(self.met, self.newest, self.records.elapsed)
        self.report_aside()

    def report_aside(self) -> None:
        """Report files in the corpus that are not programs."""
        for line in self.records.programs.new_bad_files():
            self.log.say(f"corpus: {line}")

    def unit_done(self, worker: str, programs: int) -> None:
        """Record that a worker has done a unit."""
        units, before = self.done.get(worker, (0, 0))
        self.done[worker] = units + 1, before + programs
        self.heard[worker] = time.monotonic()
