# SPDX-License-Identifier: GPL-2.0-only
"""Known differences between the model and a real kernel under QEMU, each with its reason: these, and no other.

`tests/real/test_deviations.py` shows that each is still so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..language.operations import Operation
from .answers import RealAnswers
from .compare import OutcomeDifference
from .translate import Played


@dataclass(frozen=True)
class RealDeviation:
    """One way in which a real kernel differs.

    :param name: a few words
    :param reason: why the model is not changed to do the same
    :param applies: tells whether it explains a difference
    """

    name: str
    reason: str
    applies: Callable[[Played, Operation, OutcomeDifference, RealAnswers], bool]


ALL: Final[tuple[RealDeviation, ...]] = ()


def explained(played: Played, difference: OutcomeDifference, answers: RealAnswers) -> RealDeviation | None:
    """The deviation that explains a difference; None: it is one.

    :param played: the program that shows it
    """
    if difference.at < 0:
        return None
    op = played.program.operations[difference.at]
    return next((each for each in ALL if each.applies(played, op, difference, answers)), None)
