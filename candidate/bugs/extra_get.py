# SPDX-License-Identifier: GPL-2.0-only
"""The block that replaces a table takes a reference, although the table's entry already holds one.

It has the effect that the review of RFC v1 feared.
"""

from reference.pgtable import stage2_map_data

from ..registry.declaration import Bug
from ..rfc_v1_fixed import MmuRfcV1Fixed, PgtableRfcV1Fixed


class PgtableExtraGet(PgtableRfcV1Fixed):
    def stage2_coalesce_tables_into_block(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        super().stage2_coalesce_tables_into_block(addr, level, ptep, data)
        # Wrong: the entry was counted when it pointed to the table.
        self.k.get_page(self.k.virt_to_page(ptep))


class MmuExtraGet(MmuRfcV1Fixed):
    """mmu.c is the base's."""


BUG = Bug(
    "bug-extra-get",
    PgtableExtraGet,
    MmuExtraGet,
    base="rfc-v1-fixed",
    signature="refcount: stage2_map_walker: too many references L2",
    origin="one get_page() too many where a table becomes a block",
    order=140,
)
