# SPDX-License-Identifier: GPL-2.0-only
"""Changes of the schedule of a par block: of one switch, most often by one place, or of all switches.

Each function returns the changed block, or None where there is nothing to change.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

from ..language.lock_rules import MAX_SWITCHES
from ..language.operations import HOSTS, STEPS_OF_HOST, Par, Switch, is_vcpu
from ..scheduling.steps import HOST_STEPS, USER_STEPS, Step, steps_of
from ..scheduling.strategies import any_strategy
from .editor import ProgramEditor

T = TypeVar("T")

# Places at which faults conflict: right after a break, between clean and store, between the sample of the
# notifiers' sequence number and the lock, and where the lock is dropped.
AIMED: Final = (
    *(Step("after", "cmpxchg", 1), Step("after", "store", 1), Step("before", "flush", 1), Step("after", "flush", 1)),
    *(Step("after", "clean", 1), Step("before", "store", 1), Step("before", "store", 2)),
    *(Step("before", "lookup", 1), Step("after", "lookup", 1), Step("before", "lock", 1)),
    *(Step("after", "load", 1), Step("after", "load", 2), Step("before", "cmpxchg", 1)),
    *(Step("after", "fault", 1), Step("before", "unlock", 1), Step("after", "unlock", 1)),
)
# The same where memory has tags.
AIMED_AT_TAGS: Final = (Step("before", "tags", 1), Step("after", "tags", 1))
# The same for threads that drop the lock midway for another task.
RESCHEDULED: Final = (Step("after", "unlock", 1), Step("before", "lock", 2), Step("after", "lock", 2))


def move_switch(editor: ProgramEditor, block: Par) -> Par | None:
    """Move a switch one step earlier or later: to the step before or after it, or to the next of its kind."""
    if not block.switches:
        return None
    at = editor.random.randrange(len(block.switches))
    by = editor.random.choice((-1, 1))
    return with_switch(block, at, neighbour(block.switches[at], by, editor.chance(30)))


def neighbour(switch: Switch, by: int, of_kind: bool) -> Switch:
    """Return the switch at the previous or next step of its actor.

    :param by: -1 or 1
    :param of_kind: at the previous or next step of its kind
    """
    of_block = switch.point == "fault" or switch.point in STEPS_OF_HOST
    fault = switch.count if of_block else switch.fault
    steps = steps_of(switch.cpu)
    for at, step in enumerate(steps):
        if not of_kind and step.switch(switch.cpu, switch.to, fault) == switch:
            return steps[(at + by) % len(steps)].switch(switch.cpu, switch.to, fault)
    return replace(switch, count=max(1, switch.count + by))


def other_fault(editor: ProgramEditor, block: Par) -> Par | None:
    """Move a switch to the previous or next fault of its actor."""
    if not block.switches:
        return None
    at = editor.random.randrange(len(block.switches))
    switch = block.switches[at]
    by = editor.random.choice((-1, 1, 1))
    if switch.point == "fault" or switch.point in STEPS_OF_HOST:
        return with_switch(block, at, replace(switch, count=max(1, switch.count + by)))
    return with_switch(block, at, replace(switch, fault=max(1, switch.fault + by)))


def aim(editor: ProgramEditor, block: Par) -> Par | None:
    """Put a switch at a place where faults conflict, replacing another one or in addition."""
    actors = [cpu for cpu in block.actors if steps_of(cpu)]
    if not actors or len(block.actors) < 2:
        return None
    cpu = editor.random.choice(actors)
    to = editor.random.choice([each for each in block.actors if each != cpu])
    if is_vcpu(cpu):
        step = editor.random.choice((*AIMED, *AIMED_AT_TAGS) if editor.vm.mte else AIMED)
    else:
        own = HOST_STEPS if cpu in HOSTS else USER_STEPS
        (step,) = editor.random.choices(own, [1 + each.weight for each in own])
    fault = 1 if editor.chance(85) else 2
    return put_switch(editor, block, step.switch(cpu, to, fault))


def aim_at_a_reschedule(editor: ProgramEditor, block: Par) -> Par | None:
    """Let a thread give way where it drops the lock for another task, which waits."""
    threads = [cpu for cpu in block.actors if not is_vcpu(cpu) and steps_of(cpu)]
    if not threads:
        return None
    editor.vm = replace(editor.vm, resched=editor.random.choice((1, 1, 2)))
    cpu = editor.random.choice(threads)
    to = editor.random.choice([each for each in block.actors if each != cpu])
    return put_switch(editor, block, editor.random.choice(RESCHEDULED).switch(cpu, to, 1))


def put_switch(editor: ProgramEditor, block: Par, switch: Switch) -> Par:
    """Add a switch somewhere among the others, or replace one."""
    switches = list(block.switches)
    at = editor.random.randrange(len(switches) + 1)
    more = len(switches) < MAX_SWITCHES and editor.chance(60)
    switches[at : at if more else at + 1] = [switch]
    return replace(block, switches=tuple(switches))


def drop_switch(editor: ProgramEditor, block: Par) -> Par | None:
    """Drop a switch."""
    if not block.switches:
        return None
    return replace(block, switches=without(block.switches, editor.random.randrange(len(block.switches))))


def another_schedule(editor: ProgramEditor, block: Par) -> Par | None:
    """Return the same operations with another schedule, by any strategy."""
    return any_strategy(block, editor.random) if len(block.actors) > 1 else None


def without(items: Sequence[T], at: int) -> tuple[T, ...]:
    """Return all items except one."""
    return (*items[:at], *items[at + 1 :])


def with_switch(block: Par, at: int, switch: Switch) -> Par:
    """Replace a switch of a block."""
    return replace(block, switches=(*block.switches[:at], switch, *block.switches[at + 1 :]))
