# SPDX-License-Identifier: GPL-2.0-only
"""The observer that tells `Steps` when an actor has caused an event. Never compiled: its methods are made."""

from typing import Final

from .events import EVENT_NAMES, Observer
from .steps import Steps

# The hardware's own doing, and ours.
_OTHERS: Final = ("set_af", "turn", "wait")


class ProgressObserver(Observer):
    """Tells `Steps` of each event of the actor that runs.

    :param steps: of the block
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps


def _event(self: ProgressObserver, *_: object) -> None:
    self.steps.moved = True


for _name in EVENT_NAMES:
    if _name not in _OTHERS:
        setattr(ProgressObserver, _name, _event)
