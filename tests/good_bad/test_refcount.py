# SPDX-License-Identifier: GPL-2.0-only
"""refcount: 1 + the number of valid entries, or (v5.13 on) of entries that are not zero."""

from typing import ClassVar

import candidate
from candidate.v5_14 import PgtableV5_14
from reference.pgtable import Pgtable, stage2_map_data
from reference.services.structs import kvm_s2_mmu

from .case import Case, broken, each
from .switched import Coalesce, CoalesceFirst, Map, Split, Unmap

COALESCE = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu0 read a+4K\n"
UNMAP = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\nhost discard a+0 4K\n"


class LeavesAddressBits(PgtableV5_14):
    """Clears the valid bit only, as before v5.13: what remains still counts."""

    def kvm_clear_pte(self, ptep: int) -> None:
        self.kvm_set_invalid_pte(ptep)


class CountsMoreThanValid(Pgtable):
    """The original, judged by v5.13's rule: its cleared entries are not zero."""

    COUNTS_NON_ZERO: ClassVar[bool] = True


class KeepsTheReference(PgtableV5_14):
    """Clears an entry and forgets its reference."""

    def stage2_put_pte(self, ptep: int, mmu: kvm_s2_mmu, addr: int, level: int) -> None:
        super().stage2_put_pte(ptep, mmu, addr, level)
        self.k.get_page(self.k.virt_to_page(ptep))


class KeepsTheAnchorsReference(PgtableV5_14):
    """POST without the put of the table that the block replaces."""

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        anchor = data.anchor == ptep
        ret = super().stage2_map_walk_table_post(addr, end, level, ptep, data)
        if anchor:
            self.k.get_page(self.k.virt_to_page(ptep))
        return ret


CASES = (
    Case(
        "map without get",
        "refcount: stage2_map_walker: too few references L3",
        Map.without("get"),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "split without put",
        "refcount: stage2_map_walker: too many references L2",
        Split.without("put"),
        "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu0 write a+0\n",
    ),
    Case(
        "coalesce without put",
        "refcount: stage2_map_walker: too many references L2",
        Coalesce.without("put"),
        COALESCE,
    ),
    Case(
        "coalesce with a put too many",
        "refcount: stage2_map_walker: too few references L2",
        broken(CoalesceFirst),
        COALESCE,
        candidate.get("rfc-v1-3"),
    ),
    Case(
        "unmap without put",
        "refcount: stage2_unmap_walker: too many references L3",
        Unmap.without("put"),
        UNMAP,
    ),
    Case(
        "cleared and not zero where that counts",
        "refcount: stage2_unmap_walker: too few references L3",
        broken(LeavesAddressBits),
        UNMAP,
        candidate.get("v5.14"),
    ),
    Case(
        "which entries count is the version's",
        "refcount: stage2_unmap_walker: too few references L3",
        broken(CountsMoreThanValid),
        UNMAP,
    ),
    Case(
        "zeroed without put",
        "refcount: stage2_unmap_walker: too many references L3",
        broken(KeepsTheReference),
        UNMAP,
        candidate.get("v5.14"),
    ),
    Case(
        "zeroed when a table becomes a block",
        "refcount: stage2_map_walker: too many references L2",
        broken(KeepsTheAnchorsReference),
        COALESCE,
        candidate.get("v5.14"),
    ),
)


@each(CASES)
def test_refcount_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_refcount_bad(case: Case) -> None:
    assert case.first_bad() == case.signature
