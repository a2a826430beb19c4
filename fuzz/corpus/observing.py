# SPDX-License-Identifier: GPL-2.0-only
"""Features of many programs, observed in several processes."""

import json
import os
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final

from ..judging import silence
from ..judging.silence import Silence
from ..processes.child import Child
from ..processes.starting import starting
from ..processes.waiting import readable
from ..sides import pulse

# Seconds that one program may take.
PATIENCE: Final = 180.0
# Seconds between two checks of silent processes.
_LOOK_EVERY: Final = 0.5
# Number of processes that may die before they are ready.
_MAX_FAILED: Final = 3


class ObservingError(Exception):
    """Processes die before they observe anything; one line."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The observed features of a program.

    :param features: None where they could not be observed
    :param trouble: the reason
    :param lasting: whether another attempt would have the same result
    """

    digest: str
    features: tuple[int, ...] | None
    trouble: str = ""
    lasting: bool = True


class Worker(Child):
    """A process, and the program that it currently observes.

    :raises NoProcessError: it cannot be started
    """

    def __init__(self, reference: str, candidate: str) -> None:
        self.job: tuple[str, str] | None = None
        self.since = 0.0
        # True once the process has started. If it dies later, the program is the cause.
        self.ready = False
        what = "a process that observes programs"
        with starting(what):
            memory = pulse.make()
        try:
            arguments = str(memory), reference, candidate
            super().__init__(what, "fuzz.corpus.observing_process", *arguments, passed=[memory])
            self.silence = Silence(self.pid, pulse.shared(memory), silence.SECONDS)
        finally:
            os.close(memory)

    def give(self, job: tuple[str, str]) -> None:
        """Give the process a program to observe."""
        self.job, self.since = job, time.monotonic()
        self.send(json.dumps(job).encode())

    def answer(self) -> Observed | None:
        """Return its answer; None if that is not complete yet.

        :raises EOFError: the process is dead
        """
        lines = self.read(_LOOK_EVERY)
        if lines is None:
            raise EOFError
        for line in lines:
            if line:
                self.job = None
                digest, features, trouble, lasting = json.loads(line)
                return Observed(digest, None if features is None else tuple(features), trouble, lasting)
            # The time of its program starts now.
            self.ready, self.since = True, time.monotonic()
        return None

    def stuck(self, patience: float) -> str:
        """Return how its program hangs; "" if it may still end.

        :param patience: seconds that a program may take once the process has started
        """
        if self.silence.look():
            return f"ran for {self.silence.seconds:g} s of CPU time without an event"
        seconds = time.monotonic() - self.since
        return f"made no progress for {seconds:.0f} s" if seconds > (patience if self.ready else PATIENCE) else ""


def observe(
    jobs: Sequence[tuple[str, str]], reference: str, candidate: str, workers: int, patience: float = PATIENCE
) -> Generator[Observed, None, None]:
    """Yield the features of each program, in the order in which they arrive.

    A process may die or hang. Another process then tries its program once more.

    :param jobs: digests and texts
    :param patience: seconds that one program may take
    :raises ObservingError: processes die before they observe anything
    """
    left = deque(jobs)
    tried: Counter[str] = Counter()
    running: list[Worker] = []
    failed = 0
    try:
        while True:
            while left and len(running) < workers and all(worker.job for worker in running):
                running.append(Worker(reference, candidate))
                running[-1].give(left.popleft())
            for worker in running:
                if left and not worker.job:
                    worker.give(left.popleft())
            busy = {worker.answers: worker for worker in running if worker.job}
            if not busy:
                return
            ready = readable(busy, _LOOK_EVERY)
            for pipe, worker in busy.items():
                how = ""
                if pipe in ready:
                    try:
                        observed = worker.answer()
                    except EOFError:
                        how = worker.death()
                    else:
                        if observed is not None:
                            yield observed
                else:
                    how = worker.stuck(patience)
                if not how:
                    continue
                running.remove(worker)
                worker.close()
                assert worker.job is not None
                digest = worker.job[0]
                failed += not worker.ready
                tried[digest] += worker.ready
                if failed == _MAX_FAILED:
                    raise ObservingError(f"no process observed anything before it ended; the last one {how}")
                if tried[digest] < 2:
                    left.append(worker.job)
                else:
                    yield Observed(digest, None, f"the process that judged it {how}, twice", lasting=False)
    finally:
        for worker in running:
            worker.close()
