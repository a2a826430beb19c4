# SPDX-License-Identifier: GPL-2.0-only
"""Judging in a forked process, which this one watches, and ends if it does not return."""

import mmap
from collections.abc import Callable
from typing import Any, Final

from ..closing import Closing
from ..execution.mistakes import CandidateMistakeError
from ..processes.child import end_text
from ..processes.fork import Fork
from ..processes.patience import Patience
from ..sides.pulse import PULSE, SIZE, Position
from . import silence
from .exits import check_exit

# Upper bound in seconds for one piece of work, whatever it does (`fuzz.processes.patience`).
PATIENCE: Final = 180.0


class CopyLostError(Exception):
    """The process gave no answer; the message is the reason: ``was killed by SIGSEGV``.

    :param position: where kernel code did not return; None: that is not the reason
    :param seconds: of CPU time that it ran without an event
    :param status: its exit status, as from `os.waitstatus_to_exitcode`; None: this process ended it
    """

    def __init__(
        self, message: str, position: Position | None = None, seconds: float = 0.0, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.position = position
        self.seconds = seconds
        self.status = status


class Forked(Closing):
    """A copy of this process that does one piece of work after another.

    It has everything that this process had imported and created when the first piece was requested. After
    `CopyLostError` the next piece gets a new copy. A context manager; the copy also ends when this process does.

    :param work: computes an answer from a request, both of built-in types, in the other process
    :param seconds: of its CPU time that kernel code may run without progress
    :param patience: seconds that one piece may take, whatever it does
    """

    def __init__(
        self, work: Callable[[Any], Any], seconds: float = silence.SECONDS, patience: float = PATIENCE
    ) -> None:
        self.work = work
        self.seconds = seconds
        self.patience = patience
        self.process = Fork("the process that judges", self._work)
        # In the copy: whether its pulse is attached.
        self.attached = False
        self.memory = memoryview(mmap.mmap(-1, SIZE))

    def ask(self, request: Any) -> Any:
        """Have a piece of work done.

        :raises CopyLostError: there is no answer
        :raises CandidateMistakeError: the work raised it
        :raises NoProcessError: the process cannot be started
        """
        try:
            if self.process.pid < 0:
                self.process.start()
            self.process.send(request)
            answer, mistake = self._answer()
        except BaseException:
            # The process is lost, or the work in progress is no longer wanted.
            self.close()
            raise
        if mistake:
            raise CandidateMistakeError(mistake)
        return answer

    def close(self) -> None:
        """End the process, whatever it does."""
        self.process.close()

    def _work(self, request: Any) -> tuple[Any, str]:
        """Return an answer and no mistake, or no answer and a mistake; runs in the other process."""
        if not self.attached:
            PULSE.attach(self.memory)
            self.attached = True
        try:
            return self.work(request), ""
        except CandidateMistakeError as error:
            return None, str(error)

    def _answer(self) -> tuple[Any, str]:
        """Return the answer of `_work`.

        :raises CopyLostError: there is none
        :raises CandidateMistakeError: the kernel code ended the process
        """
        watch = silence.Silence(self.process.pid, self.memory, self.seconds)
        patience = Patience(self.process.pid, self.patience)
        while True:
            if patience.over():
                raise CopyLostError(f"made no progress for {self.patience:g} s")
            if self.process.ready(min(silence.LOOK_EVERY, self.patience)):
                answer = self.process.read()
                if answer is None:
                    code = self.process.death()
                    check_exit(self.memory, code)
                    raise CopyLostError(end_text(code), status=code)
                said: tuple[Any, str] = answer[0]
                return said
            stuck = watch.look()
            if stuck is not None:
                raise CopyLostError(f"ran for {watch.limit:g} s of CPU time without an event", stuck, watch.limit)
