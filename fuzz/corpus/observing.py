# SPDX-License-Identifier: GPL-2.0-only
"""Features of many programs, observed in several processes."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ..distribution import home_folder
from ..judging import silence
from ..judging.silence import Silence
from ..processes.starting import starting
from ..sides import pulse

# Seconds that one program may take.
PATIENCE: Final = 180.0
# Seconds between two looks at silent processes.
_LOOK_EVERY: Final = 0.5
# Processes that may die before they are ready.
_MAX_FAILED: Final = 3


class ObservingError(Exception):
    """Processes die before they observe anything; one line."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a program shows.

    :param features: None where they could not be observed
    :param trouble: why not
    :param lasting: whether the same would come of it again
    """

    digest: str
    features: tuple[int, ...] | None
    trouble: str = ""
    lasting: bool = True


class Worker:
    """A process, and the program that it has at the moment.

    :param seconds: of CPU time without an event after which kernel code does not come back
    """

    def __init__(self, reference: str, candidate: str, seconds: float = silence.SECONDS) -> None:
        self.job: tuple[str, str] | None = None
        self.since = 0.0
        # Whether it has come so far that it is a program it dies of.
        self.ready = False
        self.rest = b""
        self.pipe, pipe = os.pipe()
        memory = pulse.make()
        command = [sys.executable, "-m", "fuzz.corpus.child", str(os.getpid()), str(pipe), str(memory)]
        paths = [str(home_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self.process = subprocess.Popen(
                [*command, reference, candidate],
                stdin=subprocess.PIPE,
                # A process group of its own: Ctrl-C is the parent's to handle.
                start_new_session=True,
                pass_fds=(pipe, memory),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        except BaseException:
            os.close(self.pipe)
            os.close(memory)
            raise
        finally:
            os.close(pipe)
        self.silence = Silence(self.process.pid, pulse.shared(memory), seconds)
        os.close(memory)

    def give(self, job: tuple[str, str]) -> None:
        """Have it observe a program."""
        self.job, self.since = job, time.monotonic()
        assert self.process.stdin is not None
        # If it is dead, that shows where its answer should be.
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def answer(self) -> Observed | None:
        """What it has to say, as far as that is a whole answer.

        :raises EOFError: the process is dead
        """
        data = os.read(self.pipe, 1 << 20)
        if not data:
            raise EOFError
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if line:
                self.job = None
                digest, features, trouble = json.loads(line)
                return Observed(digest, None if features is None else tuple(features), trouble)
            # The clock of its program starts now.
            self.ready, self.since = True, time.monotonic()
        return None

    def death(self) -> str:
        """What it died of, once its end of the pipe is closed."""
        code = self.process.wait()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        os.close(self.pipe)


def observe(
    jobs: Sequence[tuple[str, str]], reference: str, candidate: str, workers: int, patience: float = PATIENCE
) -> Generator[Observed, None, None]:
    """The features of each program, in the order in which they come.

    A process may die or hang: its program is tried once more, by another one.

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
                with starting("a process that observes programs"):
                    running.append(Worker(reference, candidate))
                running[-1].give(left.popleft())
            for worker in running:
                if left and not worker.job:
                    worker.give(left.popleft())
            busy = {worker.pipe: worker for worker in running if worker.job}
            if not busy:
                return
            ready, _, _ = select.select(list(busy), [], [], _LOOK_EVERY)
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
                elif worker.silence.look():
                    how = f"ran for {worker.silence.seconds:g} s of CPU time without an event"
                elif time.monotonic() - worker.since > (patience if worker.ready else PATIENCE):
                    how = f"did not get on for {time.monotonic() - worker.since:.0f} s"
                if not how:
                    continue
                running.remove(worker)
                worker.close()
                assert worker.job is not None
                digest = worker.job[0]
                failed += not worker.ready
                tried[digest] += worker.ready
                if failed == _MAX_FAILED:
                    raise ObservingError(f"processes end before they observe anything: the last one {how}")
                if tried[digest] < 2:
                    left.append(worker.job)
                else:
                    yield Observed(digest, None, f"the process that judged it {how}, twice", lasting=False)
    finally:
        for worker in running:
            worker.close()
