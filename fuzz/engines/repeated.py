# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are run twice to compare their events: any difference is a mistake of ours."""

from typing import Final, TypeAlias

from candidate import Candidate
from reference.events import EVENT_NAMES, Observer

from ..execution.executor import Executor
from ..language.program import Program

Event: TypeAlias = tuple[object, ...]


class NotRepeatableError(Exception):
    """A program behaved differently when it was run again: a mistake of ours, never a finding."""


class EventStream(Observer):
    """An observer that records each event with its arguments."""

    def __init__(self) -> None:
        self.found: list[Event] = []


def _keeping(name: str) -> object:
    def keep(self: EventStream, *what: object) -> None:
        self.found.append((name, *what))

    return keep


for _name in EVENT_NAMES:
    setattr(EventStream, _name, _keeping(_name))

# Stands for the missing event where one run is shorter.
_END: Final[Event] = ("the end",)


def events_of(version: Candidate, program: Program) -> list[Event] | None:
    """Return the events of a program on one side, including creation and destruction, and each operation's outcome.

    :returns: None if no process could be started for it
    """
    executor = Executor(version, program)
    events = EventStream()
    executor.side.kernel.observe(events)
    executor.create()
    for at in range(len(program.operations)):
        if executor.dead:
            break
        outcome, _ = executor.step(at)
        events.found.append(("outcome", str(outcome)))
    executor.destroy()
    executor.dismantle()
    return None if executor.not_started else events.found


def repeat(version: Candidate, program: Program) -> bool:
    """Run a program twice on one side and compare the events; return whether both runs took place.

    :raises NotRepeatableError: the two runs differ
    """
    first, again = events_of(version, program), events_of(version, program)
    if first is None or again is None:
        return False
    if first == again:
        return True
    at = next((at for at, (one, other) in enumerate(zip(first, again, strict=False)) if one != other), None)
    if at is None:
        at = min(len(first), len(again))
    one, other = (events[at] if at < len(events) else _END for events in (first, again))
    raise NotRepeatableError(f"event {at} of {version.name} is {shown(one)}, and {shown(other)} when it is run again")


def shown(event: Event) -> str:
    """Return an event as text for people."""
    return " ".join(map(str, event))
