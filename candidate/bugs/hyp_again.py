# SPDX-License-Identifier: GPL-2.0-only
"""Hyp tables do not tolerate installing the same mapping a second time."""

from reference.mmu import Mmu
from reference.pgtable import Pgtable, hyp_map_data

from ..registry.declaration import Bug


class PgtableHypAgain(Pgtable):
    def hyp_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: hyp_map_data) -> bool:
        old = self.load(ptep)
        granule = self.kvm_granule_size(level)
        phys = data.phys

        if not self.kvm_block_mapping_supported(addr, end, phys, level):
            return False

        new = self.kvm_init_valid_leaf_pte(phys, data.attr, level)
        # Wrong: an entry that already holds the same mapping needs no warning.
        if not self.k.WARN_ON(self.kvm_pte_valid(old), "hyp_map_walker_try_leaf"):
            self.k.smp_store_release(ptep, new)

        data.phys += granule
        return True


class MmuHypAgain(Mmu):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-hyp-again",
    PgtableHypAgain,
    MmuHypAgain,
    base="original",
    signature="contract: hyp_map_walker_try_leaf: WARN",
    origin="hyp tables reject a second installation of the same mapping",
    order=320,
)
