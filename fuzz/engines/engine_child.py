# SPDX-License-Identifier: GPL-2.0-only
"""The child process of a unit, seen from its parent."""

import os
import time
from typing import Final, NamedTuple

from ..judging.exits import exit_mistake
from ..judging.silence import Silence, silent_key
from ..processes.child import Child
from ..processes.starting import starting
from ..sides.pulse import Position
from .flight import SharedFlight, make
from .numbers import LaneNumbers
from .registry import engine_of
from .unit import Result, Unit, from_line

# Seconds of CPU time in one place where kernel code is known not to return: after a unit's time is over, waiting
# longer reveals nothing new.
_ENOUGH: Final = 1.0


class LastFlight(NamedTuple):
    """The work of a child when it ended.

    :param number: of the last program that it began; 0: it began none
    :param text: the program that it was judging; "" for none
    :param stuck: position of kernel code that did not return; None: that is not the reason
    :param silent: seconds of CPU time without an event after which kernel code counted as not returning
    :param mistake: the mistake of the code under test if that code ended the child; "": that is not the reason
    :param over: whether the unit's time was over
    :param seconds: since the beginning of the unit; 0.0: it did not begin
    :param cpu: seconds of CPU time, likewise
    """

    number: int
    text: str
    stuck: Position | None
    silent: float
    mistake: str
    over: bool
    seconds: float
    cpu: float


class EngineChild(Child):
    """A process that does a unit.

    :param unit: its work
    :param result: records its messages
    :param seconds: of CPU time without an event after which kernel code counts as not returning
    :param share: as in `fuzz.engines.supervisor.run_unit`
    :raises NoProcessError: the process cannot be started
    """

    def __init__(self, unit: Unit, result: Result, seconds: float, share: LaneNumbers | None) -> None:
        self.unit = unit
        self.result = result
        # The position of kernel code that did not return, if any.
        self.stuck: Position | None = None
        what = f"the process of engine {unit.engine}"
        with starting(what):
            memory = make()
        try:
            self.flight = SharedFlight(memory)
            changes = dict(engine_of(unit.engine).environment)
            given = [str(memory)] if share is None else [str(memory), share.text()]
            passed = [memory] if share is None else [memory, share.memory]
            super().__init__(what, "fuzz.engines.engine_process", *given, passed=passed, environment=changes)
        finally:
            os.close(memory)
        self.silence = Silence(self.pid, self.flight.pulse, seconds)
        self.send(unit.to_json().encode(), last=True)

    def receive(self, seconds: float) -> bool | None:
        """Record the messages that the child sends within *seconds* seconds.

        :returns: whether there were any; None: the child has closed its end
        """
        lines = self.read(seconds)
        if lines is None:
            return None
        for line in lines:
            self.result.record(from_line(line))
        return bool(lines)

    def look(self) -> bool:
        """Tell whether the child is in kernel code that does not return."""
        stuck = self.silence.look()
        last = self.silence.last
        if stuck is None and last is not None and self.over() and self.silence.quiet >= _ENOUGH:
            # Give up early only at a position that another program has shown already.
            stuck = last if " ".join(silent_key(last)) in self.result.found else None
        self.stuck = stuck
        return stuck is not None

    def over(self) -> bool:
        """Tell whether the unit's time is over."""
        begun, seconds, cpu = self.flight.begun(), self.unit.seconds, self.unit.cpu
        if begun <= 0:
            return False
        return (seconds is not None and time.monotonic() - begun >= seconds) or (
            cpu is not None and self.silence.spent >= cpu
        )

    def last_flight(self) -> LastFlight:
        """Return the work of the child when it ended."""
        flight, begun = self.flight, self.flight.begun()
        seconds, cpu = (time.monotonic() - begun, self.silence.spent) if begun else (0.0, 0.0)
        code = self.process.poll()
        mistake = exit_mistake(flight.pulse, -1 if code is None else code)
        stuck, silent = self.stuck, self.silence.limit
        return LastFlight(flight.number(), flight.text(), stuck, silent, mistake, self.over(), seconds, cpu)

    def stop(self) -> None:
        """Kill the child and record its remaining messages."""
        self.kill()
        for line in self.left():
            self.result.record(from_line(line))

    def close(self) -> None:
        super().close()
        self.flight.close()
