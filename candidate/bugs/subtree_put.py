# SPDX-License-Identifier: GPL-2.0-only
"""The table that a block replaced keeps its own reference.

f6a27d6dc51b (v6.4) fixed a similar bug in a later form.
"""

from reference.pgtable import NULL, stage2_map_data

from ..registry.declaration import Bug
from ..v5_14 import MmuV5_14, PgtableV5_14


class PgtableSubtreePut(PgtableV5_14):
    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        ret = 0

        if data.anchor == NULL:
            return 0

        if data.anchor == ptep:
            data.anchor = NULL
            data.childp = NULL
            ret = self.stage2_map_walk_leaf(addr, end, level, ptep, data)
        else:
            # Wrong: the table at the anchor is put as well.
            self.k.put_page(self.k.virt_to_page(self.kvm_pte_follow(self.load(ptep))))

        self.k.put_page(self.k.virt_to_page(ptep))

        return ret


class MmuSubtreePut(MmuV5_14):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-subtree-put",
    PgtableSubtreePut,
    MmuSubtreePut,
    base="v5.14",
    signature="leak: kvm_free_stage2_pgd: table pages left",
    origin="as before upstream fix f6a27d6dc51b (v6.4): the root of a detached subtree is never freed",
    order=90,
)
