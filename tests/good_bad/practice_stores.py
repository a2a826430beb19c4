# SPDX-License-Identifier: GPL-2.0-only
"""Versions that store to tables without WRITE_ONCE(), which once went unnoticed.

They have a module of their own: s2fuzz searches the source of a whole module for plain stores.
"""

from reference.machine.words import Words
from reference.pgtable import NULL, Pgtable, hyp_map_data, stage2_attr_data


class _Plain(Pgtable):
    """Stores to tables without WRITE_ONCE(), as C code can."""

    def clear(self, ptep: int) -> None:
        """Execute ``*ptep = 0``."""
        self.mem[ptep] = 0


class PlainStore(_Plain):
    """Clears an unmapped entry by a plain store."""

    def kvm_set_invalid_pte(self, ptep: int) -> None:
        self.clear(ptep)


class PlainBit(Pgtable):
    """Executes ``*ptep &= ~KVM_PTE_VALID``."""

    def kvm_set_invalid_pte(self, ptep: int) -> None:
        self.mem[ptep] &= ~1


class PlainAlias(Pgtable):
    """Changes attributes by a plain store through another name of table memory, without a flush."""

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        words = self.k.words
        arg.level, arg.pte = level, words[ptep]
        if words[ptep] & 1:
            words[ptep] = (words[ptep] & ~arg.attr_clr) | arg.attr_set
        return 0


class PlainRange(Pgtable):
    """Stores one entry as ``memcpy()`` does."""

    def kvm_set_invalid_pte(self, ptep: int) -> None:
        words = self.mem
        assert isinstance(words, Words)
        words[ptep : ptep + 1] = [words[ptep] & ~1]


class PlainNull(Pgtable):
    """Executes a plain store through NULL."""

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        self.mem[NULL] = 0
        return super().stage2_attr_walker(addr, end, level, ptep, flag, arg)


class PlainHyp(Pgtable):
    """Writes leaves of the hypervisor by plain stores."""

    def hyp_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: hyp_map_data) -> bool:
        phys = data.phys
        if not self.kvm_block_mapping_supported(addr, end, phys, level):
            return False
        self.mem[ptep] = self.kvm_init_valid_leaf_pte(phys, data.attr, level)
        data.phys += self.kvm_granule_size(level)
        return True


class FillsPlainly(Pgtable):
    """Right: clears a table again before it links it, as ``memset()`` may."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        words = self.mem
        assert isinstance(words, Words)
        words[childp : childp + self.PTRS_PER_PTE] = [0] * self.PTRS_PER_PTE
        words[childp + 1] = 0
        super().kvm_set_table_pte(ptep, childp)
