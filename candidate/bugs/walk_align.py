# SPDX-License-Identifier: GPL-2.0-only
"""Upstream fix 357ad203d45c (v5.12) is lost: the walk steps past a leaf without rounding its cursor down."""

from typing import ClassVar

from reference.pgtable import Pgtable, kvm_pgtable_walk_data

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableWalkAlign(PgtableV5_14):
    PASSES_ZEROES: ClassVar[tuple[str, ...]] = Pgtable.PASSES_ZEROES

    def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
        # Wrong: the original's function, with bug B05.
        return Pgtable.__kvm_pgtable_visit__(self, data, ptep, level)


class MmuWalkAlign(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-walk-align",
    PgtableWalkAlign,
    MmuWalkAlign,
    base="v5.14",
    signature="translation: stage2_unmap_walker: still mapped after invalidation L3",
    origin="without upstream fix 357ad203d45c (v5.12): a walk that starts inside an entry ends early",
    order=280,
)
