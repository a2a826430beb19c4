# SPDX-License-Identifier: GPL-2.0-only
"""Engines as supervised child processes: whatever a child dies of, nothing that it found is lost."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from ..distribution import home_folder
from ..execution.mistakes import CandidateMistake
from ..findings.found import CRASH
from ..judging import silence
from ..judging.silence import Silence, silent_finding, silent_key
from ..language.text import parse
from ..processes.starting import starting
from ..sides.pulse import Position
from .flight import SharedFlight, make
from .peers import environment
from .unit import FoundRecord, Result, Unit, from_line

# Seconds that one program may take.
PATIENCE: Final = 180.0
# Seconds of CPU time in one place where kernel code is known not to come back: nothing new is
# to be learnt there when a unit's time is over.
_ENOUGH: Final = 1.0
# Seconds between two looks at a silent child.
_LOOK_EVERY: Final = 0.5
# Deaths in a row, without a program judged between them, after which a unit is given up.
_MAX_DEATHS: Final = 3

Watch = Callable[[Result], None]


class EngineError(Exception):
    """Children of a unit die before they judge anything; one line that says how."""


class EngineKilledError(EngineError):
    """Somebody else ends them, or memory runs out."""


class Child:
    """A process that does a unit.

    :param unit: what it does
    :param result: takes what it tells
    :param seconds: of CPU time without an event after which kernel code does not come back
    """

    def __init__(self, unit: Unit, result: Result, seconds: float) -> None:
        self.unit = unit
        self.result = result
        # Where it did not come back, if that was so.
        self.stuck: Position | None = None
        self.rest = b""
        memory = make()
        self.pipe, pipe = os.pipe()
        self.flight = SharedFlight(memory)
        command = [sys.executable, "-m", "fuzz.engines.child", str(os.getpid()), str(pipe), str(memory)]
        paths = [str(home_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                # A process group of its own: Ctrl-C is the parent's to handle.
                start_new_session=True,
                pass_fds=(pipe, memory),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment(unit.engine)},
            )
        finally:
            os.close(pipe)
            os.close(memory)
        assert self.process.stdin is not None
        self.silence = Silence(self.process.pid, self.flight.pulse, seconds)
        # If it is dead, its exit code says more.
        with suppress(BrokenPipeError):
            self.process.stdin.write(unit.to_json().encode() + b"\n")
            self.process.stdin.close()

    def read(self, seconds: float) -> bool | None:
        """Take what the child tells within so many seconds.

        :returns: whether there was anything; None: it has closed its end
        """
        if not select.select([self.pipe], [], [], seconds)[0]:
            return False
        data = os.read(self.pipe, 1 << 20)
        if not data:
            return None
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.result.take(from_line(line))
        return True

    def look(self) -> bool:
        """Whether it is in kernel code that does not come back."""
        stuck = self.silence.look()
        last = self.silence.last
        if stuck is None and last is not None and self.over() and self.silence.quiet >= _ENOUGH:
            # Only for what another program has shown already.
            stuck = last if " ".join(silent_key(last)) in self.result.found else None
        self.stuck = stuck
        return stuck is not None

    def over(self) -> bool:
        """Whether its time is over."""
        begun, seconds = self.flight.begun(), self.unit.seconds
        return begun > 0 and seconds is not None and time.monotonic() - begun >= seconds

    def drain(self) -> None:
        """Take what is left of a child that was killed."""
        while self.read(0):
            pass

    def kill(self) -> None:
        """End it, and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        self.kill()
        os.close(self.pipe)
        self.flight.close()


def run_unit(
    unit: Unit, watch: Watch | None = None, patience: float = PATIENCE, seconds: float = silence.SECONDS
) -> Result:
    """Do a unit in child processes: in one, unless that dies or hangs.

    Kernel code that does not come back is a finding (`fuzz.judging.silence`), which whoever takes
    the result is to replay; the rest of the unit goes on, as long as there is time. A program of which
    a child dies otherwise is judged once more by the next one; if that
    dies too (after SIGKILL: the third as well), it is a finding of class crash, and the rest of the unit goes on.

    :param watch: called with the result so far, now and then; may raise KeyboardInterrupt
    :param patience: seconds that one program may take
    :param seconds: of CPU time without an event after which kernel code does not come back
    :raises EngineError: children die before they judge anything
    :raises NoProcessError: none can be started
    :raises CandidateMistake: the candidate's Python has a mistake
    """
    result = Result(unit)
    rest = unit
    idle = tries = 0
    while True:
        with starting(f"the process of engine {unit.engine}"):
            child = Child(rest, result, seconds)
        try:
            death = follow(child, patience, watch)
        except KeyboardInterrupt:
            child.kill()
            child.drain()
            result.interrupted = True
            return result
        finally:
            number, text, begun, over = child.flight.number(), child.flight.text(), child.flight.begun(), child.over()
            child.close()
        if result.mistake:
            raise CandidateMistake(result.mistake)
        if not death:
            return result
        idle = 0 if number else idle + 1
        if idle == _MAX_DEATHS:
            told = f"engine {unit.engine}: its process {death}, {idle} times, before it judged anything"
            if death.endswith("SIGKILL"):
                raise EngineKilledError(f"{told}; try: free memory, or see who ends it (`dmesg`)")
            raise EngineError(told)
        tries = tries + 1 if text and text == rest.again else 1
        # SIGKILL comes from outside, by chance twice; it is a program's doing only where memory runs out.
        again = text if tries < (3 if death.endswith("SIGKILL") else 2) else ""
        if text and child.stuck is not None:
            again = ""
            program = parse(text)
            found = silent_finding(child.stuck, unit.reference, unit.candidate, program, seconds)
            record = FoundRecord(found.kind, found.signature, found.reason, found.at, number, text)
            if over:
                # There is no time left to replay another program of a finding.
                record = result.found.get(record.key, record)
            result.take_lost(record, len(program.operations))
            if record.key == unit.until:
                return result
            if watch is not None:
                # Whoever replays it has the CPU time for that: no other process of ours runs meanwhile.
                try:
                    watch(result)
                except KeyboardInterrupt:
                    result.interrupted = True
                    return result
        elif text and not again:
            reason = f"the process that judged it {death}, {tries} times in a row"
            # Without the seconds: another process has other patience.
            result.take(FoundRecord(CRASH, f"process {death.partition(' for ')[0]}", reason, -1, number, text))
        else:
            result.accidents.append(f"a process {death}" + (f" at program {number}" if number else ""))
        result.end_child(time.monotonic() - begun if begun else 0.0)
        result.next_child()
        rest = remaining(unit, result, number, again)
        if not again and (rest.programs == 0 or rest.seconds == 0):
            return result


def follow(child: Child, patience: float, watch: Watch | None) -> str:
    """Take what a child tells until it ends.

    :returns: what it died of, as text; "" if its work is done
    """
    seen = -1
    since = time.monotonic()
    while True:
        more = child.read(_LOOK_EVERY)
        if more is None:
            code = child.process.wait()
            if child.result.state.ended:
                return ""
            return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if child.look():
            child.kill()
            child.drain()
            return "ran on in kernel code without an event"
        if watch is not None:
            watch(child.result)
        now = time.monotonic()
        number = child.flight.number()
        if more or number != seen:
            seen, since = number, now
        elif now - since > patience:
            child.kill()
            child.drain()
            return f"did not get on for {patience:g} s"


def remaining(unit: Unit, result: Result, number: int, again: str) -> Unit:
    """What is left of a unit after the death of a child.

    :param number: of the last program that it began
    :param again: a program to be judged once more; "" for none
    """
    first = max(unit.first, number + 1)
    left = None if unit.programs is None else unit.programs - (first - unit.first) + bool(again)
    return replace(
        unit,
        # Other programs than before; those of the random engine are told apart by their numbers.
        seed=unit.seed if unit.engine == "random" else unit.seed + first,
        first=first,
        programs=left,
        seconds=None if unit.seconds is None else max(0.0, unit.seconds - result.state.seconds),
        again=again,
    )
