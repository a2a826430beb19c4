# SPDX-License-Identifier: GPL-2.0-only
"""Programs without a verdict: each needed something that is not modelled, and is counted under that."""

from collections.abc import Mapping


def says_nothing(programs: int, refused: Mapping[str, int]) -> bool:
    """Tell whether most programs have no verdict, so that a session without findings says nothing.

    :param programs: number of programs that ran
    :param refused: what is not modelled -> number of programs that needed it
    """
    return 2 * sum(refused.values()) > programs
