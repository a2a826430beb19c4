# SPDX-License-Identifier: GPL-2.0-only
"""Programs on which the entries of known.toml strike, and near misses.

A near miss is a version with a bug of its own, in a function that the entry does
not name, and a program on which that bug has the entry's signature while the
entry's condition does not hold. Only the condition distinguishes the two bugs.
"""

from dataclasses import dataclass
from typing import Final

from candidate import Candidate

from .case import broken
from .near_miss_versions import (
    AgesEachPage,
    AgesOddSizes,
    BlocksOverPages,
    EmptyTablesUnflushed,
    EmulatesAborts,
    LeavesTheLastPage,
    MapsTheNextFrameFirst,
    MapsTheNextPageToo,
    MarksAnotherFrame,
    NeverMaps,
    RefusesWalks,
    RelaxesTheNextPageToo,
    RelaxMapsTheNextBlock,
    SkipsOddPages,
    TopsUpNothing,
)


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
        "dcache: *: flushed, not *",
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
