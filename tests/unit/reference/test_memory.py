# SPDX-License-Identifier: GPL-2.0-only
"""Versions of a frame's content in the data cache, in memory and in the instruction cache."""

import pytest

from reference.machine.granule import Granule
from reference.machine.memory import FIRST_PFN, FOREIGN, FREE, OWNED, ZEROED, Memory

PFN = FIRST_PFN + 2


@pytest.fixture
def memory() -> Memory:
    memory = Memory(Granule(12))
    memory.grow(PFN, 4, OWNED)
    return memory


def test_a_new_frame_is_zero_in_the_cache_and_foreign_in_memory(memory: Memory) -> None:
    assert memory.guest_read(PFN, True) == ZEROED
    assert memory.guest_read(PFN, False) == FOREIGN
    assert memory.owner[0] == FREE
    assert memory.owner[2] == OWNED


def test_cleaning_makes_both_alike(memory: Memory) -> None:
    memory.host_write(PFN, 2, 7)
    memory.clean_and_invalidate(PFN << 12, 4096)
    assert memory.guest_read(PFN, False) == 7
    assert memory.guest_read(PFN + 1, False) == FOREIGN


def test_a_frame_is_clean_when_all_its_lines_are(memory: Memory) -> None:
    memory.host_write(PFN, 2, 7)
    memory.clean_and_invalidate((PFN << 12) + 64, 4096)
    assert memory.guest_read(PFN, False) == memory.guest_read(PFN + 1, False) == FOREIGN
    # Each call continues where the last one ended.
    memory.clean_and_invalidate(PFN << 12, 64)
    memory.clean_and_invalidate((PFN << 12) + 64, 4096)
    assert memory.guest_read(PFN, False) == 7
    assert memory.guest_read(PFN + 1, False) == FOREIGN
    memory.clean_and_invalidate((PFN + 1 << 12) + 64, 4032)
    assert memory.guest_read(PFN + 1, False) == 7


def test_a_store_past_a_dirty_line_is_unpredictable(memory: Memory) -> None:
    for pfn in (PFN, PFN + 1):
        memory.guest_write(pfn, 9, cacheable=False)
        assert not memory.predictable(pfn, True, False)
    memory.host_write(PFN, 1, 10)
    assert memory.predictable(PFN, True, False)
    assert not memory.predictable(PFN, False, False)
    assert not memory.predictable(PFN + 1, True, False)


def test_a_copy_is_as_torn_as_its_source(memory: Memory) -> None:
    memory.guest_write(PFN, 9, cacheable=False)
    memory.copy(PFN, PFN + 1, 1)
    assert not memory.predictable(PFN + 1, True, False)


def test_instructions_stay_in_their_cache(memory: Memory) -> None:
    assert memory.guest_fetch(PFN, True) == ZEROED
    memory.host_write(PFN, 1, 5)
    assert memory.guest_fetch(PFN, True) == ZEROED
    assert not memory.predictable(PFN, True, True)
    memory.invalidate_icache(PFN << 12, 4096)
    assert memory.guest_fetch(PFN, True) == 5


def test_released_frames_have_another_owner_and_content(memory: Memory) -> None:
    memory.host_write(PFN, 1, 5)
    memory.release(PFN, 1)
    assert memory.owner[PFN - FIRST_PFN] == FREE
    assert memory.guest_read(PFN, True) == FOREIGN


def test_maintenance_outside_of_memory_is_harmless(memory: Memory) -> None:
    memory.clean_and_invalidate(0, 4096)
    memory.invalidate_icache(1 << 45, 4096)
    assert len(memory.host_dirty.indices(1, 0, memory.frames)) == 4
