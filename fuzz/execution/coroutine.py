# SPDX-License-Identifier: GPL-2.0-only
"""Code that can be suspended in the middle of a call and continue there when it is resumed.

Each coroutine is a greenlet. It saves the C frames, so that compiled code can be suspended too. One coroutine runs at a
time, so a run is as repeatable as one without coroutines.
"""

from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet


class Abandoned(BaseException):
    """The code will not be resumed: it ends where it was suspended."""


def nothing() -> None:
    """Body of a coroutine that has ended."""


class Coroutine:
    """Code that can be suspended in the middle of any call.

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
        """Run the body. This is the function of the greenlet."""
        try:
            self.body()
        except Abandoned:
            pass
        finally:
            self.finish()

    def finish(self) -> None:
        """Mark the coroutine as ended, and break its reference cycle."""
        self.done = True
        self.body = nothing
        self.greenlet = self.switch = None

    def resume(self) -> None:
        """Run the code until it is suspended or ends. Pass on whatever it raises."""
        self.begun = True
        self.greenlet.parent = getcurrent()
        self.switch()

    def suspend(self) -> None:
        """Suspend the code that calls this, and continue after `resume`. Returns when the code is resumed.

        :raises Abandoned: the code will never be resumed
        """
        self.greenlet.parent.switch()
        if self.abandoned:
            raise Abandoned

    def transfer_to(self, other: "Coroutine") -> None:
        """Suspend the code that calls this, and continue in another coroutine.

        The other one takes over the `resume` of this one: when it is suspended or ends, that `resume` returns.

        :raises Abandoned: as in `suspend`
        """
        other.begun = True
        other.switch()
        if self.abandoned:
            raise Abandoned

    def end(self) -> None:
        """End code that is suspended or has not begun."""
        if self.begun and not self.done:
            self.abandoned = True
            self.resume()
        self.finish()
