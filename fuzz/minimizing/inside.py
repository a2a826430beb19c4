# SPDX-License-Identifier: GPL-2.0-only
"""The operations of programs, those within par blocks included."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..language.operations import GuestAccess, Operation, Par


def changed_in(operations: Iterable[Operation], change: Callable[[Operation], Operation]) -> tuple[Operation, ...]:
    """Return the operations, each changed, those of blocks in their place."""
    found: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Par):
            inner = [change(each) for each in operation.operations]
            accesses = tuple(each for each in inner if isinstance(each, GuestAccess))
            found.append(replace(operation, operations=accesses))
        else:
            found.append(change(operation))
    return tuple(found)


def left_in(operations: Iterable[Operation], stays: Callable[[Operation], bool]) -> tuple[Operation, ...]:
    """Return the operations that stay; of a block its own, and the switches between vCPUs that are still at work."""
    found: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Par):
            found.append(of_block(operation, [each for each in operation.operations if stays(each)]))
        elif stays(operation):
            found.append(operation)
    return tuple(found)


def of_block(block: Par, operations: Iterable[GuestAccess]) -> Par:
    """A block with other operations, and the switches between vCPUs that are still at work."""
    par = replace(block, operations=tuple(operations))
    switches = tuple(each for each in block.switches if each.cpu in par.cpus and each.to in par.cpus)
    return replace(par, switches=switches)


def renumbered(operation: Operation, number_of: Callable[[int], int]) -> Operation:
    """A block whose switches are between other vCPUs; anything else as it is."""
    if not isinstance(operation, Par):
        return operation
    switches = [replace(each, cpu=number_of(each.cpu), to=number_of(each.to)) for each in operation.switches]
    return replace(operation, switches=tuple(switches))
