# SPDX-License-Identifier: GPL-2.0-only
"""Patience: a process that works on a loaded machine gets its time; waiting for an idle one is bounded."""

import pytest

from fuzz.processes.patience import Patience


@pytest.mark.parametrize(
    ("clock", "spent", "over"),
    [
        (9.9, 0.0, False),
        (10.0, 0.0, True),
        (10.0, 0.05, True),
        (10.0, 1.0, False),
        (10.0, 10.0, True),
        (99.0, 9.0, False),
        (100.0, 9.0, True),
    ],
)
def test_patience_ends_by_cpu_time_or_clock(
    clock: float, spent: float, over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"clock": 1000.0, "spent": 5.0}
    monkeypatch.setattr("fuzz.processes.patience.time.monotonic", lambda: times["clock"])
    monkeypatch.setattr("fuzz.processes.patience.cpu_seconds", lambda _: times["spent"])
    waited = Patience(1, 10.0)
    times["clock"] += clock
    times["spent"] += spent
    assert waited.over() == over
    waited.begin()
    assert not waited.over()


def test_waiting_for_a_process_that_is_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.processes.patience.cpu_seconds", lambda _: None)
    assert Patience(1, 0.0).over()
