# SPDX-License-Identifier: GPL-2.0-only
"""Strategies: each draws a random schedule for a par block.

All drawn schedules are legal. The same state of the source gives the same schedule.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final, TypeAlias

from ..language.lock_rules import FAULTS, MAX_SWITCHES
from ..language.operations import Par, Switch, is_vcpu
from .partial_order import partial_order
from .steps import SEEN, STEPS, TAKEN, WEIGHTS, steps_of

Strategy: TypeAlias = Callable[[Par, Random], Par]

# Maximum number of switches of a random schedule.
_MOST: Final = 4
# Percentage of switches within the first fault that a vCPU could take; the same of the rest within the second, and so
# on.
_FIRST_FAULT: Final = 90
# Percentage of blocks with a thread of the host in which that thread begins.
_THREAD_FIRST: Final = 25
# The depths of PCT: a bug of depth D needs D events in one order, and so at most D - 1 preemptions.
_DEPTHS: Final = (2, 3, 3, 3, 4)


def no_switches(block: Par, source: Random) -> Par:
    """Return the block without switches: its vCPUs run one after the other, and give way where they wait."""
    return replace(block, switches=())


def random_switches(block: Par, source: Random) -> Par:
    """Return the block with a few switches of any actor at any step, to any other actor."""
    switches: list[Switch] = []
    for _ in range(source.randint(1, _MOST)):
        cpu, to = source.sample(block.actors, 2)
        steps = steps_of(cpu)
        if not steps:
            continue
        at = source.randrange(len(steps))
        switches.append(steps[at].switch(cpu, to, _fault(block, cpu, source)))
    return _with(shuffled(block, source), switches)


def pct(depth: int) -> Strategy:
    """Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010): priorities, and *depth* - 1 changes of them.

    The vCPU of the highest priority runs. Where it reaches a change, its priority becomes the lowest. Places
    of changes are drawn from the steps that faults usually take, not from those of the run. The bound of the paper
    therefore holds only for such faults.
    """

    def schedule(block: Par, source: Random) -> Par:
        steps = [source.randrange(len(STEPS)) for _ in range(depth - 1)]
        return _by_priority(shuffled(block, source), steps, source)

    return schedule


def aimed(block: Par, source: Random) -> Par:
    """Return the block with switches where faults conflict: all vCPUs have faulted, the last one gets somewhere.

    It stops right after a break, between look-up and lock, between load and exchange, or around the unlock. There the
    others continue. Sometimes one of them is stopped at such a place as well.
    """
    if not all(map(is_vcpu, block.actors)):
        return beside_others(block, source)
    block = shuffled(block, source)
    steps = [TAKEN] * (len(block.actors) - 1)
    steps += source.choices(range(len(STEPS)), WEIGHTS, k=source.choice((1, 1, 2)))
    return _by_priority(block, steps, source)


def pos(block: Par, source: Random) -> Par:
    """Draw a schedule by partial-order sampling (Yuan et al., CAV 2018): each race of two steps is decided randomly."""
    return _with(*partial_order(shuffled(block, source), source))


def beside_others(block: Par, source: Random) -> Par:
    """Return the block with a vCPU and another actor in conflict: one has seen a page, and the other changes it.

    Most often the vCPU is stopped where it has seen the page, and the other actor runs to its end. Otherwise the other
    actor is stopped midway, too, or first.
    """
    vcpus = [each for each in block.actors if is_vcpu(each)]
    threads = [each for each in block.actors if not is_vcpu(each)]
    if not vcpus or not threads:
        return random_switches(block, source)
    cpu, thread = source.choice(vcpus), source.choice(threads)
    rest = [each for each in block.actors if each not in (cpu, thread)]
    source.shuffle(rest)
    begins = source.randrange(100) < _THREAD_FIRST
    order = [thread, cpu, *rest] if begins else [cpu, thread, *rest]
    switches: list[Switch] = []
    last = {cpu: -1, thread: -1}
    for number in range(source.choice((1, 1, 1, 2, 2, 3))):
        actor, to = order[number % 2], order[(number + 1) % 2]
        steps = steps_of(actor) if actor == thread else SEEN
        if not steps:
            continue
        (at,) = source.choices(range(len(steps)), [step.weight for step in steps])
        if at <= last[actor]:
            break
        last[actor] = at
        switches.append(steps[at].switch(actor, to, _fault(block, actor, source)))
    return _with(block.in_order(order), switches)


def any_strategy(block: Par, source: Random) -> Par:
    """Return the block with a schedule by a random strategy, most often `aimed`."""
    drawn = source.randrange(100)
    if drawn < 4:
        return no_switches(block, source)
    if drawn < 12:
        return random_switches(block, source)
    if drawn < 30:
        return pct(source.choice(_DEPTHS))(block, source)
    if drawn < 45:
        return pos(block, source)
    return aimed(block, source)


def shuffled(block: Par, source: Random) -> Par:
    """Return the block with its actors in a random order, in which they run, and without switches."""
    cpus = list(block.actors)
    source.shuffle(cpus)
    return block.in_order(cpus)


def _by_priority(block: Par, steps: list[int], source: Random) -> Par:
    """Return the block with changes of priority at steps: the running vCPU gets the lowest priority.

    :param steps: indices of `STEPS`, in the intended order of the changes
    """
    queue = list(block.actors)
    # The last place of each vCPU. Its next one must come after it.
    last: dict[int, tuple[int, int]] = {}
    switches: list[Switch] = []
    for step in steps:
        cpu = queue.pop(0)
        queue.append(cpu)
        place = (_fault(block, cpu, source) if step != TAKEN else 1, step)
        if cpu in last and place <= last[cpu]:
            place = (last[cpu][0] + (step <= last[cpu][1]), step)
        if place[0] not in FAULTS:
            break
        last[cpu] = place
        # Actors other than vCPUs have other steps. Any of them will do here.
        own = steps_of(cpu)
        if not own:
            continue
        drawn = STEPS[step] if is_vcpu(cpu) else source.choice(own)
        switches.append(drawn.switch(cpu, queue[0], place[0]))
    return _with(block, switches)


def _fault(block: Par, cpu: int, source: Random) -> int:
    """Draw the number of a fault of a vCPU. Each of its accesses takes one or two."""
    most = 2 * sum(each.cpu == cpu for each in block.operations)
    fault = 1
    while fault < most and source.randrange(100) >= _FIRST_FAULT:
        fault += 1
    return fault


def _with(block: Par, switches: list[Switch]) -> Par:
    """Return the block with these switches, the first of each place."""
    places: dict[tuple[int, str, str, int, int], Switch] = {}
    for each in switches:
        places.setdefault(each.anchor, each)
    return replace(block, switches=tuple(places.values())[:MAX_SWITCHES])
