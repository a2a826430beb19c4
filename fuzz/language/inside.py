# SPDX-License-Identifier: GPL-2.0-only
"""The operations of programs, including those within par blocks."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

from .operations import ByThread, Concurrent, GuestAccess, Operation, Par, Threaded, is_vcpu, plain


def changed_in(operations: Iterable[Operation], change: Callable[[Operation], Operation]) -> tuple[Operation, ...]:
    """Return all operations with *change* applied, including those within blocks."""
    found: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Par):
            inner = tuple(by_same_actor(each, change(plain(each))) for each in operation.operations)
            found.append(replace(operation, operations=inner))
        else:
            found.append(change(operation))
    return tuple(found)


def left_in(operations: Iterable[Operation], stays: Callable[[Operation], bool]) -> tuple[Operation, ...]:
    """Return the operations for which *stays* holds, filtered within blocks too, as in `of_block`."""
    found: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Par):
            found.append(of_block(operation, [each for each in operation.operations if stays(plain(each))]))
        elif stays(operation):
            found.append(operation)
    return tuple(found)


def by_same_actor(each: Concurrent, changed: Operation) -> Concurrent:
    """Wrap a changed operation (`plain`) for the same actor of a block."""
    if isinstance(each, Threaded):
        return replace(each, operation=cast(ByThread, changed))
    assert isinstance(changed, GuestAccess)
    return changed


def of_block(block: Par, operations: Iterable[Concurrent]) -> Par:
    """Return a block with other operations, and the switches between its remaining actors."""
    par = replace(block, operations=tuple(operations))
    switches = tuple(each for each in block.switches if each.cpu in par.actors and each.to in par.actors)
    return replace(par, switches=switches)


def renumbered(operation: Operation, number_of: Callable[[int], int]) -> Operation:
    """Return a block with the vCPUs of its switches renumbered. Other operations and other actors stay the same."""
    if not isinstance(operation, Par):
        return operation

    def number(actor: int) -> int:
        return number_of(actor) if is_vcpu(actor) else actor

    switches = [replace(each, cpu=number(each.cpu), to=number(each.to)) for each in operation.switches]
    return replace(operation, switches=tuple(switches))
