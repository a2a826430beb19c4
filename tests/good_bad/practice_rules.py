# SPDX-License-Identifier: GPL-2.0-only
"""Versions whose verdict was wrong until a rule covered their bug, and similar versions."""

from candidate.rfc_v1_fixed import PgtableRfcV1Fixed
from reference.pgtable import NULL, Pgtable, stage2_map_data
from reference.services.structs import kvm_s2_mmu


class FreesGuestMemory(PgtableRfcV1Fixed):
    """Does not save the old child before it stores the block: POST takes the block for a table and frees it."""

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL or not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0
        data.anchor = ptep
        self.stage2_coalesce_tables_into_block(addr, level, ptep, data)
        return 0

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == NULL:
            return 0
        self.k.free_page(self.kvm_pte_follow(self.mem[ptep]))
        if data.anchor != ptep:
            self.k.put_page(self.k.virt_to_page(ptep))
        else:
            data.anchor = NULL
        return 0


class PutsLeaves(Pgtable):
    """Takes an unmapped leaf for a table: the guest's page loses a reference."""

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        ret = super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)
        if self.kvm_pte_valid(pte) and not self.kvm_pte_table(pte, level):
            self.k.put_page(self.k.virt_to_page(self.kvm_pte_follow(pte)))
        return ret


class GetsLeaves(Pgtable):
    """Gives the page that a leaf maps the reference that the table should get."""

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        phys = data.phys
        ret = super().stage2_map_walker_try_leaf(addr, end, level, ptep, data)
        if not ret:
            self.k.put_page(self.k.virt_to_page(ptep))
            self.k.get_page(self.k.virt_to_page(self.k.__va__(phys)))
        return ret


class CountsLeaves(Pgtable):
    """Checks the reference count of the page that a leaf maps, as if it were a table."""

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        if self.kvm_pte_valid(pte) and self.k.page_count(self.k.virt_to_page(self.kvm_pte_follow(pte))) != 1:
            return 0
        return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)


class FreesBeyondTheRoot(Pgtable):
    """Frees one page more than the root has."""

    def kvm_pgd_pages(self, ia_bits: int, start_level: int) -> int:
        pages = super().kvm_pgd_pages(ia_bits, start_level)
        return pages + 1 if self.k.entry == "kvm_free_stage2_pgd" else pages


class OneRootPage(Pgtable):
    """Forgets that roots may be concatenated tables."""

    def kvm_pgd_pages(self, ia_bits: int, start_level: int) -> int:
        return 1


class RootOfOneMore(Pgtable):
    """Rounds the size of the root up once too often."""

    def kvm_pgd_pages(self, ia_bits: int, start_level: int) -> int:
        return super().kvm_pgd_pages(ia_bits, start_level) + 1


class LinksGuestMemory(Pgtable):
    """Gives leaves the type of a page at every level, so that a block is a table entry that refers to guest memory."""

    def kvm_init_valid_leaf_pte(self, pa: int, attr: int, level: int) -> int:
        return super().kvm_init_valid_leaf_pte(pa, attr, level) | 1 << 1


class FillsWithGuestMemory(Pgtable):
    """Links a new table that already contains a table entry that refers to guest memory."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.WRITE_ONCE(childp + 1, 0x100000000 | 3)
        super().kvm_set_table_pte(ptep, childp)


class LinksTheTableItself(Pgtable):
    """Makes a level 2 table its own child: entries that map pages in it are table entries at level 2."""

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if level != 2 or self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return super().stage2_map_walk_leaf(addr, end, level, ptep, data)
        self.kvm_set_table_pte(ptep, ptep & -self.PTRS_PER_PTE)
        self.k.get_page(self.k.virt_to_page(ptep))
        return 0
