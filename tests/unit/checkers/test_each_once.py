# SPDX-License-Identifier: GPL-2.0-only
"""The addresses that the translation checker judges after an operation: each once, in order of first writes."""

import pytest

from fuzz.checkers.translation import each_once


@pytest.mark.parametrize(
    ("addresses", "once"),
    [
        ([], []),
        ([0], [0]),
        ([0, 4, 8], [0, 4, 8]),
        ([8, 4, 0], [8, 4, 0]),
        ([0, 4, 4, 8], [0, 4, 8]),
        ([4, 8, 0, 8, 4, 12], [4, 8, 0, 12]),
    ],
)
def test_each_address_comes_once(addresses: list[int], once: list[int]) -> None:
    assert each_once(addresses) == once
