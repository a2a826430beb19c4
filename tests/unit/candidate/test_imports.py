# SPDX-License-Identifier: GPL-2.0-only
"""Imports of other versions, read from sources."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from candidate.registry.imports import imported

FOLDER = Path(__file__).parents[3] / "candidate"
SOURCE = FOLDER / "rfc_v1.py"


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Cycle:
    """Garbage whose end runs Python code, in whatever comes between."""

    def __init__(self) -> None:
        self.own = self

    def __del__(self) -> None:
        sum(range(50))


def look(_: int) -> set[Path]:
    Cycle()
    return imported(SOURCE)


@pytest.mark.usefixtures("many_switches")
def test_threads_read_at_once() -> None:
    """As those of a campaign do that looks for changes of the code while it files."""
    expected = imported(SOURCE)
    assert FOLDER / "rfc_v1_3.py" in expected
    with ThreadPoolExecutor(4) as threads:
        assert all(found == expected for found in threads.map(look, range(100)))
