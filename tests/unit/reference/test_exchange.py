# SPDX-License-Identifier: GPL-2.0-only
"""Compare-exchanges of table entries: the stored values, and the events that observers see."""

import pytest

from reference.events import Observer
from reference.kernel import Kernel
from reference.machine.computer import Computer
from reference.machine.granule import Granule
from reference.services.errors import NULL


class Log(Observer):
    """Records events of stores."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, int, int]] = []

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.events.append(("release" if release else "store", ptep, old, new))

    def exchanged(self, ptep: int, old: int, new: int) -> None:
        self.events.append(("exchanged", ptep, old, new))

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        self.events.append(("lost", ptep, found, new))


@pytest.fixture
def kernel() -> Kernel:
    """Make a kernel with one table page."""
    granule = Granule(12)
    kernel = Kernel(granule, Computer(granule, 1))
    assert kernel.get_zeroed_page() == 0
    return kernel


def test_a_successful_exchange_is_a_store_with_release(kernel: Kernel) -> None:
    log = Log()
    kernel.observe(log)
    assert kernel.cmpxchg(5, 0, 7) == 0
    assert kernel.words[5] == 7
    assert log.events == [("release", 5, 0, 7), ("exchanged", 5, 0, 7)]


def test_a_failed_exchange_stores_nothing(kernel: Kernel) -> None:
    kernel.WRITE_ONCE(5, 7)
    log = Log()
    kernel.observe(log)
    assert kernel.cmpxchg(5, 0, 9) == 7
    assert kernel.words[5] == 7
    assert log.events == [("lost", 5, 7, 9)]


def test_an_exchange_outside_of_table_memory(kernel: Kernel) -> None:
    with pytest.raises(IndexError):
        kernel.cmpxchg(NULL, 0, 1)
