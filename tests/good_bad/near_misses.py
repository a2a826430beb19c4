# SPDX-License-Identifier: GPL-2.0-only
"""Programs on which the entries of known.toml strike, and near misses.

A near miss is a version with a bug of its own, in a function that the entry does
not name, and a program on which that bug has the entry's signature while the
entry's condition does not hold. Only the condition distinguishes the two bugs.
"""

from dataclasses import dataclass
from typing import Final

from candidate import Candidate
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.kvm_host import KvmHost
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PGTABLE_WALK_TABLE_POST,
    KVM_PTE_LEAF_ATTR_LO_S2_AF,
    KVM_PTE_VALID,
    Pgtable,
    kvm_pgtable,
    kvm_pgtable_walk_data,
    stage2_map_data,
)
from reference.services.errors import EAGAIN, ENOEXEC
from reference.services.structs import kvm_mmu_memory_cache

from .case import broken

UNMAP: Final = 3
ATTR: Final = 4


class LeavesTheLastPage(Pgtable):
    """Ends every range a page early."""

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return super().kvm_pgtable_stage2_unmap(pgt, addr, size - self.PAGE_SIZE)

    def kvm_pgtable_stage2_wrprotect(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return super().kvm_pgtable_stage2_wrprotect(pgt, addr, size - self.PAGE_SIZE)

    def kvm_pgtable_stage2_flush(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return super().kvm_pgtable_stage2_flush(pgt, addr, size - self.PAGE_SIZE)


class AbortsToUserSpace(KvmHost):
    """Exits to user space instead of injecting an abort."""

    def inject(self, what: str, address: int) -> None:
        self.io_mem_abort(address)


class EmulatesAborts(Mmu):
    def set_up(self, host: KvmHost, pgtable: Pgtable) -> None:
        super().set_up(AbortsToUserSpace(host.k, host.mm), pgtable)


class BlocksOverPages(Mmu):
    """Treats a page as part of a huge page although the host maps it as a single page."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        if not self.fault_supports_stage2_huge_mapping(memslot, hva, self.PMD_SIZE):
            return self.PAGE_SIZE, pfn, ipa
        self.h.kvm_release_pfn_clean(pfn)
        pfn &= -(self.PMD_SIZE >> self.PAGE_SHIFT)
        self.h.kvm_get_pfn(pfn)
        return self.PMD_SIZE, pfn, ipa & -self.PMD_SIZE


class RelaxMapsTheNextBlock(Pgtable):
    """Also maps the next block, without cleaning it, when it relaxes a block."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        ret, pte, level = self.stage2_update_leaf_attrs(pgt, addr, 1, 0, 0)
        if not ret and level == 2:
            size = self.kvm_granule_size(level)
            self.kvm_pgtable_stage2_map(pgt, (addr & -size) + size, size, self.kvm_pte_to_phys(pte) + size, 4, None)
        return super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)


class MapsTheNextFrameFirst(Pgtable):
    """Maps the frame after the given one. Relaxing permissions corrects this, without cleaning the frame."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys + self.PAGE_SIZE, prot, mc)

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        ret, pte, level = self.stage2_update_leaf_attrs(pgt, addr, 1, 0, 0)
        if ret:
            return ret
        phys = self.kvm_pte_to_phys(pte) - self.PAGE_SIZE
        return super().kvm_pgtable_stage2_map(pgt, addr, self.kvm_granule_size(level), phys, prot, None)


class RelaxesTheNextPageToo(Pgtable):
    """Gives the next page the same permissions."""

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        super().kvm_pgtable_stage2_relax_perms(pgt, addr + self.PAGE_SIZE, prot)
        return super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)


class MapsTheNextPageToo(Pgtable):
    """Also maps the next page, to the same frame."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        super().kvm_pgtable_stage2_map(pgt, addr + size, size, phys, prot, mc)
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)


class EmptyTablesUnflushed(Pgtable):
    """Detaches and frees an empty table without a flush."""

    def kvm_pgtable_visitor_cb(self, data: kvm_pgtable_walk_data, addr: int, level: int, ptep: int, flag: int) -> int:
        if data.walker.number != UNMAP or flag != KVM_PGTABLE_WALK_TABLE_POST:
            return super().kvm_pgtable_visitor_cb(data, addr, level, ptep, flag)
        childp = self.kvm_pte_follow(self.mem[ptep])
        if self.k.page_count(self.k.virt_to_page(childp)) == 1:
            self.kvm_set_invalid_pte(ptep)
            self.k.put_page(self.k.virt_to_page(ptep))
            self.k.free_page(childp)
        return 0


class AgesOddSizes(Mmu):
    """Passes each range to the handler without its last page."""

    def kvm_age_hva(self, kvm: kvm, start: int, end: int) -> int:
        return super().kvm_age_hva(kvm, start, end - self.PAGE_SIZE)


class TopsUpNothing(Mmu):
    """Requests no pages for the memory cache."""

    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        return 0


class NeverMaps(Pgtable):
    """Treats every new leaf as already present."""

    def stage2_map_walker_try_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        return -EAGAIN


class SkipsOddPages(Pgtable):
    """Never clears the access flag of odd pages."""

    def kvm_pgtable_visitor_cb(self, data: kvm_pgtable_walk_data, addr: int, level: int, ptep: int, flag: int) -> int:
        clears = data.walker.number == ATTR and data.walker.arg.attr_clr & KVM_PTE_LEAF_ATTR_LO_S2_AF
        if clears and addr >> self.PAGE_SHIFT & 1:
            return 0
        return super().kvm_pgtable_visitor_cb(data, addr, level, ptep, flag)


class AgesEachPage(Mmu):
    """Maps huge pages by single pages and ages every page of a range, unlike versions with bug A2."""

    def transparent_hugepage_adjust(
        self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
    ) -> tuple[int, int, int]:
        return self.PAGE_SIZE, pfn, ipa

    def kvm_age_hva(self, kvm: kvm, start: int, end: int) -> int:
        young = 0
        for hva in range(start, end, self.PAGE_SIZE):
            young |= super().kvm_age_hva(kvm, hva, hva + self.PAGE_SIZE)
        return young


class RefusesWalks(Mmu):
    """Treats a fault of a stage-1 walk like an instruction fetch from device memory."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        return -ENOEXEC


class MarksAnotherFrame(Pgtable):
    """Creates leaves without the access flag. The access flag fault then marks the next frame."""

    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        ret = super().stage2_map_set_prot_attr(prot, data)
        data.attr &= ~KVM_PTE_LEAF_ATTR_LO_S2_AF
        return ret

    def kvm_pgtable_stage2_mkyoung(self, pgt: kvm_pgtable, addr: int) -> int:
        pte = super().kvm_pgtable_stage2_mkyoung(pgt, addr)
        return pte + self.PAGE_SIZE if pte & KVM_PTE_VALID else pte


@dataclass(frozen=True)
class KnownBugCase:
    """One entry of known.toml, identified by its pattern.

    :param program: a program, without its first line, on which the original shows the entry's signature
    :param version: the near miss
    :param near_miss_program: the program of the near miss
    """

    pattern: str
    program: str
    version: Candidate
    near_miss_program: str


SHORT: Final = broken(LeavesTheLastPage)
UNFLUSHED: Final = broken(EmptyTablesUnflushed)
SKIPPING: Final = broken(SkipsOddPages, AgesEachPage)
AGED: Final = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+4K\n"
HUGE: Final = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+4K\n"
# A page is merged after its slot was unmapped, while the slot is still in the list of slots.
MERGED: Final = (
    "vm cpus=1\nslot a ipa=1G size=4K backing=anon\nslot b ipa=1048580K size=4K backing=anon\ncpu0 read a+0\n"
    "cpu0 read b+0\npar\n  user0 slot a delete\n  host0 merge a+0\n  switch user0 to host0 after unlock 1\nend\n"
)
TWO_PAGES: Final = "vm cpus=1 fwb=on\nslot a size=2M backing=anon\ncpu0 write a+0\ncpu0 write a+4K\n"
HINTS: Final = "vm cpus=1 fwb=on ttl=on\nslot a size=4K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n"
NO_HINTS: Final = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n"
MOVED: Final = "slot a ipa=1G size=4K backing=anon log=on\ncpu0 read a+0\nslot a move 2G\n"
SHARED: Final = "slot a size=4K backing=anon\nhost share a+0 4K\ncpu0 read a+0\ncpu0 write a+0\n"

ALL: Final = [
    KnownBugCase(
        "translation: *: still mapped after invalidation*",
        "vm cpus=1 fwb=on\nslot a size=2052K backing=anon\ncpu0 read a+2M\nhost discard a+4K 2M\n",
        SHORT,
        TWO_PAGES + "host discard a+0 8K\n",
    ),
    KnownBugCase(
        "translation: *: writable and not in the dirty log*",
        "vm cpus=1 fwb=on\nslot a ipa=0x40001000 size=2M backing=anon\ncpu0 write a+2044K\nlog a on\n",
        SHORT,
        "vm cpus=1 fwb=on\nslot a size=2M backing=anon\ncpu0 write a+2044K\nlog a on\n",
    ),
    KnownBugCase(
        "dcache: stage2_map_walker: table->block after a permission fault, not cleaned*",
        "vm cpus=1\nslot a size=2M backing=thp log=on\nhost write a+0 2M\ncpu0 read a+4K\nlog a off\ncpu0 write a+4K\n",
        broken(mmu=BlocksOverPages),
        "vm cpus=1\nslot a size=2M backing=anon log=on\nhost write a+0 2M\n"
        "cpu0 read a+4K\nlog a off\ncpu0 write a+4K\n",
    ),
    KnownBugCase("lifetime: stage2_unmap_walker: freed before the flush", HINTS, UNFLUSHED, NO_HINTS),
    KnownBugCase(
        "contract: kvm_age_*: WARN",
        "vm cpus=1 fwb=on\nslot a size=8K backing=thp\ncpu0 read a+0\nhost age a+0 4K\n",
        broken(mmu=AgesOddSizes),
        "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nhost age a+0 4K\n",
    ),
    KnownBugCase(
        "memcache: stage2_map_walker: allocation without a top-up after a permission fault*",
        "vm cpus=2 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu1 fetch a+0\n",
        broken(mmu=TopsUpNothing),
        "vm cpus=2 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu1 write a+0\n",
    ),
    KnownBugCase(
        "dcache: *: flushed, not cleaned*",
        "vm cpus=1\nslot a ipa=0x40001000 size=2M backing=anon\ncpu0 write a+2044K\ncpu0 cache on\n",
        SHORT,
        "vm cpus=1\nslot a size=2M backing=anon\ncpu0 write a+2044K\ncpu0 cache on\n",
    ),
    KnownBugCase(
        "dcache: stage2_map_walker: empty->block after a permission fault, not cleaned*",
        "vm ipa=32 cpus=1\nslot a size=1G backing=hugetlb1g log=on\nhost write a+0 1G\n"
        "cpu0 read a+4K\nlog a off\ncpu0 write a+4K\n",
        broken(RelaxMapsTheNextBlock),
        "vm cpus=1\nslot a size=4M backing=thp\nhost write a+0 4M\ncpu0 read a+0\ncpu0 fetch a+0\n",
    ),
    KnownBugCase(
        "progress: kvm_handle_guest_abort: access does not complete",
        "vm ipa=32 cpus=1 fwb=on\nslot a size=1G backing=hugetlb1g\ncpu0 read a+0\ncpu0 fetch a+0\n",
        broken(NeverMaps),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    KnownBugCase("tlb: stage2_unmap_walker: table not flushed*", HINTS, UNFLUSHED, NO_HINTS),
    KnownBugCase(
        "tlb: stage2_unmap_walker: table flushed after mmu_lock was dropped*",
        "vm cpus=1 fwb=on ttl=on\n" + MOVED,
        UNFLUSHED,
        "vm cpus=1 fwb=on\n" + MOVED,
    ),
    KnownBugCase(
        "translation: *unmap*: still mapped after unmapping*",
        "vm cpus=1 fwb=on\nslot a ipa=0x40001000 size=2M backing=anon\ncpu0 write a+2044K\ntable unmap a+0 2M\n",
        SHORT,
        TWO_PAGES + "table unmap a+0 8K\n",
    ),
    KnownBugCase(
        "translation: kvm_pgtable_stage2_wrprotect: still writable after write-protection*",
        "vm cpus=1 fwb=on\nslot a ipa=0x40001000 size=2M backing=anon\ncpu0 write a+2044K\ntable wrprotect a+0 2M\n",
        SHORT,
        TWO_PAGES + "table wrprotect a+0 8K\n",
    ),
    KnownBugCase(
        "bbm: stage2_map_walker: table->* made before the flush*",
        "vm cpus=1 ttl=on fwb=on\n" + SHARED,
        UNFLUSHED,
        "vm cpus=1 fwb=on\n" + SHARED,
    ),
    KnownBugCase(
        "dirty-log: kvm_vm_ioctl_get_dirty_log: write through a writable leaf not reported*",
        "vm cpus=1 fwb=on\nslot a ipa=0x40001000 size=2M backing=anon\n"
        "cpu0 write a+2044K\nlog a on\ncpu0 write a+2044K\nlog a get\n",
        SHORT,
        "vm cpus=1 fwb=on\nslot a size=2M backing=anon\ncpu0 write a+2044K\nlog a on\ncpu0 write a+2044K\nlog a get\n",
    ),
    KnownBugCase(
        "ageing: kvm_mmu_notifier_clear_*young: young page reported old, beyond the first leaf of a huge page*",
        AGED + "host age a+0 4K\n",
        SKIPPING,
        HUGE + "host age a+0 4K\n",
    ),
    KnownBugCase(
        "ageing: kvm_mmu_notifier_clear_*young: still young after clearing, beyond the first leaf of a huge page*",
        AGED + "host age a+0 4K\n",
        SKIPPING,
        HUGE + "cpu0 read a+0\nhost age a+0 4K\n",
    ),
    KnownBugCase(
        "contract: kvm_handle_guest_abort: walk of memory answered with an abort",
        "vm cpus=1\nslot a size=4K backing=anon ro=on\ncpu0 walk a+0\n",
        broken(mmu=RefusesWalks),
        "vm cpus=1\nslot a size=4K backing=anon\ncpu0 walk a+0\n",
    ),
    KnownBugCase(
        "page-reference: kvm_handle_guest_abort: marked accessed, not held after an access flag fault",
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\nhost age a+0 4K\ncpu0 read a+0\n",
        broken(MarksAnotherFrame),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    KnownBugCase(
        "dcache: stage2_map_walker: [bl]*->* after a permission fault, not cleaned*",
        "vm cpus=1\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\npar\n  cpu0 write a+0\n"
        "  host0 migrate a+0 4K\n  switch cpu0 to host0 after fault 1\nend\n",
        broken(MapsTheNextFrameFirst),
        "vm cpus=1\nslot a size=8K backing=anon\ncpu0 read a+0\nhost write a+0 4K\ncpu0 fetch a+0\n",
    ),
    KnownBugCase(
        "dcache: stage2_map_walker: table->block after a permission fault, not cleaned*",
        "vm cpus=1\nslot a size=2M backing=anon\ncpu0 read a+0\npar\n  cpu0 fetch a+0\n  host0 collapse a+0\n"
        "  switch cpu0 to host0 after fault 1\nend\n",
        broken(mmu=BlocksOverPages),
        "vm cpus=1\nslot a size=2M backing=anon log=on\nhost write a+0 2M\n"
        "cpu0 read a+4K\nlog a off\ncpu0 write a+4K\n",
    ),
    KnownBugCase(
        "icache: stage2_attr_walker: executable, not invalidated*",
        "vm\nslot a size=2M backing=thp log=on\ncpu0 read a+0\npar\n  cpu0 fetch a+0\n  user0 log a off\n"
        "  cpu1 read a+4K\n  switch cpu0 to user0 before lock 1\nend\n",
        broken(RelaxesTheNextPageToo),
        "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\ncpu0 fetch a+0\n",
    ),
    KnownBugCase(
        "memcache: stage2_map_walker: allocation without a top-up after a permission fault*",
        "vm cpus=2 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\npar\n  cpu1 fetch a+0\n"
        "  host0 split a+0\n  switch cpu1 to host0 after fault 1\nend\n",
        broken(mmu=TopsUpNothing),
        "vm cpus=2 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu1 write a+0\n",
    ),
    KnownBugCase(
        "memcache: stage2_map_walker: allocation without a top-up after a permission fault*",
        "vm cpus=1 fwb=on\nslot a size=2M backing=anon\ncpu0 read a+0\npar\n  cpu0 fetch a+0\n  host0 collapse a+0\n"
        "  switch cpu0 to host0 after fault 1\nend\n",
        broken(mmu=TopsUpNothing),
        "vm cpus=2 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu1 write a+0\n",
    ),
    KnownBugCase(
        "translation: *: wrong frame*",
        "vm cpus=1\nslot a size=8K backing=anon\nhost write a+4K 4K\nhost share a+4K 4K\ncpu0 read a+0\n"
        "par\n  cpu0 write a+4K\n  host0 discard a+4K 4K\n"
        "  switch cpu0 to host0 before lock 1\n  switch host0 to cpu0 after unlock 1\nend\n",
        broken(MapsTheNextFrameFirst),
        "vm cpus=1\nslot a size=8K backing=anon\ncpu0 read a+0\n",
    ),
    KnownBugCase(
        "translation: *: still mapped after unmapping*",
        MERGED,
        SHORT,
        "vm cpus=1\nslot a size=8K backing=anon\ncpu0 write a+0\ncpu0 write a+4K\nhost merge a+0\nslot a delete\n",
    ),
    KnownBugCase(
        "translation: *: leaf outside of any slot*",
        MERGED,
        broken(MapsTheNextPageToo),
        "vm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    KnownBugCase(
        "contract: kvm_handle_guest_abort: I/O exit beyond the guest's address space",
        "vm ipa=36 cpus=1\nslot a size=4K backing=anon\ncpu0 outside write 64G\n",
        broken(mmu=EmulatesAborts),
        "vm ipa=36 cpus=1\nslot a size=4K backing=anon\ncpu0 outside walk 64G mmu=off\n",
    ),
]
