# SPDX-License-Identifier: GPL-2.0-only
"""Simpler par blocks: none at all, fewer actors, operations and switches, earlier switches, plainer operands."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from ..language.inside import by_same_actor, of_block
from ..language.operations import HARDWARE, HOSTS, USERS, Par, Switch, is_vcpu, plain
from ..language.program import Program
from .minimizer import Minimizer
from .operands import names, plainer

# Maximum number of operations and switches of a block of which all pairs are tried.
_PAIRS: Final = 10


def blocks(minimizer: Minimizer) -> None:
    """Simplify each par block in turn."""
    number = 0
    while number < len(minimizer.best.operations):
        if isinstance(minimizer.best.operations[number], Par) and not _in_a_row(minimizer, number):
            while _simpler(minimizer, number):
                pass
        number += 1


def _in_a_row(minimizer: Minimizer, number: int) -> bool:
    """Try the operations of a block one after the other. Return true if that works."""
    best = minimizer.best
    block = best.operations[number]
    assert isinstance(block, Par)
    operations = (*best.operations[:number], *map(plain, block.operations), *best.operations[number + 1 :])
    return minimizer.attempt(replace(best, operations=operations))


def _simpler(minimizer: Minimizer, number: int) -> bool:
    """Try simpler blocks. Return true if one works."""
    best = minimizer.best
    block = best.operations[number]
    if not isinstance(block, Par):
        return False
    for other in (*_fewer(block), _first_vcpus(best, block), *_earlier(block), *_plainer(best, block)):
        operations = (*best.operations[:number], other, *best.operations[number + 1 :])
        if minimizer.attempt(replace(best, operations=operations)):
            return True
    return False


def _fewer(block: Par) -> Iterator[Par]:
    """Yield the block without an actor, a switch or an operation; then without two of these."""
    if len(block.actors) > 2:
        for cpu in block.actors:
            yield of_block(block, [each for each in block.operations if each.cpu != cpu])
    singles = [*_without_a_switch(block), *_without_an_operation(block)]
    yield from singles
    if len(singles) <= _PAIRS:
        for each in singles:
            yield from _without_a_switch(each)
        for each in _without_an_operation(block):
            yield from _without_an_operation(each)


def _without_a_switch(block: Par) -> Iterator[Par]:
    for at in range(len(block.switches)):
        yield replace(block, switches=(*block.switches[:at], *block.switches[at + 1 :]))


def _without_an_operation(block: Par) -> Iterator[Par]:
    for at in range(len(block.operations)):
        yield of_block(block, (*block.operations[:at], *block.operations[at + 1 :]))


def _first_vcpus(program: Program, block: Par) -> Par:
    """Return the block on the first vCPUs of each VM, and the first of the other actors of each kind."""
    size = program.vm.cpus
    numbers: dict[int, int] = {}
    for cpu in block.actors:
        if not is_vcpu(cpu):
            kind = next(each for each in (HOSTS, USERS, HARDWARE) if cpu in each)
            numbers[cpu] = kind[sum(each in kind for each in numbers.values())]
            continue
        first = cpu // size * size
        numbers[cpu] = first + sum(1 for each in numbers if each // size * size == first)
    accesses = tuple(replace(each, cpu=numbers[each.cpu]) for each in block.operations)
    switches = tuple(replace(each, cpu=numbers[each.cpu], to=numbers[each.to]) for each in block.switches)
    return Par(accesses, switches)


def _earlier(block: Par) -> Iterator[Par]:
    """Yield the block with one switch anchored to an earlier event."""
    for at, switch in enumerate(block.switches):
        for other in _before(switch):
            yield replace(block, switches=(*block.switches[:at], other, *block.switches[at + 1 :]))


def _before(switch: Switch) -> Iterator[Switch]:
    for count in (1, switch.count // 2, switch.count - 1):
        if 0 < count < switch.count:
            yield replace(switch, count=count)
    for fault in range(1, switch.fault):
        yield replace(switch, fault=fault)


def _plainer(program: Program, block: Par) -> Iterator[Par]:
    """Yield the block with one plainer operand."""
    for at, each in enumerate(block.operations):
        operation = plain(each)
        alone = replace(program, operations=(operation,))
        for name in names(alone, 0):
            if name in ("cpu", "fail"):
                continue
            for value in plainer(alone, 0, name):
                changed: Any = operation
                other = by_same_actor(each, replace(changed, **{name: value}))
                yield replace(block, operations=(*block.operations[:at], other, *block.operations[at + 1 :]))
