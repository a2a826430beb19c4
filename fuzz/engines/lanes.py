# SPDX-License-Identifier: GPL-2.0-only
"""Run one unit on several cores: lanes, each of which judges the next program when it is free.

The result does not depend on the number of lanes. A finding enters the result only when no lane can still deliver a
finding of an earlier program. So a unit bounded by programs has the same result, in the same order, for any number of
lanes.
"""

import os
import threading
from dataclasses import replace
from operator import is_not
from typing import Final

from ..execution.mistakes import CandidateMistakeError
from . import numbers
from .numbers import LaneNumbers
from .registry import engine_of
from .supervisor import Watch, run_unit
from .unit import Result, Unit, UnitState

# Seconds between two checks of silent lanes.
_LOOK_EVERY: Final = 0.2
# A number larger than that of any program: the position of a lane that has ended.
_END: Final = 1 << 62


class Lane:
    """One of the supervised processes that do a unit.

    *error*: the exception that `run_unit` raised; *ended*: it does nothing more; *stop*: it is to end; *bound*: it is
    to end after the program with this number

    :param unit: the work shared by all lanes
    :param news: set when there may be something to merge
    """

    def __init__(self, unit: Unit, news: threading.Event) -> None:
        self.unit = unit
        self.news = news
        self.result = Result(unit)
        self.error: Exception | None = None
        self.ended = False
        self.stop = False
        self.bound = _END
        # Number of its messages already merged.
        self.taken = 0
        self.thread: threading.Thread | None = None

    def start(self, share: LaneNumbers) -> None:
        """Start the thread of this lane.

        :param share: this lane's share of the program numbers
        """
        self.thread = threading.Thread(target=self.work, args=(share,), name=f"lane {share.lane}")
        self.thread.start()

    def work(self, share: LaneNumbers) -> None:
        """Judge programs until there are no more."""
        try:
            self.watch(run_unit(self.unit, self.watch, share=share))
        except KeyboardInterrupt:
            pass
        except Exception as error:
            self.error = error
        finally:
            self.ended = True
            self.news.set()

    def watch(self, result: Result) -> None:
        """Keep the result so far.

        :raises KeyboardInterrupt: the lane is to end
        """
        self.result = result
        self.news.set()
        if not self.ended and (self.stop or self.judged() > self.bound):
            raise KeyboardInterrupt

    def judged(self) -> int:
        """Return the number below which all programs of this lane are judged and all their findings delivered."""
        return self.result.state.number + 1

    def reach(self) -> int:
        """Return the smallest program number that a finding still to come can have."""
        # Read this first: a finding that arrives meanwhile belongs to a later program.
        least = _END if self.ended else self.judged()
        return self.result.messages[self.taken].number if self.taken < len(self.result.messages) else least


class Lanes:
    """All lanes of a unit.

    :param unit: the whole work
    :param count: maximum number of lanes
    """

    def __init__(self, unit: Unit, count: int) -> None:
        self.news = threading.Event()
        most = count if unit.programs is None else max(1, min(count, unit.programs))
        self.lanes = [Lane(unit, self.news) for _ in range(most)]
        self.result = Result(unit)
        # The lanes' states that the state of the result includes.
        self.merged: list[UnitState] = []

    def run(self, watch: Watch | None) -> Result:
        """Run all lanes to their ends and merge their results.

        Raises what `run_unit` raises; of several candidates' mistakes, the one of the first program.
        """
        memory = numbers.make(len(self.lanes))
        try:
            for at, lane in enumerate(self.lanes):
                lane.start(LaneNumbers(memory, at))
            while not all(lane.ended for lane in self.lanes):
                self.news.wait(_LOOK_EVERY)
                self.news.clear()
                self.heed_errors()
                self.merge()
                if watch is not None:
                    watch(self.result)
        except KeyboardInterrupt:
            self.result.interrupted = True
        finally:
            self.end()
            os.close(memory)
        self.raise_errors()
        self.result.interrupted |= any(lane.result.interrupted for lane in self.lanes)
        self.merged = []
        self.merge()
        self.result.sum_counts([lane.result for lane in self.lanes])
        return self.result

    def end(self) -> None:
        """End all lanes and wait for them."""
        for lane in self.lanes:
            lane.stop = not lane.ended
        for lane in self.lanes:
            if lane.thread is not None:
                lane.thread.join()

    def heed_errors(self) -> None:
        """Stop or bound the other lanes when one could not continue."""
        for lane in self.lanes:
            if isinstance(lane.error, CandidateMistakeError):
                # An earlier program may show another mistake.
                for other in self.lanes:
                    other.bound = min(other.bound, lane.error.number)
            elif lane.error is not None:
                for other in self.lanes:
                    other.stop = True

    def raise_errors(self) -> None:
        """Raise an error that is not a candidate's mistake, if any; otherwise the mistake of the first program."""
        errors = [lane.error for lane in self.lanes if lane.error is not None]
        if errors:
            raise min(errors, key=lambda error: error.number if isinstance(error, CandidateMistakeError) else 0)

    def merge(self) -> None:
        """Merge findings that no lane can still precede, and update the rest of the result."""
        results = [lane.result for lane in self.lanes]
        states = [each.state for each in results]
        # This runs for each message of a lane, and few messages are states.
        if len(self.merged) != len(states) or any(map(is_not, states, self.merged)):
            self.merged = states
            state = UnitState(ended=True)
            for each in states:
                state = state.beside(each)
            self.result.state = state
        while (lane := min(self.lanes, key=Lane.reach)).taken < len(lane.result.messages):
            # A copy with its own count.
            self.result.record(replace(lane.result.messages[lane.taken]))
            lane.taken += 1
        self.result.count()
        self.result.accidents = [line for each in results for line in each.accidents]


def run_lanes(unit: Unit, count: int, watch: Watch | None = None) -> Result:
    """Do a unit in *count* parallel processes, as `fuzz.engines.supervisor.run_unit` does it in one.

    :param count: must be 1 unless the engine is numbered
    """
    if count == 1:
        return run_unit(unit, watch)
    assert engine_of(unit.engine).numbered
    assert not unit.until
    assert not unit.features
    return Lanes(unit, count).run(watch)
