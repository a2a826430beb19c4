# SPDX-License-Identifier: GPL-2.0-only
"""Programs without a verdict: they needed what nobody models, and are counted by what that is."""

from collections.abc import Mapping


def says_nothing(programs: int, refused: Mapping[str, int]) -> bool:
    """Tell whether most programs have no verdict: a session that found nothing says nothing then.

    :param programs: that ran
    :param refused: what is not modelled -> programs that needed it
    """
    return 2 * sum(refused.values()) > programs
