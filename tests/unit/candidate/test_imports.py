# SPDX-License-Identifier: GPL-2.0-only
"""Imports of other versions, determined from source text."""

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
    """Switch between threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Cycle:
    """Garbage whose finalizer runs Python code at arbitrary points."""

    def __init__(self) -> None:
        self.own = self

    def __del__(self) -> None:
        sum(range(50))


def look(_: int) -> set[Path]:
    Cycle()
    return imported(SOURCE)


@pytest.mark.usefixtures("many_switches")
def test_threads_read_at_once() -> None:
    """Read from several threads, as a campaign does when it checks for code changes while it files."""
    expected = imported(SOURCE)
    assert FOLDER / "rfc_v1_3.py" in expected
    with ThreadPoolExecutor(4) as threads:
        assert all(found == expected for found in threads.map(look, range(100)))
