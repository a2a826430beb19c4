# SPDX-License-Identifier: GPL-2.0-only
"""The places that may have made an error: those that ran in the current operation."""

from array import array
from pathlib import Path
from typing import cast

import pytest

from candidate.tree.lines.error_lines import ErrorLine
from candidate.tree.runtime import error_places
from candidate.tree.runtime.error_places import ErrorPlaces
from candidate.tree.runtime.process import Process
from reference.services.errors import ENOMEM


class Counting:
    """Stands in for a process: its counters, one for each of two lines."""

    library = Path("tree.so")

    def __init__(self, *values: int) -> None:
        self.values = values

    def counters(self) -> bytes:
        return array("Q", self.values).tobytes()


class Lines:
    """Stands in for the lines of a library: counter N belongs to line N."""

    def ran(self, name: str, counters: bytes) -> list[ErrorLine]:
        assert name == "ENOMEM"
        return [ErrorLine("mmu.c", at, "f", at) for at, count in enumerate(array("Q", counters)) if count]


def places(of: ErrorPlaces) -> list[str]:
    return of.places(-ENOMEM)


def test_only_the_lines_of_this_operation_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(error_places, "error_lines", lambda library, root: Lines())
    # The counters of the last program, which the process clears when it begins the next one.
    process = Counting(5, 0)
    found = ErrorPlaces(cast(Process, process), tmp_path)
    process.values = 1, 0
    assert places(found) == ["f (mmu.c:0)"]
    found.begin()
    process.values = 1, 1
    assert places(found) == ["f (mmu.c:1)"]
    found.begin()
    assert places(found) == []
