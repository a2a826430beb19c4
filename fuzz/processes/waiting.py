# SPDX-License-Identifier: GPL-2.0-only
"""Waiting for data from other processes. Standard library only."""

import select
from collections.abc import Iterable


def readable(descriptors: Iterable[int], seconds: float | None = None) -> set[int]:
    """Wait until a descriptor has data or its other end is closed; return the descriptors for which that holds.

    Unlike `select.select`, this accepts descriptors above 1023.

    :param seconds: time limit; None: no limit
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(None if seconds is None else max(seconds, 0.0) * 1000)}
