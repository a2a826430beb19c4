# SPDX-License-Identifier: GPL-2.0-only
"""Walks of an operation that ages pages, as queried by conditions of known bugs."""

import pytest

from fuzz.checkers.guest_pages import Range
from fuzz.judging.last_fault import HeldPredicates


@pytest.mark.parametrize(
    ("walks", "walked"),
    [
        ([], []),
        ([(4, 8), (8, 12), (12, 16)], [(4, 16)]),
        ([(4, 8), (12, 16), (8, 12)], [(4, 16)]),
        ([(4, 8), (12, 16), (16, 20), (4, 6)], [(4, 8), (12, 20)]),
        ([(12, 16), (4, 8)], [(4, 8), (12, 16)]),
    ],
)
def test_walked_ranges_are_recorded(walks: list[Range], walked: list[Range]) -> None:
    held = HeldPredicates()
    for start, end in walks:
        held.walked(start, end)
    assert held.walks() == walked
    assert held.any() == bool(walks)
