# SPDX-License-Identifier: GPL-2.0-only
"""Engines as supervised child processes: no findings are lost when a child dies."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..execution.mistakes import CandidateMistakeError
from ..findings.found import CRASH
from ..findings.record import FindingRecord
from ..judging import silence
from ..judging.finding import Finding
from ..judging.silence import Silence, silent_finding, silent_key
from ..language.text import parse
from ..processes.child import Child
from ..processes.patience import Patience
from ..processes.starting import starting
from ..sides.pulse import Position
from .flight import SharedFlight, make
from .numbers import LaneNumbers
from .registry import engine_of
from .unit import Result, Unit, from_line

# Seconds that one program may take (`fuzz.processes.patience`).
PROGRAM_TIMEOUT: Final = 180.0
# Seconds of CPU time in one place where kernel code is known not to return: after a unit's time is over, waiting
# longer reveals nothing new.
_ENOUGH: Final = 1.0
# Seconds between two checks of a silent child.
_LOOK_EVERY: Final = 0.5
# Consecutive deaths without a judged program in between after which a unit is given up.
_MAX_DEATHS: Final = 3

Watch = Callable[[Result], None]


class EngineError(Exception):
    """Children of a unit die before they judge anything; the message is one line that gives the cause."""


class EngineKilledError(EngineError):
    """Children of a unit are killed from outside, or memory runs out."""


class EngineChild(Child):
    """A process that does a unit.

    :param unit: its work
    :param result: records its messages
    :param seconds: of CPU time without an event after which kernel code counts as not returning
    :param share: as in `run_unit`
    :raises NoProcessError: the process cannot be started
    """

    def __init__(self, unit: Unit, result: Result, seconds: float, share: LaneNumbers | None = None) -> None:
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

    def stop(self) -> None:
        """Kill the child and record its remaining messages."""
        self.kill()
        for line in self.left():
            self.result.record(from_line(line))

    def close(self) -> None:
        super().close()
        self.flight.close()


def run_unit(
    unit: Unit,
    watch: Watch | None = None,
    patience: float = PROGRAM_TIMEOUT,
    seconds: float = silence.SECONDS,
    share: LaneNumbers | None = None,
) -> Result:
    """Do a unit in a child process, and in further ones if that dies or hangs.

    Kernel code that does not return is a finding (`fuzz.judging.silence`), which the receiver of the result replays.
    The rest of the unit continues while there is time. If a child dies of a program in any other way, the next child
    judges that program once more. If that child dies too (after SIGKILL: also a third one), the program is a finding of
    class crash, and the rest of the unit continues.

    :param watch: called with the result so far from time to time; may raise KeyboardInterrupt
    :param patience: seconds that one program may take
    :param seconds: of CPU time without an event after which kernel code counts as not returning
    :param share: this lane's share of the program numbers, if other lanes do the unit too; None: no other lane does
    :raises EngineError: children die before they judge anything
    :raises NoProcessError: no child can be started
    :raises CandidateMistakeError: the candidate's Python has a mistake
    """
    result = Result(unit)
    rest = unit
    idle = tries = 0
    while True:
        child = EngineChild(rest, result, seconds, share)
        try:
            death = follow(child, patience, watch)
        except KeyboardInterrupt:
            child.stop()
            result.interrupted = True
            return result
        finally:
            number, text, begun, over = child.flight.number(), child.flight.text(), child.flight.begun(), child.over()
            child.close()
        if result.mistake:
            mistake = CandidateMistakeError(result.mistake)
            mistake.number = result.mistaken
            raise mistake
        if not death:
            return result
        result.end_child(time.monotonic() - begun if begun else 0.0, child.silence.spent if begun else 0.0)
        idle = 0 if number else idle + 1
        if idle == _MAX_DEATHS:
            told = f"engine {unit.engine}: its process {death}, {idle} times, before it judged anything"
            if death.endswith("SIGKILL"):
                raise EngineKilledError(f"{told}; try: free memory, or look for the killer in `dmesg`")
            raise EngineError(told)
        tries = tries + 1 if text and text == rest.again else 1
        # SIGKILL comes from outside, possibly twice by chance; a program causes it only if memory runs out.
        again = text if tries < (3 if death.endswith("SIGKILL") else 2) else ""
        if text and child.stuck is not None:
            again = ""
            program = parse(text)
            finding = silent_finding(child.stuck, unit.reference, unit.candidate, program, seconds)
            record = FindingRecord(finding, text, number, unit.seed)
            if over:
                # There is no time to replay another program of a known finding.
                record = result.found.get(finding.title, record)
            result.record_lost(record, len(program.operations))
            if unit.ends_with(finding.title):
                return result
            if watch is not None:
                # Let the caller replay it now, while no other process of ours uses the CPU.
                try:
                    watch(result)
                except KeyboardInterrupt:
                    result.interrupted = True
                    return result
        elif text and not again:
            reason = f"the process that judged it {death}, {tries} times in a row"
            # Omit the seconds: another process may have a different patience.
            finding = Finding(CRASH, f"process {death.partition(' for ')[0]}", reason)
            result.record(FindingRecord(finding, text, number, unit.seed))
        else:
            result.accidents.append(f"a process {death}" + (f" at program {number}" if number else ""))
        result.next_child()
        if not number:
            # The child began no program: the next child does the same work.
            number, again = rest.first - 1, rest.again
        rest = remaining(unit, result, number, again)
        if not again and 0 in (rest.programs, rest.seconds, rest.cpu):
            return result


def follow(child: EngineChild, patience: float, watch: Watch | None) -> str:
    """Record the messages of a child until it ends.

    :param patience: seconds that one program may take; before the first one, it is `PROGRAM_TIMEOUT`
    :returns: the cause of its death, as text; "" if it completed its work
    """
    seen = -1
    waited = Patience(child.pid, PROGRAM_TIMEOUT)
    while True:
        more = child.receive(_LOOK_EVERY)
        if more is None:
            how = child.death()
            return "" if child.result.state.ended else how
        if child.look():
            child.stop()
            return "ran on in kernel code without an event"
        if watch is not None:
            watch(child.result)
        number = child.flight.number()
        if more or number != seen:
            seen, waited = number, Patience(child.pid, patience if number else PROGRAM_TIMEOUT)
        elif waited.over():
            child.stop()
            return f"made no progress for {waited.seconds:g} s"


def remaining(unit: Unit, result: Result, number: int, again: str) -> Unit:
    """Return the rest of a unit after the death of a child.

    :param number: of the last program that the child began, or of the one before the first if it began none
    :param again: a program to judge once more; "" for none
    """
    first = number + 1
    left = unit.programs
    if left is not None:
        # Each further run of a program that is judged again counts as a program.
        left += bool(again) - bool(unit.again) - (first - unit.first)
    return replace(
        unit,
        # Use a new seed where program numbers alone do not make the programs differ.
        seed=unit.seed if engine_of(unit.engine).numbered else unit.seed + first,
        first=first,
        programs=left,
        seconds=None if unit.seconds is None else max(0.0, unit.seconds - result.state.seconds),
        cpu=None if unit.cpu is None else max(0.0, unit.cpu - result.state.cpu),
        again=again,
    )
