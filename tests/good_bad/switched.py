# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: arch/arm64/kvm/hyp/pgtable.c.
"""Functions of the original with steps that can be left out, by name.

With no step left out they behave like the original's functions, as `test_switched` checks.
"""

from typing import ClassVar

from candidate import Candidate
from candidate.rfc_v1_3 import PgtableRfcV1_3
from reference.kvm import kvm
from reference.mmu import Mmu
from reference.pgtable import KVM_PTE_LEAF_ATTR_S2_PERMS, NULL, Pgtable, kvm_pgtable, stage2_map_data
from reference.services.errors import E2BIG, EAGAIN, ENOMEM
from reference.services.structs import kvm_s2_mmu

from .case import broken


class Switched(Pgtable):
    """*steps* can be left out; *out* are left out."""

    steps: ClassVar[frozenset[str]] = frozenset()
    out: ClassVar[frozenset[str]] = frozenset()

    def break_leaf(self, addr: int, level: int, ptep: int, data: stage2_map_data) -> None:
        """Break a leaf before it is replaced, without the steps in *out*."""
        if "break" not in self.out:
            self.kvm_set_invalid_pte(ptep)
        if "flush" not in self.out:
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, level)
        if "put" not in self.out:
            self.k.put_page(self.k.virt_to_page(ptep))

    @classmethod
    def without(cls, *steps: str) -> Candidate:
        """Return a candidate that lacks *steps*."""
        assert cls.steps >= set(steps)
        return broken(type(cls.__name__, (cls,), {"out": frozenset(steps)}))


class Map(Switched):
    """Writes a leaf."""

    steps = frozenset({"get"})

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        old = self.mem[ptep]
        if not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return -E2BIG
        new = self.kvm_init_valid_leaf_pte(data.phys, data.attr, level)
        if self.kvm_pte_valid(old):
            if not (old ^ new) & ~KVM_PTE_LEAF_ATTR_S2_PERMS:
                return -EAGAIN
            self.break_leaf(addr, level, ptep, data)
        self.k.smp_store_release(ptep, new)
        if "get" not in self.out:
            self.k.get_page(self.k.virt_to_page(ptep))
        data.phys += self.kvm_granule_size(level)
        return 0


class Split(Switched):
    """Replaces a block by a table."""

    steps = frozenset({"break", "flush", "put"})

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        fits = self.kvm_block_mapping_supported(addr, end, data.phys, level)
        if data.anchor != NULL or fits or not self.kvm_pte_valid(self.mem[ptep]):
            return super().stage2_map_walk_leaf(addr, end, level, ptep, data)
        if data.memcache is None:
            return -ENOMEM
        childp = self.k.kvm_mmu_memory_cache_alloc(data.memcache)
        if childp == NULL:
            return -ENOMEM
        self.break_leaf(addr, level, ptep, data)
        self.kvm_set_table_pte(ptep, childp)
        self.k.get_page(self.k.virt_to_page(ptep))
        return 0


class Coalesce(Switched):
    """Replaces a table by a block."""

    steps = frozenset({"flush", "put", "free"})

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL or not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0
        self.kvm_set_invalid_pte(ptep)
        if "flush" not in self.out:
            self.k.__kvm_tlb_flush_vmid__(data.mmu)
        data.anchor = ptep
        return 0

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == NULL:
            return 0
        if "free" not in self.out:
            self.k.free_page(self.kvm_pte_follow(self.mem[ptep]))
        if "put" not in self.out:
            self.k.put_page(self.k.virt_to_page(ptep))
        if data.anchor == ptep:
            data.anchor = NULL
            return self.stage2_map_walk_leaf(addr, end, level, ptep, data)
        return 0


class CoalesceFirst(PgtableRfcV1_3):
    """RFC v1 3/4 plus the put for the anchor that its review asked about: one put too many."""

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        anchor = data.anchor == ptep
        ret = super().stage2_map_walk_table_post(addr, end, level, ptep, data)
        if anchor:
            self.k.put_page(self.k.virt_to_page(ptep))
        return ret


class Unmap(Switched):
    """Removes a leaf or an empty table."""

    steps = frozenset({"leaf flush", "table flush", "put", "clean", "free"})

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        if not self.kvm_pte_valid(pte):
            return 0
        table = self.kvm_pte_table(pte, level)
        childp = self.kvm_pte_follow(pte)
        if table and self.k.page_count(self.k.virt_to_page(childp)) != 1:
            return 0
        self.kvm_set_invalid_pte(ptep)
        if ("table flush" if table else "leaf flush") not in self.out:
            self.k.__kvm_tlb_flush_vmid_ipa__(arg, addr, level)
        if "put" not in self.out:
            self.k.put_page(self.k.virt_to_page(ptep))
        if not table and self.stage2_pte_cacheable(pte) and "clean" not in self.out:
            self.stage2_flush_dcache(childp, self.kvm_granule_size(level))
        if table and "free" not in self.out:
            self.k.free_page(childp)
        return 0


class Root(Mmu):
    """*forgets*: the structure is not freed if the root cannot be allocated."""

    forgets: ClassVar[bool] = False

    def root(self, kvm: kvm) -> kvm_pgtable | None:
        """Allocate the structure and the root of a VM, as `kvm_init_stage2_mmu` does first; None if that fails."""
        if not self.k.kzalloc():
            return None
        pgt = kvm_pgtable()
        if self.p.kvm_pgtable_stage2_init(pgt, kvm.vtcr, kvm.mmu):
            if not self.forgets:
                self.k.kfree()
            return None
        return pgt
