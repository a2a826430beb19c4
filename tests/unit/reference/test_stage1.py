# SPDX-License-Identifier: GPL-2.0-only
"""Stage-1 descriptors of EL2, as the architecture defines them."""

import pytest

from reference.machine.granule import Granule
from reference.machine.stage1 import describe_stage1, start_level, unknown_fields

G4, G16, G64 = Granule(12), Granule(14), Granule(16)


@pytest.mark.parametrize(
    ("granule", "bits", "level"),
    [(G4, 48, 0), (G4, 40, 0), (G4, 39, 1), (G16, 48, 0), (G16, 47, 1), (G16, 36, 2), (G64, 48, 1), (G64, 42, 2)],
)
def test_start_level(granule: Granule, bits: int, level: int) -> None:
    """Compare with the table of Arm ARM D8.2: T0SZ against the initial look-up level, without concatenation."""
    assert start_level(bits, granule) == level


@pytest.mark.parametrize(
    ("entry", "level", "granule", "text"),
    [
        (0, 3, G4, "empty"),
        (0x8000_0743 | 1 << 54, 3, G4, "page@0x80000000 rw- normal"),
        (0x8000_07C3, 3, G4, "page@0x80000000 r-x normal"),
        (0x8000_0757 | 1 << 54, 3, G4, "page@0x80000000 rw- device-nGnRE"),
        (0x8000_07C1 | 1 << 54, 2, G4, "block(2M)@0x80000000 r-- normal"),
        (0x8000_03DD, 2, G64, "block(512M)@0x80000000 r-x attrindx=7 old"),
        (0x8000_0003, 2, G4, "table@0x80000000"),
        (0x8000_0001, 0, G4, "reserved[0x80000001]"),
    ],
)
def test_describe(entry: int, level: int, granule: Granule, text: str) -> None:
    assert describe_stage1(entry, level, granule) == text


@pytest.mark.parametrize(
    ("entry", "level", "granule", "unknown"),
    [
        (0x8000_0743 | 1 << 54, 3, G4, 0),
        (0x8000_0743 | 1 << 53, 3, G4, 1 << 53),
        (0x8000_0F43, 3, G4, 1 << 11),
        (0x8000_0003 | 1 << 60, 2, G4, 1 << 60),
        (0x8000_0403, 2, G4, 1 << 10),
        (0x8000_3743, 3, G64, 0),
        (0x8000_3743, 3, G16, 0x3000),
        (0x8000_0443 | 0x2 << 8 | 0x2 << 48, 3, Granule(12, 52), 0),
        (0x8000_0443 | 0x2 << 48, 3, G4, 0x2 << 48),
    ],
)
def test_unknown_fields(entry: int, level: int, granule: Granule, unknown: int) -> None:
    assert unknown_fields(entry, level, granule) == unknown
