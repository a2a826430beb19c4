# SPDX-License-Identifier: GPL-2.0-only
"""Measurement of the time that a par block takes."""

from collections.abc import Callable

from ..execution.executor import Executor


def timed(executor: Executor, clock: Callable[[], float]) -> float:
    """Run a program whose last operation is a block; return the block's time in the clock's unit.

    :param executor: the executor, before anything has run on it
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
