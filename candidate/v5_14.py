# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: arch/arm64/kvm/hyp/pgtable.c and mmu.c as of v5.14.
"""v5.14: stage 2 of pgtable.c with series v7 merged (25aa28691bb9), on top of the changes of 5.12 and 5.13.

* 357ad203d45c, v5.12: the walk rounds its cursor down (`v5.12.9`).
* f60ca2f9321a, v5.13: an entry that is cleared becomes zero; the table below
  an anchor is remembered in ``childp``.
* 807923e04a0f, v5.13: every entry that is not zero counts.
* 25aa28691bb9, v5.14: the map handler cleans what becomes cacheable, then
  invalidates what becomes executable; the attribute walker invalidates what
  becomes executable; mmu.c does neither.

Left out, because no program reaches it or because it belongs to another patch: the
``mm_ops`` callbacks (the kernel's functions are called directly),
``kvm_init_invalid_leaf_owner`` and everything about the host's own stage 2
under pKVM, hyp stage 1, MTE. mmu.c is the reference's except for the cache
maintenance. Of the other changes of 5.13 and 5.14 to mmu.c, MMU notifiers by guest
frame ranges and block mappings of device memory on access
(fd6f17bade21, 2aa53d68cee6) are not included.
"""

from typing import ClassVar

from reference.capabilities import ICACHE_ALIASING, ICACHE_VPIPT, NO_VHE
from reference.compiled.annotations import mypyc_attr
from reference.pgtable import (
    KVM_PGTABLE_MAX_LEVELS,
    KVM_PTE_LEAF_ATTR_HI_S2_XN,
    KVM_PTE_LEAF_ATTR_S2_PERMS,
    NULL,
    Pgtable,
    stage2_attr_data,
    stage2_map_data,
)
from reference.services.errors import E2BIG, EAGAIN, EINVAL, ENOMEM
from reference.services.structs import kvm_s2_mmu

from .registry.declaration import Candidate
from .v5_12_9 import MmuV5_12_9, PgtableV5_12_9


@mypyc_attr(allow_interpreted_subclasses=True)
class PgtableV5_14(PgtableV5_12_9):
    """Stage 2 of pgtable.c as of v5.14: the map handler maintains both caches, and every non-zero entry counts."""

    COUNTS_NON_ZERO: ClassVar[bool] = True
    PASSES_ZEROES: ClassVar[tuple[str, ...]] = Pgtable.PASSES_ZEROES

    def kvm_clear_pte(self, ptep: int) -> None:
        """Replaces `kvm_set_invalid_pte`."""
        self.k.WRITE_ONCE(ptep, 0)

    def stage2_pte_needs_update(self, old: int, new: int) -> bool:
        if not self.kvm_pte_valid(old) or not self.kvm_pte_valid(new):
            return True

        return (old ^ new) & ~KVM_PTE_LEAF_ATTR_S2_PERMS != 0

    def stage2_pte_is_counted(self, pte: int) -> bool:
        return pte != 0

    def stage2_put_pte(self, ptep: int, mmu: kvm_s2_mmu, addr: int, level: int) -> None:
        if self.kvm_pte_valid(self.load(ptep)):
            self.kvm_clear_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, level)

        self.k.put_page(self.k.virt_to_page(ptep))

    def stage2_pte_executable(self, pte: int) -> bool:
        return not pte & KVM_PTE_LEAF_ATTR_HI_S2_XN

    def invalidate_icache_guest_page(self, va: int, size: int) -> None:
        """``mm_ops->invalidate_icache``, which is mmu.c's function of this name."""
        if self.k.cpus_have_const_cap(ICACHE_ALIASING):
            self.k.__flush_icache_all__()
        elif not self.k.cpus_have_const_cap(NO_VHE) or not self.k.cpus_have_const_cap(ICACHE_VPIPT):
            self.k.invalidate_icache_range(va, size)

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        old = self.load(ptep)
        granule = self.kvm_granule_size(level)
        phys = data.phys

        if not self.kvm_block_mapping_supported(addr, end, phys, level):
            return -E2BIG

        new = self.kvm_init_valid_leaf_pte(phys, data.attr, level)
        if self.stage2_pte_is_counted(old):
            if not self.stage2_pte_needs_update(old, new):
                return -EAGAIN

            self.stage2_put_pte(ptep, data.mmu, addr, level)

        # v7: both before the leaf becomes visible, the data cache first.
        if self.stage2_pte_cacheable(new):
            self.stage2_flush_dcache(self.kvm_pte_follow(new), granule)

        if self.stage2_pte_executable(new):
            self.invalidate_icache_guest_page(self.kvm_pte_follow(new), granule)

        self.k.smp_store_release(ptep, new)
        if self.stage2_pte_is_counted(new):
            self.k.get_page(self.k.virt_to_page(ptep))
        data.phys += granule
        return 0

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL:
            return 0

        if not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0

        # The entry will not hold anything that POST could follow.
        data.childp = self.kvm_pte_follow(self.load(ptep))
        self.kvm_clear_pte(ptep)

        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        data.anchor = ptep
        return 0

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        pte = self.load(ptep)

        if data.anchor != NULL:
            if self.stage2_pte_is_counted(pte):
                self.k.put_page(self.k.virt_to_page(ptep))

            return 0

        ret = self.stage2_map_walker_try_leaf(addr, end, level, ptep, data)
        if ret != -E2BIG:
            return ret

        if self.k.WARN_ON(level == KVM_PGTABLE_MAX_LEVELS - 1, "stage2_map_walk_leaf"):
            return -EINVAL

        if data.memcache is None:
            return -ENOMEM

        childp = self.k.kvm_mmu_memory_cache_alloc(data.memcache)
        if childp == NULL:
            return -ENOMEM

        if self.stage2_pte_is_counted(pte):
            self.stage2_put_pte(ptep, data.mmu, addr, level)

        self.kvm_set_table_pte(ptep, childp)
        self.k.get_page(self.k.virt_to_page(ptep))

        return 0

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        ret = 0

        if data.anchor == NULL:
            return 0

        if data.anchor == ptep:
            childp = data.childp
            data.anchor = NULL
            data.childp = NULL
            ret = self.stage2_map_walk_leaf(addr, end, level, ptep, data)
        else:
            childp = self.kvm_pte_follow(self.load(ptep))

        self.k.put_page(self.k.virt_to_page(childp))
        self.k.put_page(self.k.virt_to_page(ptep))

        return ret

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        """The C function's argument is the ``struct kvm_pgtable``, for its callbacks."""
        mmu = arg
        pte = self.load(ptep)
        childp = NULL
        need_flush = False

        if not self.kvm_pte_valid(pte):
            if self.stage2_pte_is_counted(pte):
                self.kvm_clear_pte(ptep)
                self.k.put_page(self.k.virt_to_page(ptep))
            return 0

        if self.kvm_pte_table(pte, level):
            childp = self.kvm_pte_follow(pte)

            if self.k.page_count(self.k.virt_to_page(childp)) != 1:
                return 0
        elif self.stage2_pte_cacheable(pte):
            need_flush = True

        self.stage2_put_pte(ptep, mmu, addr, level)

        if need_flush:
            self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))

        if childp != NULL:
            self.k.put_page(self.k.virt_to_page(childp))

        return 0

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        pte = self.load(ptep)
        data = arg

        if not self.kvm_pte_valid(pte):
            return 0

        data.level = level
        data.pte = pte
        pte &= ~data.attr_clr
        pte |= data.attr_set

        if data.pte != pte:
            # v7: only where a leaf that was not executable becomes so.
            if self.stage2_pte_executable(pte) and not self.stage2_pte_executable(self.load(ptep)):
                self.invalidate_icache_guest_page(self.kvm_pte_follow(pte), self.kvm_granule_size(level))
            self.k.WRITE_ONCE(ptep, pte)

        return 0

    def stage2_free_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        pte = self.load(ptep)

        if not self.stage2_pte_is_counted(pte):
            return 0

        self.k.put_page(self.k.virt_to_page(ptep))

        if self.kvm_pte_table(pte, level):
            self.k.put_page(self.k.virt_to_page(self.kvm_pte_follow(pte)))

        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class MmuV5_14(MmuV5_12_9):
    """Faults and ``change_pte`` do no cache maintenance: the map handler does it."""

    def clean_dcache_guest_page(self, pfn: int, size: int) -> None:
        """Only a callback of the page-table code, by address."""

    def invalidate_icache_guest_page(self, pfn: int, size: int) -> None:
        """Only a callback of the page-table code, by address."""


CANDIDATE = Candidate(
    "v5.14",
    PgtableV5_14,
    MmuV5_14,
    "stage 2 of pgtable.c as of v5.14, with series v7 merged (25aa28691bb9), and v7's changes of mmu.c",
    order=70,
)
