# SPDX-License-Identifier: GPL-2.0-only
"""Code that runs until it leaves, and goes on there when it is resumed.

A greenlet each, whose C frames are put aside: it may leave from within compiled code too. One runs at a time, so a run
is as repeatable as one without any.
"""

from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet


class Abandoned(BaseException):
    """The code will not be resumed any more: it ends where it left."""


def nothing() -> None:
    """The body of code that has ended."""


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
        self.greenlet: Any = greenlet(self.run)
        self.switch: Any = self.greenlet.switch

    def run(self) -> None:
        """The greenlet."""
        try:
            self.body()
        except Abandoned:
            pass
        finally:
            self.over()

    def over(self) -> None:
        """Mark the coroutine as ended, and break its reference cycle."""
        self.done = True
        self.body = nothing
        self.greenlet = self.switch = None

    def resume(self) -> None:
        """Run the code until it leaves or ends; whatever it raises is raised here."""
        self.begun = True
        self.greenlet.parent = getcurrent()
        self.switch()

    def leave(self) -> None:
        """Called by the code: go on behind `resume`; returns when it is resumed.

        :raises Abandoned: it never will be
        """
        self.greenlet.parent.switch()
        if self.abandoned:
            raise Abandoned

    def leave_to(self, other: "Coroutine") -> None:
        """Called by the code: go on in another one, as if that had been resumed from where this was.

        It goes on behind the same `resume` when it leaves or ends, or begins with it.

        :raises Abandoned: as of `leave`
        """
        other.begun = True
        other.switch()
        if self.abandoned:
            raise Abandoned

    def end(self) -> None:
        """End code that has left, or has not begun."""
        if self.begun and not self.done:
            self.abandoned = True
            self.resume()
        self.over()
