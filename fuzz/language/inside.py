# SPDX-License-Identifier: GPL-2.0-only
"""The operations of programs, those within par blocks included."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

from .operations import ByThread, Concurrent, GuestAccess, Operation, Par, Threaded, is_vcpu, plain


def changed_in(operations: Iterable[Operation], change: Callable[[Operation], Operation]) -> tuple[Operation, ...]:
    """Return the operations, each changed, those of blocks in their place."""
    found: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Par):
            inner = tuple(again(each, change(plain(each))) for each in operation.operations)
            found.append(replace(operation, operations=inner))
        else:
            found.append(change(operation))
    return tuple(found)


def left_in(operations: Iterable[Operation], stays: Callable[[Operation], bool]) -> tuple[Operation, ...]:
    """Return the operations that stay; of a block its own, and the switches between actors that are still at work."""
    found: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Par):
            found.append(of_block(operation, [each for each in operation.operations if stays(plain(each))]))
        elif stays(operation):
            found.append(operation)
    return tuple(found)


def again(each: Concurrent, changed: Operation) -> Concurrent:
    """An operation of a block that was changed (`plain`), by the same actor."""
    if isinstance(each, Threaded):
        return replace(each, operation=cast(ByThread, changed))
    assert isinstance(changed, GuestAccess)
    return changed


def of_block(block: Par, operations: Iterable[Concurrent]) -> Par:
    """A block with other operations, and the switches between actors that are still at work."""
    par = replace(block, operations=tuple(operations))
    switches = tuple(each for each in block.switches if each.cpu in par.actors and each.to in par.actors)
    return replace(par, switches=switches)


def renumbered(operation: Operation, number_of: Callable[[int], int]) -> Operation:
    """A block whose switches are between other vCPUs; anything else as it is, other actors too."""
    if not isinstance(operation, Par):
        return operation

    def number(actor: int) -> int:
        return number_of(actor) if is_vcpu(actor) else actor

    switches = [replace(each, cpu=number(each.cpu), to=number(each.to)) for each in operation.switches]
    return replace(operation, switches=tuple(switches))
