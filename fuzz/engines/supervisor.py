# SPDX-License-Identifier: GPL-2.0-only
"""Engines as supervised child processes: no findings are lost when a child dies."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..execution.mistakes import CandidateMistakeError
from ..findings.found import CRASH
from ..findings.record import FindingRecord
from ..judging import silence
from ..judging.finding import Finding
from ..judging.silence import silent_finding
from ..language.text import parse
from ..processes.patience import Patience
from ..sides.pulse import Position
from .engine_child import EngineChild, LastFlight
from .numbers import LaneNumbers
from .registry import engine_of
from .unit import Result, Unit

# Seconds that one program may take (`fuzz.processes.patience`).
PROGRAM_TIMEOUT: Final = 180.0
# Seconds between two checks of a silent child.
_LOOK_EVERY: Final = 0.5
# Consecutive deaths without a judged program in between after which a unit is given up.
_MAX_DEATHS: Final = 3

Watch = Callable[[Result], None]


class EngineError(Exception):
    """Children of a unit die before they judge anything; the message is one line that gives the cause."""


class EngineKilledError(EngineError):
    """Children of a unit are killed from outside, or memory runs out."""


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
    supervision = Supervision(unit, watch)
    result = supervision.result
    while True:
        child = EngineChild(supervision.rest, result, seconds, share)
        try:
            death = follow(child, patience, watch)
        except KeyboardInterrupt:
            child.stop()
            result.interrupted = True
            return result
        finally:
            last = child.last_flight()
            child.close()
        if result.mistake:
            raise CandidateMistakeError(result.mistake, result.mistaken)
        if not (death and supervision.next_rest(death, last)):
            return result


class Supervision:
    """A unit, the result so far, and the work that is left after deaths of its children.

    *rest*: the work of the next child; *idle*: deaths in a row before a program was begun; *tries*: deaths in a row at
    the same program

    :param unit: the whole work
    :param watch: as in `run_unit`
    """

    def __init__(self, unit: Unit, watch: Watch | None) -> None:
        self.unit = unit
        self.watch = watch
        self.result = Result(unit)
        self.rest = unit
        self.idle = self.tries = 0

    def next_rest(self, death: str, last: LastFlight) -> bool:
        """Record the death of a child, and determine the work that is left.

        :param death: its cause, as text
        :returns: whether another child has to do something
        :raises EngineError: children die before they judge anything
        :raises CandidateMistakeError: the candidate's Python ended them
        """
        result, number, text = self.result, last.number, last.text
        result.end_child(last.seconds, last.cpu)
        self.check_begun(death, number)
        self.tries = self.tries + 1 if text and text == self.rest.again else 1
        # SIGKILL comes from outside, possibly twice by chance; a program causes it only if memory runs out.
        again = text if self.tries < (3 if death.endswith("SIGKILL") else 2) else ""
        if text and last.stuck is not None:
            again = ""
            if not self.record_stuck(last, last.stuck):
                return False
        elif text and not again and last.mistake:
            raise CandidateMistakeError(self.unit.mistake_text(last.mistake, number), number)
        elif text and not again:
            reason = f"the process that judged it {death}, {self.tries} times in a row"
            # Omit the seconds: another process may have a different patience.
            finding = Finding(CRASH, f"process {death.partition(' for ')[0]}", reason)
            result.record(FindingRecord(finding, text, number, self.unit.seed))
        else:
            result.accidents.append(f"a process {death}" + (f" at program {number}" if number else ""))
        result.next_child()
        if not number:
            # The child began no program: the next child does the same work.
            number, again = self.rest.first - 1, self.rest.again
        self.rest = remaining(self.unit, result, number, again)
        return bool(again) or 0 not in (self.rest.programs, self.rest.seconds, self.rest.cpu)

    def check_begun(self, death: str, number: int) -> None:
        """Count a child that began no program.

        :param number: of the last program that it began; 0 for none
        :raises EngineError: it was one too many
        """
        self.idle = 0 if number else self.idle + 1
        if self.idle == _MAX_DEATHS:
            told = f"engine {self.unit.engine}: its process {death}, {self.idle} times, before it judged anything"
            if death.endswith("SIGKILL"):
                raise EngineKilledError(f"{told}; try: free memory, or look for the killer in `dmesg`")
            raise EngineError(told)

    def record_stuck(self, last: LastFlight, stuck: Position) -> bool:
        """Record the finding for kernel code that does not return.

        :returns: whether the unit continues
        """
        program = parse(last.text)
        finding = silent_finding(stuck, self.unit.reference, self.unit.candidate, program, last.silent)
        record = FindingRecord(finding, last.text, last.number, self.unit.seed)
        if last.over:
            # There is no time to replay another program of a known finding.
            record = self.result.found.get(finding.title, record)
        self.result.record_lost(record, len(program.operations))
        if self.unit.ends_with(finding.title):
            return False
        if self.watch is not None:
            # Let the caller replay it now, while no other process of ours uses the CPU.
            try:
                self.watch(self.result)
            except KeyboardInterrupt:
                self.result.interrupted = True
                return False
        return True


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
