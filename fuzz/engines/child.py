# SPDX-License-Identifier: GPL-2.0-only
"""The process in which an engine runs: ``python -m fuzz.engines.child PARENT PIPE FLIGHT``.

PARENT is the parent's process number, PIPE the descriptor that messages go to
(`fuzz.engines.unit.to_line`), FLIGHT that of `fuzz.engines.flight`; the unit is a
line of JSON on standard input. Ends when its parent does, whatever that died of.
"""

import os
import sys

from ..processes.orphans import die_with_parent


def work(line: str, pipe: int, memory: int) -> None:
    """Do a unit.

    :param line: the unit
    :param pipe: where messages go
    :param memory: for the program in flight
    """
    from ..judging.collection import collect_rarely
    from .drivers import driver
    from .flight import SharedFlight
    from .session import Session
    from .unit import Message, Unit, to_line

    unit = Unit.from_json(line)
    collect_rarely()

    def tell(message: Message) -> None:
        line = to_line(message)
        while line:
            line = line[os.write(pipe, line) :]

    session = Session(unit, tell, SharedFlight(memory))
    session.begin()
    driver(unit.engine)(session)
    session.finish()


def main(arguments: list[str]) -> int:
    """Do the unit on standard input.

    :returns: the exit code
    """
    parent, pipe, memory = map(int, arguments)
    die_with_parent(parent)
    line = sys.stdin.readline()
    try:
        work(line, pipe, memory)
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
