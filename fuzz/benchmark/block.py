# SPDX-License-Identifier: GPL-2.0-only
"""The time of a par block."""

from collections.abc import Callable

from ..execution.executor import Executor


def timed(executor: Executor, clock: Callable[[], float]) -> float:
    """Run a program whose last operation is a block; return the time of the block, in the clock's unit.

    :param executor: an executor that has not run anything yet
    :param clock: returns the time
    """
    executor.create()
    last = len(executor.program.operations) - 1
    for at in range(last):
        executor.step(at)
    start = clock()
    executor.step(last)
    took = clock() - start
    executor.destroy()
    executor.dismantle()
    return took
