# SPDX-License-Identifier: GPL-2.0-only
"""The process of an engine: a `fuzz.processes.child.Child`, ``fuzz.engines.engine_process ... FLIGHT [SHARE]``.

FLIGHT is the descriptor of `fuzz.engines.flight`, SHARE a `fuzz.engines.numbers.LaneNumbers`. The process reads its
unit from standard input, as one line of JSON, and sends messages to its parent (`fuzz.engines.unit.to_line`).
"""

import sys

from ..processes.parent import Parent, parent_of


def work(line: str, parent: Parent, memory: int, share: str = "") -> None:
    """Do a unit.

    :param line: the unit
    :param parent: receives the messages
    :param memory: descriptor of the memory for the program in flight
    :param share: this lane's share of the program numbers that several lanes draw; "": this process is alone
    """
    from candidate.tree import TreeError

    from ..judging.collection import collect_rarely
    from .flight import SharedFlight
    from .numbers import LaneNumbers, SharedNumbers
    from .registry import engine_of
    from .unit import Message, Mistake, Unit, to_line
    from .unit_run import UnitRun

    unit = Unit.from_json(line)
    collect_rarely()

    def tell(message: Message) -> None:
        parent.tell(to_line(message))

    try:
        numbers = SharedNumbers(LaneNumbers.of(share), unit.first) if share else None
        unit_run = UnitRun(unit, tell, SharedFlight(memory), numbers)
    except TreeError as error:
        tell(Mistake(str(error)))
        return
    unit_run.begin()
    engine_of(unit.engine).drive()(unit_run)
    unit_run.finish()


def main(arguments: list[str]) -> int:
    """Do the unit on standard input.

    :returns: the exit code
    """
    parent, (memory, *share) = parent_of(arguments)
    line = sys.stdin.readline()
    try:
        work(line, parent, int(memory), *share)
    except Exception as error:
        from ..distribution import debugging
        from ..findings.found import crash_reason

        if debugging():
            raise
        print(f"s2fuzz: a mistake of s2fuzz, in an engine: {crash_reason(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
