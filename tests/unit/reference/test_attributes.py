# SPDX-License-Identifier: GPL-2.0-only
"""Memory types combined from both stages, worked out by hand from the Arm ARM."""

import pytest

from reference.machine.attributes import (
    INNER_SHAREABLE,
    NON_SHAREABLE,
    NORMAL_NC,
    NORMAL_WB,
    OUTER_SHAREABLE,
    DEVICE_nGnRnE,
    memory_type,
    shareability,
)
from reference.machine.descriptor import is_cacheable


@pytest.mark.parametrize(
    ("attr", "fwb", "stage1", "expected"),
    [
        # Entries that KVM writes: normal and device memory, without and with FWB; first with stage 1 cacheable, then
        # off.
        (0xF, False, NORMAL_WB, NORMAL_WB),
        (0xF, False, DEVICE_nGnRnE, DEVICE_nGnRnE),
        (0x6, True, NORMAL_WB, NORMAL_WB),
        (0x6, True, DEVICE_nGnRnE, NORMAL_WB),
        (0x1, False, NORMAL_WB, 0x04),
        (0x1, True, NORMAL_WB, 0x04),
        (0x1, False, DEVICE_nGnRnE, DEVICE_nGnRnE),
        (0x1, True, DEVICE_nGnRnE, DEVICE_nGnRnE),
        # Stage 2 can only weaken the type: outer write-through, inner non-cacheable.
        (0x5, False, NORMAL_WB, NORMAL_NC),
        (0x9, False, NORMAL_WB, 0xB4),
        (0x3, False, NORMAL_WB, 0x0C),
        # With FWB: non-cacheable unless stage 1 is Device; the type of stage 1.
        (0x5, True, NORMAL_WB, NORMAL_NC),
        (0x5, True, DEVICE_nGnRnE, DEVICE_nGnRnE),
        (0x7, True, NORMAL_WB, NORMAL_WB),
        (0x7, True, DEVICE_nGnRnE, DEVICE_nGnRnE),
        # Reserved encodings.
        (0x4, False, NORMAL_WB, -1),
        (0x4, True, NORMAL_WB, -1),
        (0xF, True, NORMAL_WB, -1),
    ],
)
def test_memory_type(attr: int, fwb: bool, stage1: int, expected: int) -> None:
    assert memory_type(attr << 2 | 1, fwb, stage1) == expected


@pytest.mark.parametrize(("sh", "expected"), [(0, NON_SHAREABLE), (2, OUTER_SHAREABLE), (3, INNER_SHAREABLE)])
def test_shareability(sh: int, expected: int) -> None:
    entry = sh << 8 | 1
    assert shareability(entry, NORMAL_WB, NORMAL_WB) == expected
    # Device and non-cacheable memory is always outer shareable.
    assert shareability(entry, NORMAL_NC, NORMAL_WB) == OUTER_SHAREABLE
    assert shareability(entry, 0x04, NORMAL_WB) == OUTER_SHAREABLE
    assert shareability(entry, NORMAL_WB, DEVICE_nGnRnE) == OUTER_SHAREABLE


@pytest.mark.parametrize(("attr", "fwb"), [(0xF, False), (0x6, True), (0x1, False), (0x1, True)])
def test_a_leaf_is_cacheable_as_the_memory_type_says(attr: int, fwb: bool) -> None:
    """Check that a leaf is cacheable if stage 1 permits Write-Back, and with FWB even if it does not."""
    entry = attr << 2 | 1
    assert is_cacheable(entry) == (memory_type(entry, fwb, NORMAL_WB) == NORMAL_WB)
    assert (memory_type(entry, fwb, DEVICE_nGnRnE) == NORMAL_WB) == (fwb and is_cacheable(entry))
