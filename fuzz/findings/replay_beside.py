# SPDX-License-Identifier: GPL-2.0-only
"""Concurrent requests to `fuzz.findings.replay_server`, each answered by a forked copy of that process."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..processes.fork import Fork
from ..processes.starting import NoProcessError
from ..processes.waiting import readable


def answers(requests: Sequence[Any], beside: int, work: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
    """Process requests concurrently.

    :param requests: started in order
    :param beside: number of concurrent processes
    :param work: computes the answer to a request, both of built-in types, in another process
    :returns: index of each request and its answer, or None if there is none, in order of completion
    """
    idle = [Fork("a process that replays", work) for _ in range(min(beside, len(requests)))]
    busy: dict[Fork, int] = {}
    waiting = list(enumerate(requests))
    try:
        while waiting or busy:
            while waiting and idle:
                number, request = waiting.pop(0)
                copy = idle.pop()
                try:
                    if copy.pid < 0:
                        copy.start()
                except NoProcessError:
                    # The other copies continue.
                    yield number, None
                    idle.append(copy)
                    continue
                copy.send(request)
                busy[copy] = number
            if not busy:
                break
            ready = readable(copy.answers for copy in busy)
            for copy in [copy for copy in busy if copy.answers in ready]:
                answer = copy.read()
                if answer is None:
                    copy.close()
                idle.append(copy)
                yield busy.pop(copy), None if answer is None else answer[0]
    finally:
        for copy in (*idle, *busy):
            copy.close()
