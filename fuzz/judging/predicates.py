# SPDX-License-Identifier: GPL-2.0-only
"""The predicates in conditions of known bugs: their names, and when each holds.

`fuzz.judging.predicate_notes` observes them.
"""

from typing import Final

from reference.machine.walk import ACCESS_FLAG, PERMISSION, TRANSLATION

HINTS: Final = "level hints on"
HINTED: Final = "table flushed with its own level as hint"
LOGGED: Final = "slot logged"
RINGS_ONLY: Final = "slot logged in rings only"
READ_ONLY: Final = "slot read-only"
LARGER: Final = "host page larger than an entry of the start level"
MAPPED: Final = "part of the host page mapped before"
TAGGED: Final = "tags of the hugetlb page cleared before"
RIVAL: Final = "tags of the page cleared by another VM meanwhile"
PARTLY: Final = "host page only partly in the slot"
SMALLER: Final = "host page mapped by smaller leaves"
BLOCK: Final = "fault on a block"
PAGE: Final = "fault on a page"
INSIDE: Final = "range begins inside an entry that is no table"
UNWALKED: Final = "pages not walked"
MARKED: Final = "old leaf's frame marked"
PART: Final = "size is no whole pages"
GONE: Final = "leaf of the permission fault gone"
REPLACED: Final = "leaf of the fault replaced under the lock"
SPLIT_OFF: Final = "area of a device ends within the block"
BEHEADED: Final = "area of a device loses the first page of the block"
GUEST_MEMFD: Final = "slot of a guest_memfd"
OUTSIDE: Final = "access behind the guest's address space"
DATA_OUTSIDE: Final = "read or write behind the guest's address space"
WHOLE: Final = "range of the largest size flushed"
LEVEL_0: Final = "page of a range flushed with level 0 as hint"
UNSET: Final = "leaf of a lost race flushed with level 0 as hint"
DEFERRED: Final = "flushes by range, with forced write-back"
RELAXED: Final = "leaf relaxed without execution"
AT_EL1: Final = "pages of vCPUs at EL1"
COPIED: Final = "page mapped beside another invalidation"
LEAVING: Final = "page of a slot that goes mapped"
FAULTS: Final = {
    TRANSLATION: "translation fault",
    ACCESS_FLAG: "access flag fault",
    PERMISSION: "permission fault",
}

# Each predicate -> when it holds.
PREDICATES: Final = {
    HINTS: "the CPU takes level hints (FEAT_TTL)",
    HINTED: "an entry that named a table was cleared, and flushed by IPA with the level of that table as hint; "
    "it holds for that table until another flush covers it",
    LOGGED: "the slot of a guest's access has a dirty log, or had one when one of its faults began",
    RINGS_ONLY: "the slot of a guest's access is logged in dirty rings, and its VM has no bitmaps",
    READ_ONLY: "the slot of a guest's access is read-only",
    SPLIT_OFF: "the guest's access is to the first page of a block, and the area of device frames ends within it",
    BEHEADED: "the guest's access is to an area of device frames that had the first page of the block when the handler "
    "of the fault found it, and has lost that page since",
    GUEST_MEMFD: "the slot of a guest's access is backed by a guest_memfd",
    DEFERRED: "the CPU flushes by range (FEAT_TLBIRANGE) and forces write-back (FEAT_S2FWB)",
    AT_EL1: "vCPUs have EL2 (nested=), and the pages are those of the tables that KVM has for vCPUs at EL1",
    WHOLE: "the CPU flushes by range (FEAT_TLBIRANGE), and a range has as many pages as one instruction can flush "
    "(2^21); it holds for that range",
    LEVEL_0: "tlb.c flushes a page of a range by its address, with level 0 as the hint; it holds for that page",
    UNSET: "the handler of a permission fault loses a compare-exchange, or does not find the leaf of the fault, and "
    "then flushes the page with level 0 as the hint",
    OUTSIDE: "a guest accesses an address beyond its address space (cpuN outside)",
    DATA_OUTSIDE: "that access is a read or a write, whose syndrome specifies the emulation",
    RELAXED: "a leaf is relaxed directly (table relax), and the call does not ask for execution, because the"
    " program does not, or because device memory is not executable",
    LARGER: "the hugetlb page of a guest's access is larger than what an entry of the root maps",
    MAPPED: "leaves map part of the page of a guest's access when it begins (pages larger than an entry of the root)",
    TAGGED: "tags of the host's page were cleared before the handler of a fault on hugetlb takes the mmu lock, or "
    "continues after others that hold it too, and the handler itself has cleared none",
    RIVAL: "the handler of a fault clears the tags of a page that another VM has cleared in the same operation",
    PARTLY: "a host page that is aged extends beyond a slot",
    SMALLER: "a leaf of a permission fault, or one in a page that is aged, is smaller than the host's page",
    BLOCK: "a permission fault is on a block",
    PAGE: "a permission fault is on a page",
    INSIDE: "kvm_pgtable_walk() begins inside an entry that is no table; it holds for the pages that its cursor skips",
    UNWALKED: "no walk of the operation reaches the pages (ageing only)",
    PART: "a range is unmapped directly (table unmap), and its size is not a multiple of the page size; it holds for "
    "the last page, if no leaf maps it together with the pages before it",
    GONE: "the leaf that caused a permission fault is gone or replaced when the handler takes the mmu lock, or after "
    "others have changed the tables under the same hold of it",
    REPLACED: "while the handler of a fault holds the mmu lock, others change the leaf at the fault's address",
    COPIED: "pages are mapped with two invalidations in progress: change_pte() maps the copy of a page within one, "
    "and another thread has begun the other; it holds for the leaf that maps the copy, while that leaf stays",
    LEAVING: "change_pte() maps the new page of the host at an address whose slot user space is deleting, or moving; "
    "it holds for the leaf that maps it, while that leaf stays",
    MARKED: "the frame marked accessed is that of a leaf that the handler of an access flag fault may find while it "
    "holds the mmu lock",
    **{name: f"a guest's access takes a {name}" for name in FAULTS.values()},
    **{name: f"the guest's access is a {name}" for name in ("read", "write", "fetch", "walk", "clean")},
}


# Predicates of pages, or of a table page: if a violation names some, they must hold for those.
OF_PAGES: Final = (
    *(PART, INSIDE, HINTED, SMALLER, MAPPED, TAGGED, GONE, COPIED, LEAVING),
    *(WHOLE, LEVEL_0, UNSET),
)
# Predicates of an actor's operation and its faults: in a par block, all of one condition must hold in one operation.
OF_ACTOR: Final = (
    *(*FAULTS.values(), PART, BLOCK, PAGE, SMALLER, MAPPED, TAGGED, RIVAL),
    *(PARTLY, GONE, REPLACED, MARKED, UNSET),
)
# Predicates of the operation itself, evaluated when a violation is explained.
OF_OPERATION: Final = (
    *(RELAXED, LOGGED, RINGS_ONLY, READ_ONLY, LARGER, SPLIT_OFF, BEHEADED),
    *(GUEST_MEMFD, OUTSIDE, DATA_OUTSIDE),
    *("read", "write", "fetch", "walk", "clean"),
)
