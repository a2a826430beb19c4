# SPDX-License-Identifier: GPL-2.0-only
"""The numbers of native/shim.h and native/rt_serve.h: kinds of records, operations, layout of the shared memory."""

import struct
from typing import Final

# enum shim_kind.
READ: Final = 1
TABLE: Final = 2
STORE: Final = 3
RELEASE: Final = 4
CMPXCHG: Final = 5
CMPXCHG_FAIL: Final = 6
PLAIN: Final = 7
GET: Final = 8
PUT: Final = 9
COUNT: Final = 10
ALLOC: Final = 11
ALLOC_EXACT: Final = 12
FREE: Final = 13
FREE_EXACT: Final = 14
NO_TABLE: Final = 15
TLBI_IPA: Final = 16
TLBI_IPA_LOCAL: Final = 17
TLBI_RANGE: Final = 18
TLBI_VMID: Final = 19
TLBI: Final = 20
DSB: Final = 21
DMB: Final = 22
ISB: Final = 23
DCACHE: Final = 24
ICACHE: Final = 25
LOCK: Final = 26
UNLOCK: Final = 27
RESCHED: Final = 28
RCU_LOCK: Final = 29
RCU_UNLOCK: Final = 30
RCU_CALL: Final = 31
RCU_RUN: Final = 32
TOPUP: Final = 33
MC_POP: Final = 34
MC_FREE: Final = 35
VMA: Final = 36
PIN: Final = 37
GFN: Final = 38
GET_PFN: Final = 39
RELEASE_PFN: Final = 40
ACCESSED: Final = 41
DIRTY: Final = 42
THP: Final = 43
MARK: Final = 44
SEQ_READ: Final = 45
COUNT_READ: Final = 46
SEQ: Final = 47
SLOTS: Final = 48
LOG_TAKEN: Final = 49
ROOT: Final = 50
INJECT: Final = 51
IO: Final = 52
SIGBUS: Final = 53
KZALLOC: Final = 54
PERCPU: Final = 55
KFREE: Final = 56
PERCPU_FREE: Final = 57
WARN: Final = 58
BUG: Final = 59
CALL: Final = 60
UNMODELLED: Final = 61
WALK: Final = 62
MC_COUNT: Final = 63
USER_WALK: Final = 64
IRQS_LEFT: Final = 65
VMA_READ: Final = 66
TAGS: Final = 67
SLEEP: Final = 68
TURN: Final = 69
OTHER_LOCK: Final = 70
ACCOUNT: Final = 71
SRCU_SYNC: Final = 72
FILE_PAGE: Final = 73
INSTRUCTION: Final = 74
ACQUIRE: Final = 75
CONTENTS: Final = 76
UNWRITTEN: Final = 77
LOG_STORED: Final = 78
RING_EARLY: Final = 79
LOG_BESIDE: Final = 80
FILE_LOSES: Final = 81
UNREGISTERED: Final = 82
NO_STRUCT_PAGE: Final = 83
PRE_FAULT: Final = 84
PRE_FAULTED: Final = 85

# enum shim_wrong_lock, with the names of `fuzz.checkers.locking.OTHERS`.
WRONG_LOCKS: Final = ("other-lock-held", "other-lock-twice", "other-lock-free")

# enum shim_atomic: why nobody may sleep.
ATOMIC: Final = ("", "a spinlock is held", "interrupts are off", "preemption is off")

# enum shim_lock_kind.
LOCKS: Final = ("", "mmu", "mmap", "srcu", "vma")

# enum shim_question: functions that ask whether another task waits.
QUESTIONS: Final = ("", "need_resched", "spin_is_contended", "rwlock_is_contended")

# enum shim_op.
OP_QUIT: Final = 0
OP_CREATE: Final = 1
OP_SLOT: Final = 2
OP_FAULT: Final = 3
OP_INVALIDATE_START: Final = 4
OP_INVALIDATE_END: Final = 5
OP_CHANGE_PTE: Final = 6
OP_FLUSH_YOUNG: Final = 7
OP_CLEAR_YOUNG: Final = 8
OP_TEST_YOUNG: Final = 9
OP_GET_LOG: Final = 10
OP_CLEAR_LOG: Final = 11
OP_TOGGLE_CACHE: Final = 12
OP_SET_WAY: Final = 13
OP_UNMAP_VM: Final = 14
OP_RELEASE: Final = 15
OP_RESUME: Final = 16
OP_TABLE: Final = 17
OP_SET_ENTRY: Final = 18
OP_HYP_INIT: Final = 19
OP_HYP_MAP: Final = 20
OP_HYP_DESTROY: Final = 21
OP_RING_FULL: Final = 22
OP_RING_HARVEST: Final = 23
OP_RING_RESET: Final = 24
OP_PUNCH_HOLE: Final = 25
OP_MEMFD_FAILURE: Final = 26
# In a script only: offset in the shared memory, number of bytes; the data follows.
OP_WRITE: Final = 27
OP_ZAP: Final = 28
OP_MMAP_LOCK: Final = 29
OP_LATE: Final = 30
# The host ages adjacent pages: VM, address of the first, size, number of pages, 1 to flush.
OP_AGE: Final = 31
# The host copies pages, one by one: VM, address of the first, size, number of pages, frame of the first. Each page is
# OP_INVALIDATE_START, OP_CHANGE_PTE and OP_INVALIDATE_END, with one answer each.
OP_COPY: Final = 32
# A VM ends, after OP_RELEASE and OP_LATE, while other VMs continue.
OP_END: Final = 33
# What ``kvm_init_nested()`` has allocated is freed, if there is no OP_END.
OP_DESTROY_NESTED: Final = 34
# KVM_PRE_FAULT_MEMORY: VM, vCPU, guest address, size, state of the vCPU as in OP_FAULT.
OP_PRE_FAULT: Final = 35
# User space closes the guest_memfd of a slot: VM, slot, size of the slot.
OP_CLOSE_FILE: Final = 36

# enum shim_table_op.
TABLE_OPS: Final = ("map", "unmap", "wrprotect", "mkyoung", "mkold", "is_young", "relax_perms", "flush")

# shim_control->status.
DONE: Final = 1
FULL: Final = 2
HOST: Final = 3
CRASH: Final = 4
REFUSED: Final = 5
# An actor has reached an anchor of its schedule; an actor waits for a lock that another actor holds.
SWITCHED: Final = 6
BLOCKED: Final = 7
# A twin has done something else. The driver only tests that the status is not `DONE`.
DIFFERS: Final = 8
# An actor polls, and another one can run.
YIELDED: Final = 9

# enum shim_point, in its order: the points at which an actor may give way to another.
POINTS: Final = ("", "load", "store", "cmpxchg", "flush", "clean", "lock", "unlock", "lookup", "tags")
POINT_NUMBERS: Final = {point: number for number, point in enumerate(POINTS)}

MAX_ACTORS: Final = 8
MAX_ANCHORS: Final = 16
MAX_VMS: Final = 4
# The number of the tables of vCPUs at EL1.
NESTED: Final = MAX_VMS
MAX_CPUS: Final = 16
# Numbers of memory caches in records: that of a direct call, the first one of a vCPU.
CACHE_OF_CALL: Final = 0
CACHE_OF_VCPUS: Final = 1
MAX_VMAS: Final = 128
MAX_DEVICES: Final = 64
MAX_COPIES: Final = 1024
# Words of the dirty bitmap, 64 pages each, of the largest slot that a program may have.
LOG_WORDS: Final = 65536

# Properties of an area: frames of a device, read-only, a device whose frames may be uncached or cached memory; from bit
# AREA_HUGE on: log2 of the size of hugetlb pages.
AREA_DEVICE: Final = 1 << 0
AREA_READ_ONLY: Final = 1 << 1
AREA_UNCACHED: Final = 1 << 2
AREA_CACHED: Final = 1 << 3
AREA_HUGE: Final = 8

# struct shim_control: operation, arguments, result and its additional numbers, counts, knobs, text, areas, dirty log.
ARGS: Final = struct.Struct("<9Q")
RESULT: Final = struct.Struct("<q")
RESULT_AT: Final = 72
INFO: Final = struct.Struct("<8Q")
INFO_AT: Final = RESULT_AT + RESULT.size
KNOBS: Final = struct.Struct("<3i4I")
KNOBS_AT: Final = INFO_AT + INFO.size + 16
# The number of counters.
COUNTER_COUNT: Final = struct.Struct("<I")
COUNTER_COUNT_AT: Final = KNOBS_AT + 28
TEXT_AT: Final = KNOBS_AT + 32
TEXT_BYTES: Final = 256
VMA_AT: Final = TEXT_AT + TEXT_BYTES
VMA_WORDS: Final = struct.Struct("<4Q")
DEVICE_AT: Final = VMA_AT + MAX_VMAS * VMA_WORDS.size
DEVICE_WORDS: Final = struct.Struct("<2Q")
LOG_AT: Final = DEVICE_AT + MAX_DEVICES * DEVICE_WORDS.size
DIGEST_AT: Final = LOG_AT + LOG_WORDS * 8
GRACE_AT: Final = DIGEST_AT + 8
# Number of turn changes in the process, and the nanoseconds of the timed ones.
TURNS: Final = struct.Struct("<2Q")
TURNS_AT: Final = GRACE_AT + 8
# 32 bits each: the actor from 1, or 0 if there is only one; number of anchors of its call; number of actors; bit masks
# of the actors that are done and of those that wait; 1 if turns may change without the driver, 2 if they are timed too.
ACTOR_WORDS: Final = 3
UNWANTED_AT: Final = TURNS_AT + TURNS.size
ACTOR_AT: Final = UNWANTED_AT + 8
# Number and count, 32 bits each; point and `after`, 16 bits each, and the next actor, 32 bits.
ANCHOR_WORDS: Final = 2
ANCHORS_AT: Final = ACTOR_AT + ACTOR_WORDS * 8
# The core of the driver from 1, or 0 for any; the core to which the process is bound.
CORE_AT: Final = ANCHORS_AT + MAX_ANCHORS * ANCHOR_WORDS * 8
# Entries that the code has read so far.
VISITED_AT: Final = CORE_AT + 16
# Number of copies of frames so far. For each of the last ones: first old frame, first new frame, number of frames.
COPIED: Final = struct.Struct("<Q")
COPIED_AT: Final = VISITED_AT + 8
COPY_WORDS: Final = struct.Struct("<3Q")
COPIES_AT: Final = COPIED_AT + COPIED.size
CONTROL_BYTES: Final = COPIES_AT + MAX_COPIES * COPY_WORDS.size

NAMES_AT: Final = (CONTROL_BYTES + 4095) & -4096
NAMES_BYTES: Final = 1 << 15
CHAINS_AT: Final = NAMES_AT + NAMES_BYTES
# Maximum number of addresses in a backtrace.
CHAIN: Final = 24
CHAIN_WORDS: Final = struct.Struct(f"<{CHAIN + 1}I")
RECORDS_AT: Final = CHAINS_AT + (1 << 13) * CHAIN_WORDS.size
# kind, name, chain, a, b, c; the first three in one word.
RECORD: Final = struct.Struct("<HHIqqq")
RECORD_WORDS: Final = 4
# After the records: the numbers of chains, by hash. Then the counters of the tree's code: of one program, of all
# programs, and of the programs that count for another tree too.
COUNTERS_AT: Final = (RECORDS_AT + (1 << 15) * RECORD.size + (4 << 15) + 4095) & -4096
COUNTER_BYTES: Final = 8
# Maximum number of counters.
COUNTERS: Final = 1 << 15
TOTALS_AT: Final = COUNTERS_AT + COUNTERS * COUNTER_BYTES
SHARED_TOTALS_AT: Final = TOTALS_AT + COUNTERS * COUNTER_BYTES
# struct shim_script: number of bytes of steps, whether the script is over, the steps. A step is a request and its
# answer, in the layout of the beginning of the shared memory, then the knobs before the request, and the digest.
SCRIPT_AT: Final = (SHARED_TOTALS_AT + COUNTERS * COUNTER_BYTES + 4095) & -4096
SCRIPT_FILLED: Final = struct.Struct("<Q")
OVER_AT: Final = SCRIPT_AT + 8
STEPS_AT: Final = SCRIPT_AT + 16
STEP_HEAD: Final = KNOBS_AT + KNOBS.size
STEP_KNOBS: Final = struct.Struct("<3i")
STEP_BYTES: Final = STEP_HEAD + STEP_KNOBS.size + 8
SCRIPT_END: Final = SCRIPT_AT + (1 << 20)
# struct shim_answers: the number of answers, then for each one the beginning of the shared memory, and the digest.
ANSWERS_AT: Final = SCRIPT_END
ANSWER_HEAD: Final = STEP_HEAD
ANSWER_BYTES: Final = ANSWER_HEAD + 4 + 8
FIRST_ANSWER_AT: Final = ANSWERS_AT + 8
ANSWERS: Final = 96
SHARED_BYTES: Final = ANSWERS_AT + (32 << 10)
