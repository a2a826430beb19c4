# SPDX-License-Identifier: GPL-2.0-only
"""Upstream fix 357ad203d45c (v5.12) is lost: the walk steps past a leaf without rounding its cursor down."""

from reference.compiled.annotations import mypyc_attr
from reference.pgtable import Pgtable, kvm_pgtable_walk_data

from ..v5_14 import MmuV5_14, PgtableV5_14


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableWalkAlign(PgtableV5_14):
    def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
        # Wrong: the original's, with bug B05.
        return Pgtable.__kvm_pgtable_visit__(self, data, ptep, level)


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuWalkAlign(MmuV5_14):
    """mmu.c is the base's."""
