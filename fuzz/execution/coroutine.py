# SPDX-License-Identifier: GPL-2.0-only
"""Code that runs until it leaves, and goes on there when it is resumed.

A thread each, of which one runs at a time: whoever resumes waits until the code leaves or ends. So nothing runs beside
anything, and a run is as repeatable as one without threads.
"""

import threading
from collections.abc import Callable


class Abandoned(BaseException):
    """The code will not be resumed any more: it ends where it left."""


class Coroutine:
    """Code that can leave in the middle of any call.

    :param body: runs at the first `resume`

    *done*: whether it has ended
    """

    def __init__(self, body: Callable[[], None]) -> None:
        self.body = body
        self.done = False
        self.begun = False
        self.abandoned = False
        self.error: BaseException | None = None
        self.go = threading.Semaphore(0)
        self.back = threading.Semaphore(0)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        """The thread."""
        self.go.acquire()
        try:
            if not self.abandoned:
                self.body()
        except Abandoned:
            pass
        except BaseException as error:
            self.error = error
        self.done = True
        self.back.release()

    def resume(self) -> None:
        """Run the code until it leaves or ends; whatever it raises is raised here."""
        if not self.begun:
            self.begun = True
            self.thread.start()
        self.go.release()
        self.back.acquire()
        error, self.error = self.error, None
        if error is not None:
            raise error

    def leave(self) -> None:
        """Called by the code: go on behind `resume`; returns when it is resumed.

        :raises Abandoned: it never will be
        """
        self.back.release()
        self.go.acquire()
        if self.abandoned:
            raise Abandoned

    def end(self) -> None:
        """End code that has left, or has not begun."""
        if self.done or not self.begun:
            self.done = True
            return
        self.abandoned = True
        self.go.release()
        self.thread.join()
