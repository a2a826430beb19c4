# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux: arch/arm64/kvm/hyp/pgtable.c, Copyright (C) 2020 Google LLC, Author: Will Deacon.
"""arch/arm64/kvm/hyp/pgtable.c at git blob 4d177ce1d536, function by function, in the file's order.

The pre-image of "Improve efficiency of stage2 page table" RFC v1 and v2.
Names are the C file's. A name that begins with two underscores also ends with
two. A ``kvm_pte_t *`` is an index into the arena of table words:
``*ptep`` is ``self.load(ptep)``, ``&pgtable[idx]`` is ``pgtable + idx``; NULL is -1.
Results that C passes through pointers are returned as tuples.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final

from .capabilities import ARM64_HAS_STAGE2_FWB
from .compiled.annotations import mypyc_attr
from .kernel import Kernel
from .machine.sparse import word_of
from .services.errors import E2BIG, EAGAIN, EINVAL, ENOMEM, ERANGE
from .services.structs import kvm_mmu_memory_cache, kvm_s2_mmu
from .zero_runs import skippable_runs, zeroes_from

KVM_PGTABLE_MAX_LEVELS: Final = 4

KVM_PTE_VALID: Final = 1 << 0

KVM_PTE_TYPE: Final = 1 << 1
KVM_PTE_TYPE_BLOCK: Final = 0
KVM_PTE_TYPE_PAGE: Final = 1
KVM_PTE_TYPE_TABLE: Final = 1

KVM_PTE_ADDR_51_48: Final = 0xF << 12

KVM_PTE_LEAF_ATTR_LO: Final = (1 << 12) - (1 << 2)

KVM_PTE_LEAF_ATTR_LO_S1_AP_RO: Final = 3
KVM_PTE_LEAF_ATTR_LO_S1_AP_RW: Final = 1
KVM_PTE_LEAF_ATTR_LO_S1_SH_IS: Final = 3
KVM_PTE_LEAF_ATTR_LO_S1_AF: Final = 1 << 10

KVM_PTE_LEAF_ATTR_LO_S2_MEMATTR: Final = 0xF << 2
KVM_PTE_LEAF_ATTR_LO_S2_S2AP_R: Final = 1 << 6
KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W: Final = 1 << 7
KVM_PTE_LEAF_ATTR_LO_S2_SH_IS: Final = 3
KVM_PTE_LEAF_ATTR_LO_S2_AF: Final = 1 << 10

# Bits 63:51; entries are signed, so that -1 has all of them.
KVM_PTE_LEAF_ATTR_HI: Final = -(1 << 51)

KVM_PTE_LEAF_ATTR_HI_S1_XN: Final = 1 << 54

KVM_PTE_LEAF_ATTR_HI_S2_XN: Final = 1 << 54

KVM_PTE_LEAF_ATTR_S2_PERMS: Final = (
    KVM_PTE_LEAF_ATTR_LO_S2_S2AP_R | KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W | KVM_PTE_LEAF_ATTR_HI_S2_XN
)

# enum kvm_pgtable_prot
KVM_PGTABLE_PROT_X: Final = 1 << 0
KVM_PGTABLE_PROT_W: Final = 1 << 1
KVM_PGTABLE_PROT_R: Final = 1 << 2
KVM_PGTABLE_PROT_DEVICE: Final = 1 << 3

# enum kvm_pgtable_walk_flags
KVM_PGTABLE_WALK_LEAF: Final = 1 << 0
KVM_PGTABLE_WALK_TABLE_PRE: Final = 1 << 1
KVM_PGTABLE_WALK_TABLE_POST: Final = 1 << 2

# Memory types: MAIR indices of hyp stage 1, MemAttr values of stage 2.
MT_NORMAL: Final = 0
MT_DEVICE_nGnRE: Final = 5
MT_S2_NORMAL: Final = 0xF
MT_S2_DEVICE_nGnRE: Final = 0x1
MT_S2_FWB_NORMAL: Final = 6
MT_S2_FWB_DEVICE_nGnRE: Final = 1

VTCR_EL2_T0SZ_MASK: Final = 0x3F
VTCR_EL2_SL0_SHIFT: Final = 6
VTCR_EL2_SL0_MASK: Final = 3 << VTCR_EL2_SL0_SHIFT

NULL: Final = -1


# Numbers of this file's walker callbacks, in the order of `Pgtable.kvm_pgtable_visitor_cb`.
MAP_WALKER: Final = 2
WALKERS: Final = {
    "stage2_free_walker": 1,
    "stage2_map_walker": MAP_WALKER,
    "stage2_unmap_walker": 3,
    "stage2_attr_walker": 4,
    "stage2_flush_walker": 5,
    "hyp_map_walker": 6,
}


class kvm_pgtable:
    """``struct kvm_pgtable``; *pgd* is NULL before init and after destroy."""

    def __init__(self) -> None:
        self.ia_bits = 0
        self.start_level = 0
        self.pgd = NULL
        self.mmu = kvm_s2_mmu(0)


@mypyc_attr(allow_interpreted_subclasses=True)
class kvm_pgtable_walker:
    """``struct kvm_pgtable_walker``: the callback, its argument, and when it is called."""

    def __init__(self, cb: Callable[[int, int, int, int, int, Any], int], flags: int, arg: Any = None) -> None:
        self.cb = cb
        self.flags = flags
        self.arg = arg
        # The number of *cb* among `WALKERS`; 0: another function.
        self.number = 0
        # The callback ignores entries that are zero: the walk may skip them.
        self.skips_zeroes = False


@mypyc_attr(free_list_len=1)
class kvm_pgtable_walk_data:
    """``struct kvm_pgtable_walk_data``: *addr* is the cursor."""

    def __init__(self, pgt: kvm_pgtable, walker: kvm_pgtable_walker, addr: int, end: int) -> None:
        self.pgt = pgt
        self.walker = walker
        self.addr = addr
        self.end = end


class hyp_map_data:
    """``struct hyp_map_data``"""

    def __init__(self, phys: int) -> None:
        self.phys = phys
        self.attr = 0


@mypyc_attr(free_list_len=1)
class stage2_map_data:
    """``struct stage2_map_data``; only RFC v1 3/4 uses *follow*, only v5.13 uses *childp*."""

    def __init__(self, phys: int, mmu: kvm_s2_mmu, memcache: kvm_mmu_memory_cache | None) -> None:
        self.phys = phys
        self.attr = 0
        self.anchor = NULL
        self.follow = NULL
        self.childp = NULL
        self.mmu = mmu
        self.memcache = memcache


@mypyc_attr(free_list_len=1)
class stage2_attr_data:
    """``struct stage2_attr_data``"""

    def __init__(self, attr_set: int, attr_clr: int) -> None:
        self.attr_set = attr_set
        self.attr_clr = attr_clr
        self.pte = 0
        self.level = 0


@mypyc_attr(allow_interpreted_subclasses=True)
class Pgtable:
    """The functions of pgtable.c; a candidate overrides those its patch changes.

    :param kernel: the functions that the C file links against
    """

    # Which entries of a stage-2 table hold a reference on its page: the valid
    # ones, or (v5.13 on) all that are not zero.
    COUNTS_NON_ZERO: ClassVar[bool] = False
    # Whether walks under the mmu lock for reading are read-side critical sections of RCU (from v6.2 on).
    WALKS_UNDER_RCU: ClassVar[bool] = False
    # Whether valid entries of a hyp table hold a reference on its page (v5.13 on).
    COUNTS_HYP: ClassVar[bool] = False
    # Walks under the mmu lock for reading change entries only by compare-exchange (``KVM_PGTABLE_WALK_SHARED``, v6.2).
    EXCHANGES_SHARED: ClassVar[bool] = False
    # Whether the code asks for FEAT_BBM.
    ASKS_FOR_BBM: ClassVar[bool] = False
    # MAIR_EL2 index of device memory in hyp tables: asm/memory.h (another one from v5.13 on).
    HYP_DEVICE_INDEX: ClassVar[int] = MT_DEVICE_nGnRE
    # The leaf callbacks that ignore entries that are zero, whatever their argument; the map callback ignores them only
    # below an anchor. A class that overrides one of them, or the code that visits entries, must declare this anew
    # (`reference.zero_runs.skippable_runs`).
    PASSES_ZEROES: ClassVar[tuple[str, ...]] = (
        "stage2_free_walker",
        "stage2_unmap_walker",
        "stage2_attr_walker",
        "stage2_flush_walker",
        "stage2_map_walk_leaf",
    )

    def __init__(self, kernel: Kernel) -> None:
        # mypyc runs this twice for a subclass without its own __init__, and what is
        # assigned here a second time would never be freed.
        self.set_up(kernel)

    def set_up(self, kernel: Kernel) -> None:
        self.k = kernel
        self.mem = kernel.words
        granule = kernel.granule
        self.PAGE_SHIFT = granule.page_shift
        self.PAGE_SIZE = granule.page_size
        self.PTRS_PER_PTE = granule.entries
        self.shifts = granule.shifts
        self.sizes = [1 << shift for shift in granule.shifts]
        self.KVM_PTE_ADDR_MASK = (1 << 48) - granule.page_size
        # The callbacks of `WALKERS` seen so far: name, number, and whether they skip zeroes.
        self.walkers: dict[Callable[[int, int, int, int, int, Any], int], tuple[str, int, bool]] = {}
        self.skips_without_leaf_cb, self.skipping_callbacks = skippable_runs(type(self))
        self.map_skips_detached = "stage2_map_walk_leaf" in self.skipping_callbacks
        self.VTCR_EL2_TGRAN_SL0_BASE = 2 if granule.page_shift == 12 else 3
        self.run_alone(True)

    def dismantle(self) -> None:
        """Break reference cycles and release resources in other processes: no method is called after this."""
        self.walkers.clear()

    def load(self, ptep: int) -> int:
        """``*ptep``. Other actors may run between the load and the use of its value (`Kernel.load`)."""
        return word_of(self.mem.stretches, ptep) if self.alone else self.k.load(ptep)

    def run_alone(self, alone: bool) -> None:
        """Load entries by the list's own method, or by `load` while several actors run.

        In plain Python the list's method is three times faster. Compiled objects cannot replace a method.
        """
        self.alone = alone
        if not hasattr(self, "__dict__"):
            return
        with suppress(AttributeError):
            if alone:
                object.__setattr__(self, "load", self.mem.__getitem__)
            else:
                object.__delattr__(self, "load")

    def kvm_granule_shift(self, level: int) -> int:
        return self.shifts[level]

    def kvm_granule_size(self, level: int) -> int:
        return self.sizes[level]

    def kvm_block_mapping_supported(self, addr: int, end: int, phys: int, level: int) -> bool:
        granule = self.kvm_granule_size(level)

        # No blocks above level 1, and at level 1 only with 4K pages.
        if level == 0 or (self.PAGE_SHIFT != 12 and level == 1):
            return False

        if granule > end - addr:
            return False

        return addr & (granule - 1) == 0 and phys & (granule - 1) == 0

    def kvm_pgtable_idx(self, data: kvm_pgtable_walk_data, level: int) -> int:
        shift = self.kvm_granule_shift(level)
        mask = (1 << (self.PAGE_SHIFT - 3)) - 1

        return data.addr >> shift & mask

    def __kvm_pgd_page_idx__(self, pgt: kvm_pgtable, addr: int) -> int:
        shift = self.kvm_granule_shift(pgt.start_level - 1)  # level -1 exists for this
        mask = (1 << pgt.ia_bits) - 1

        return (addr & mask) >> shift

    def kvm_pgd_page_idx(self, data: kvm_pgtable_walk_data) -> int:
        return self.__kvm_pgd_page_idx__(data.pgt, data.addr)

    def kvm_pgd_pages(self, ia_bits: int, start_level: int) -> int:
        pgt = kvm_pgtable()
        pgt.ia_bits = ia_bits
        pgt.start_level = start_level

        return self.__kvm_pgd_page_idx__(pgt, -1) + 1

    def kvm_pte_valid(self, pte: int) -> bool:
        return pte & KVM_PTE_VALID != 0

    def kvm_pte_table(self, pte: int, level: int) -> bool:
        if level == KVM_PGTABLE_MAX_LEVELS - 1:
            return False

        if not self.kvm_pte_valid(pte):
            return False

        return pte & KVM_PTE_TYPE != 0

    def kvm_pte_to_phys(self, pte: int) -> int:
        pa = pte & self.KVM_PTE_ADDR_MASK

        if self.PAGE_SHIFT == 16:
            pa |= (pte & KVM_PTE_ADDR_51_48) << 36

        return pa

    def kvm_phys_to_pte(self, pa: int) -> int:
        pte = pa & self.KVM_PTE_ADDR_MASK

        if self.PAGE_SHIFT == 16:
            pte |= pa >> 36 & KVM_PTE_ADDR_51_48

        return pte

    def kvm_pte_follow(self, pte: int) -> int:
        return self.k.__va__(self.kvm_pte_to_phys(pte))

    def kvm_set_invalid_pte(self, ptep: int) -> None:
        pte = self.load(ptep)
        self.k.WRITE_ONCE(ptep, pte & ~KVM_PTE_VALID)

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        old = self.load(ptep)
        pte = self.kvm_phys_to_pte(self.k.__pa__(childp))

        pte |= KVM_PTE_TYPE
        pte |= KVM_PTE_VALID

        self.k.WARN_ON(self.kvm_pte_valid(old), "kvm_set_table_pte")
        self.k.smp_store_release(ptep, pte)

    def kvm_init_valid_leaf_pte(self, pa: int, attr: int, level: int) -> int:
        pte = self.kvm_phys_to_pte(pa)
        pte |= attr & (KVM_PTE_LEAF_ATTR_LO | KVM_PTE_LEAF_ATTR_HI)
        if level == KVM_PGTABLE_MAX_LEVELS - 1:
            pte |= KVM_PTE_TYPE
        pte |= KVM_PTE_VALID

        return pte

    def kvm_pgtable_visitor_cb(self, data: kvm_pgtable_walk_data, addr: int, level: int, ptep: int, flag: int) -> int:
        walker = data.walker
        number = walker.number
        # The following is ``walker->cb(...)``. In compiled code, a call of a method by
        # name is 20 times cheaper than a call through an object.
        if number == 1:
            return self.stage2_free_walker(addr, data.end, level, ptep, flag, walker.arg)
        if number == 2:
            return self.stage2_map_walker(addr, data.end, level, ptep, flag, walker.arg)
        if number == 3:
            return self.stage2_unmap_walker(addr, data.end, level, ptep, flag, walker.arg)
        if number == 4:
            return self.stage2_attr_walker(addr, data.end, level, ptep, flag, walker.arg)
        if number == 5:
            return self.stage2_flush_walker(addr, data.end, level, ptep, flag, walker.arg)
        if number == 6:
            return self.hyp_map_walker(addr, data.end, level, ptep, flag, walker.arg)
        return walker.cb(addr, data.end, level, ptep, flag, walker.arg)

    def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
        ret = 0
        addr = data.addr
        # `load`, inlined: a lone actor visits many entries.
        pte = word_of(self.mem.stretches, ptep) if self.alone else self.load(ptep)
        table = self.kvm_pte_table(pte, level)
        flags = data.walker.flags

        if table and flags & KVM_PGTABLE_WALK_TABLE_PRE:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_TABLE_PRE)

        if not table and flags & KVM_PGTABLE_WALK_LEAF:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_LEAF)
            pte = word_of(self.mem.stretches, ptep) if self.alone else self.load(ptep)
            table = self.kvm_pte_table(pte, level)

        if ret:
            return ret

        if not table:
            # The cursor may point into the middle of the entry: bug B05.
            data.addr += self.sizes[level]
            return ret

        childp = self.kvm_pte_follow(pte)
        ret = self.__kvm_pgtable_walk__(data, childp, level + 1)
        if ret:
            return ret

        if flags & KVM_PGTABLE_WALK_TABLE_POST:
            ret = self.kvm_pgtable_visitor_cb(data, addr, level, ptep, KVM_PGTABLE_WALK_TABLE_POST)

        return ret

    def __kvm_pgtable_walk__(self, data: kvm_pgtable_walk_data, pgtable: int, level: int) -> int:
        ret = 0

        if self.k.WARN_ON(level >= KVM_PGTABLE_MAX_LEVELS, "__kvm_pgtable_walk"):
            return -EINVAL

        self.k.walk_table(pgtable, level)
        first = self.kvm_pgtable_idx(data, level)
        end_idx = self.PTRS_PER_PTE
        skips = data.walker.skips_zeroes and self.alone
        # While there is an anchor, mapping ignores entries that are zero.
        mapping: stage2_map_data | None = None
        if self.map_skips_detached and self.alone and data.walker.number == MAP_WALKER:
            mapping = data.walker.arg
        idx = first
        while idx < end_idx:
            if data.addr >= data.end:
                break

            # The cursor may point into the middle of the first entry.
            skipping = skips or (mapping is not None and mapping.anchor != NULL)
            if skipping and idx > first and word_of(self.mem.stretches, pgtable + idx) == 0:
                size = self.sizes[level]
                skip = zeroes_from(self.mem, pgtable + idx, min(end_idx - idx, (data.end - data.addr - 1) // size + 1))
                data.addr += skip * size
                idx += skip
                continue

            ret = self.__kvm_pgtable_visit__(data, pgtable + idx, level)
            idx += 1
            if ret:
                break

        self.k.visited += idx - first
        return ret

    def _kvm_pgtable_walk(self, data: kvm_pgtable_walk_data) -> int:
        ret = 0
        pgt = data.pgt
        limit = 1 << pgt.ia_bits

        if data.addr > limit or data.end > limit:
            return -ERANGE

        if pgt.pgd == NULL:
            return -EINVAL

        idx = self.kvm_pgd_page_idx(data)
        while data.addr < data.end:
            ptep = pgt.pgd + idx * self.PTRS_PER_PTE

            ret = self.__kvm_pgtable_walk__(data, ptep, pgt.start_level)
            if ret:
                break
            idx += 1

        return ret

    def kvm_pgtable_walk(self, pgt: kvm_pgtable, addr: int, size: int, walker: kvm_pgtable_walker) -> int:
        start = addr & -self.PAGE_SIZE
        end = (start + size + self.PAGE_SIZE - 1) & -self.PAGE_SIZE
        walk_data = kvm_pgtable_walk_data(pgt, walker, start, end)

        known = self.walkers.get(walker.cb)
        if known is None:
            name = walker.cb.__name__
            known = (name, 0, False)
            if name in WALKERS and walker.cb == getattr(self, name):
                known = (name, WALKERS[name], name in self.skipping_callbacks)
                self.walkers[walker.cb] = known
        self.k.walker, walker.number, walker.skips_zeroes = known
        if not walker.flags & KVM_PGTABLE_WALK_LEAF:
            walker.skips_zeroes = self.skips_without_leaf_cb
        self.k.walker_arg = walker.arg
        self.k.walk(pgt.mmu.vmid, start, end)
        return self._kvm_pgtable_walk(walk_data)

    def hyp_map_set_prot_attr(self, prot: int, data: hyp_map_data) -> int:
        device = prot & KVM_PGTABLE_PROT_DEVICE
        mtype = MT_DEVICE_nGnRE if device else MT_NORMAL
        attr = mtype << 2
        sh = KVM_PTE_LEAF_ATTR_LO_S1_SH_IS
        ap = KVM_PTE_LEAF_ATTR_LO_S1_AP_RW if prot & KVM_PGTABLE_PROT_W else KVM_PTE_LEAF_ATTR_LO_S1_AP_RO

        if not prot & KVM_PGTABLE_PROT_R:
            return -EINVAL

        if prot & KVM_PGTABLE_PROT_X:
            if prot & KVM_PGTABLE_PROT_W:
                return -EINVAL

            if device:
                return -EINVAL
        else:
            attr |= KVM_PTE_LEAF_ATTR_HI_S1_XN

        attr |= ap << 6
        attr |= sh << 8
        attr |= KVM_PTE_LEAF_ATTR_LO_S1_AF
        data.attr = attr
        return 0

    def hyp_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: hyp_map_data) -> bool:
        old = self.load(ptep)
        granule = self.kvm_granule_size(level)
        phys = data.phys

        if not self.kvm_block_mapping_supported(addr, end, phys, level):
            return False

        # The same mapping may be made again.
        new = self.kvm_init_valid_leaf_pte(phys, data.attr, level)
        if old != new and not self.k.WARN_ON(self.kvm_pte_valid(old), "hyp_map_walker_try_leaf"):
            self.k.smp_store_release(ptep, new)

        data.phys += granule
        return True

    def hyp_map_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: hyp_map_data) -> int:
        if self.hyp_map_walker_try_leaf(addr, end, level, ptep, arg):
            return 0

        if self.k.WARN_ON(level == KVM_PGTABLE_MAX_LEVELS - 1, "hyp_map_walker"):
            return -EINVAL

        childp = self.k.get_zeroed_page()
        if childp == NULL:
            return -ENOMEM

        self.kvm_set_table_pte(ptep, childp)
        return 0

    def kvm_pgtable_hyp_map(self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int) -> int:
        map_data = hyp_map_data(phys & -self.PAGE_SIZE)
        walker = kvm_pgtable_walker(self.hyp_map_walker, KVM_PGTABLE_WALK_LEAF, map_data)

        ret = self.hyp_map_set_prot_attr(prot, map_data)
        if ret:
            return ret

        ret = self.kvm_pgtable_walk(pgt, addr, size, walker)
        self.k.dsb("ishst")
        self.k.isb()
        return ret

    def kvm_pgtable_hyp_init(self, pgt: kvm_pgtable, va_bits: int) -> int:
        levels = (va_bits - 4) // (self.PAGE_SHIFT - 3)

        pgt.pgd = self.k.get_zeroed_page()
        if pgt.pgd == NULL:
            return -ENOMEM

        pgt.ia_bits = va_bits
        pgt.start_level = KVM_PGTABLE_MAX_LEVELS - levels
        pgt.mmu = kvm_s2_mmu(0)
        return 0

    def hyp_free_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        self.k.free_page(self.kvm_pte_follow(self.load(ptep)))
        return 0

    def kvm_pgtable_hyp_destroy(self, pgt: kvm_pgtable) -> None:
        walker = kvm_pgtable_walker(self.hyp_free_walker, KVM_PGTABLE_WALK_TABLE_POST)

        ret = self.kvm_pgtable_walk(pgt, 0, 1 << pgt.ia_bits, walker)
        self.k.WARN_ON(ret != 0, "kvm_pgtable_hyp_destroy")
        self.k.free_page(pgt.pgd)
        pgt.pgd = NULL

    def PAGE_S2_MEMATTR(self, device: bool) -> int:
        """``PAGE_S2_MEMATTR(DEVICE_nGnRE)`` or ``(NORMAL)``, in place (bits 5:2)."""
        if self.k.cpus_have_const_cap(ARM64_HAS_STAGE2_FWB):
            return (MT_S2_FWB_DEVICE_nGnRE if device else MT_S2_FWB_NORMAL) << 2
        return (MT_S2_DEVICE_nGnRE if device else MT_S2_NORMAL) << 2

    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        device = prot & KVM_PGTABLE_PROT_DEVICE != 0
        attr = self.PAGE_S2_MEMATTR(device)
        sh = KVM_PTE_LEAF_ATTR_LO_S2_SH_IS

        if not prot & KVM_PGTABLE_PROT_X:
            attr |= KVM_PTE_LEAF_ATTR_HI_S2_XN
        elif device:
            return -EINVAL

        if prot & KVM_PGTABLE_PROT_R:
            attr |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_R

        if prot & KVM_PGTABLE_PROT_W:
            attr |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W

        attr |= sh << 8
        attr |= KVM_PTE_LEAF_ATTR_LO_S2_AF
        data.attr = attr
        return 0

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        old = self.load(ptep)
        granule = self.kvm_granule_size(level)
        phys = data.phys
        page = self.k.virt_to_page(ptep)

        if not self.kvm_block_mapping_supported(addr, end, phys, level):
            return -E2BIG

        new = self.kvm_init_valid_leaf_pte(phys, data.attr, level)
        if self.kvm_pte_valid(old):
            # The same mapping again, or only other permissions: nothing is
            # written; the vCPU faults once more and takes the relax path.
            if not (old ^ new) & ~KVM_PTE_LEAF_ATTR_S2_PERMS:
                return -EAGAIN

            # A different valid leaf: break before make.
            self.kvm_set_invalid_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, level)
            self.k.put_page(page)

        self.k.smp_store_release(ptep, new)
        self.k.get_page(page)
        data.phys += granule
        return 0

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor != NULL:
            return 0

        if not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0

        self.kvm_set_invalid_pte(ptep)

        # There may be many leaves below: one flush of everything.
        self.k.__kvm_tlb_flush_vmid__(data.mmu)
        data.anchor = ptep
        return 0

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        pte = self.load(ptep)
        page = self.k.virt_to_page(ptep)

        if data.anchor != NULL:
            if self.kvm_pte_valid(pte):
                self.k.put_page(page)

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

        # A block that is in the way becomes a table; the part of the block beyond
        # 'end' is mapped again on the next access.
        if self.kvm_pte_valid(pte):
            self.kvm_set_invalid_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(data.mmu, addr, level)
            self.k.put_page(page)

        self.kvm_set_table_pte(ptep, childp)
        self.k.get_page(page)

        return 0

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        ret = 0

        if data.anchor == NULL:
            return 0

        self.k.free_page(self.kvm_pte_follow(self.load(ptep)))
        self.k.put_page(self.k.virt_to_page(ptep))

        if data.anchor == ptep:
            data.anchor = NULL
            ret = self.stage2_map_walk_leaf(addr, end, level, ptep, data)

        return ret

    def stage2_map_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_map_data) -> int:
        """Call the callback of the walk phase.

        PRE finds a table that a block can replace and detaches it ('anchor'). LEAF maps, or drops references below an
        anchor. POST frees the tables below the anchor and installs the block at the anchor.
        """
        if flag == KVM_PGTABLE_WALK_TABLE_PRE:
            return self.stage2_map_walk_table_pre(addr, end, level, ptep, arg)
        if flag == KVM_PGTABLE_WALK_LEAF:
            return self.stage2_map_walk_leaf(addr, end, level, ptep, arg)
        if flag == KVM_PGTABLE_WALK_TABLE_POST:
            return self.stage2_map_walk_table_post(addr, end, level, ptep, arg)

        return -EINVAL

    def kvm_pgtable_stage2_map(
        self,
        pgt: kvm_pgtable,
        addr: int,
        size: int,
        phys: int,
        prot: int,
        mc: kvm_mmu_memory_cache | None,
    ) -> int:
        map_data = stage2_map_data(phys & -self.PAGE_SIZE, pgt.mmu, mc)
        walker = kvm_pgtable_walker(
            self.stage2_map_walker,
            KVM_PGTABLE_WALK_TABLE_PRE | KVM_PGTABLE_WALK_LEAF | KVM_PGTABLE_WALK_TABLE_POST,
            map_data,
        )

        ret = self.stage2_map_set_prot_attr(prot, map_data)
        if ret:
            return ret

        ret = self.kvm_pgtable_walk(pgt, addr, size, walker)
        self.k.dsb("ishst")
        return ret

    def stage2_flush_dcache(self, addr: int, size: int) -> None:
        if self.k.cpus_have_const_cap(ARM64_HAS_STAGE2_FWB):
            return

        self.k.__flush_dcache_area__(addr, size)

    def stage2_pte_cacheable(self, pte: int) -> bool:
        memattr = pte & KVM_PTE_LEAF_ATTR_LO_S2_MEMATTR
        return memattr == self.PAGE_S2_MEMATTR(False)

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        mmu = arg
        pte = self.load(ptep)
        childp = NULL
        need_flush = False

        if not self.kvm_pte_valid(pte):
            return 0

        if self.kvm_pte_table(pte, level):
            childp = self.kvm_pte_follow(pte)

            if self.k.page_count(self.k.virt_to_page(childp)) != 1:
                return 0
        elif self.stage2_pte_cacheable(pte):
            need_flush = True

        # As on the map path, a block is removed as a whole; the rest of it is
        # mapped again on the next access.
        self.kvm_set_invalid_pte(ptep)
        self.k.__kvm_tlb_flush_vmid_ipa__(mmu, addr, level)
        self.k.put_page(self.k.virt_to_page(ptep))

        if need_flush:
            self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))

        if childp != NULL:
            self.k.free_page(childp)

        return 0

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        walker = kvm_pgtable_walker(
            self.stage2_unmap_walker, KVM_PGTABLE_WALK_LEAF | KVM_PGTABLE_WALK_TABLE_POST, pgt.mmu
        )

        return self.kvm_pgtable_walk(pgt, addr, size, walker)

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        pte = self.load(ptep)
        data = arg

        if not self.kvm_pte_valid(pte):
            return 0

        data.level = level
        data.pte = pte
        pte &= ~data.attr_clr
        pte |= data.attr_set

        # If a CPU sets the access flag meanwhile, the flag may be lost; the next
        # access sets it again.
        if data.pte != pte:
            self.k.WRITE_ONCE(ptep, pte)

        return 0

    def stage2_update_leaf_attrs(
        self, pgt: kvm_pgtable, addr: int, size: int, attr_set: int, attr_clr: int
    ) -> tuple[int, int, int]:
        """Return the error, the old entry (``*orig_pte``), and its level (``*level``)."""
        attr_mask = KVM_PTE_LEAF_ATTR_LO | KVM_PTE_LEAF_ATTR_HI
        data = stage2_attr_data(attr_set & attr_mask, attr_clr & attr_mask)
        walker = kvm_pgtable_walker(self.stage2_attr_walker, KVM_PGTABLE_WALK_LEAF, data)

        ret = self.kvm_pgtable_walk(pgt, addr, size, walker)
        if ret:
            return ret, 0, 0

        return 0, data.pte, data.level

    def kvm_pgtable_stage2_wrprotect(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return self.stage2_update_leaf_attrs(pgt, addr, size, 0, KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W)[0]

    def kvm_pgtable_stage2_mkyoung(self, pgt: kvm_pgtable, addr: int) -> int:
        _, pte, _ = self.stage2_update_leaf_attrs(pgt, addr, 1, KVM_PTE_LEAF_ATTR_LO_S2_AF, 0)
        self.k.dsb("ishst")
        return pte

    def kvm_pgtable_stage2_mkold(self, pgt: kvm_pgtable, addr: int) -> int:
        # No TLB flush: the notifier flushes if it needs to
        # (clear_flush_young).
        _, pte, _ = self.stage2_update_leaf_attrs(pgt, addr, 1, 0, KVM_PTE_LEAF_ATTR_LO_S2_AF)
        return pte

    def kvm_pgtable_stage2_is_young(self, pgt: kvm_pgtable, addr: int) -> bool:
        _, pte, _ = self.stage2_update_leaf_attrs(pgt, addr, 1, 0, 0)
        return pte & KVM_PTE_LEAF_ATTR_LO_S2_AF != 0

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        set_ = 0
        clr = 0

        if prot & KVM_PGTABLE_PROT_R:
            set_ |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_R

        if prot & KVM_PGTABLE_PROT_W:
            set_ |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W

        if prot & KVM_PGTABLE_PROT_X:
            clr |= KVM_PTE_LEAF_ATTR_HI_S2_XN

        ret, _, level = self.stage2_update_leaf_attrs(pgt, addr, 1, set_, clr)
        if not ret:
            self.k.__kvm_tlb_flush_vmid_ipa__(pgt.mmu, addr, level)
        return ret

    def stage2_flush_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        pte = self.load(ptep)

        if not self.kvm_pte_valid(pte) or not self.stage2_pte_cacheable(pte):
            return 0

        self.stage2_flush_dcache(self.kvm_pte_follow(pte), self.kvm_granule_size(level))
        return 0

    def kvm_pgtable_stage2_flush(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        walker = kvm_pgtable_walker(self.stage2_flush_walker, KVM_PGTABLE_WALK_LEAF)

        if self.k.cpus_have_const_cap(ARM64_HAS_STAGE2_FWB):
            return 0

        return self.kvm_pgtable_walk(pgt, addr, size, walker)

    def kvm_pgtable_stage2_init(self, pgt: kvm_pgtable, vtcr: int, mmu: kvm_s2_mmu) -> int:
        """The C function takes ``struct kvm``; *vtcr* and *mmu* are what it reads from it."""
        ia_bits = 64 - (vtcr & VTCR_EL2_T0SZ_MASK)
        sl0 = (vtcr & VTCR_EL2_SL0_MASK) >> VTCR_EL2_SL0_SHIFT
        start_level = self.VTCR_EL2_TGRAN_SL0_BASE - sl0

        pgd_sz = self.kvm_pgd_pages(ia_bits, start_level) * self.PAGE_SIZE
        pgt.pgd = self.k.alloc_pages_exact(pgd_sz)
        if pgt.pgd == NULL:
            return -ENOMEM

        pgt.ia_bits = ia_bits
        pgt.start_level = start_level
        pgt.mmu = mmu

        # The walker must see a zeroed root.
        self.k.dsb("ishst")
        return 0

    def stage2_free_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: None) -> int:
        pte = self.load(ptep)

        if not self.kvm_pte_valid(pte):
            return 0

        self.k.put_page(self.k.virt_to_page(ptep))

        if self.kvm_pte_table(pte, level):
            self.k.free_page(self.kvm_pte_follow(pte))

        return 0

    def kvm_pgtable_stage2_destroy(self, pgt: kvm_pgtable) -> None:
        walker = kvm_pgtable_walker(self.stage2_free_walker, KVM_PGTABLE_WALK_LEAF | KVM_PGTABLE_WALK_TABLE_POST)

        ret = self.kvm_pgtable_walk(pgt, 0, 1 << pgt.ia_bits, walker)
        self.k.WARN_ON(ret != 0, "kvm_pgtable_stage2_destroy")
        pgd_sz = self.kvm_pgd_pages(pgt.ia_bits, pgt.start_level) * self.PAGE_SIZE
        self.k.free_pages_exact(pgt.pgd, pgd_sz)
        pgt.pgd = NULL
