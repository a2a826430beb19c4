# SPDX-License-Identifier: GPL-2.0-only
"""The observer that notifies `Steps` of each event of an actor. Never compiled: its methods are generated."""

from typing import Final

from .events import EVENT_NAMES, Observer
from .steps import Steps

# Events caused by the hardware, or by our own scheduling.
_EXCLUDED: Final = ("set_af", "dirtied", "turn", "wait")


class ProgressObserver(Observer):
    """Marks the running actor's turn in `Steps` as active at each event.

    :param steps: the block's
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps


def _event(self: ProgressObserver, *_: object) -> None:
    self.steps.moved = True


for _name in EVENT_NAMES:
    if _name not in _EXCLUDED:
        setattr(ProgressObserver, _name, _event)
