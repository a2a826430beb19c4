/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interface between the kernel side (built with the tree's headers), the runtime (built with libc)
 * and the Python driver (candidate/tree/runtime/records.py has the same numbers). Plain C types only.
 */
#ifndef SHIM_H
#define SHIM_H

typedef unsigned long long shim_u64;

/* What a record tells; a, b and c are its arguments. Pages are numbers of arena pages, entries are indices
 * of 64-bit words in the arena, addresses and sizes are bytes of guest or host address space. */
enum shim_kind {
	EV_NONE,
	/* tables */
	EV_READ,		/* entry; counted only */
	EV_TABLE,		/* first entry read of another table page than before: entry */
	EV_STORE,		/* entry, old, new */
	EV_RELEASE,		/* entry, old, new: smp_store_release() */
	EV_CMPXCHG,		/* entry, old, new: the exchange was made */
	EV_CMPXCHG_FAIL,	/* entry, found, wanted new */
	EV_PLAIN,		/* entry, old, new: a store that nothing announced */
	EV_GET, EV_PUT,		/* page, count afterwards */
	EV_COUNT,		/* page, count */
	EV_ALLOC,		/* page, or -1 */
	EV_ALLOC_EXACT,		/* first page or -1, pages */
	EV_FREE, EV_FREE_EXACT,	/* page, count afterwards */
	EV_NO_TABLE,		/* page number of what is no table page; name: the call */
	/* TLB, barriers, caches */
	EV_TLBI_IPA,		/* VM, address, level */
	EV_TLBI_IPA_LOCAL,	/* likewise, this CPU only */
	EV_TLBI_RANGE,		/* VM, address, pages */
	EV_TLBI_VMID,		/* VM */
	EV_TLBI,		/* another TLB instruction: address, level; name */
	EV_DSB, EV_DMB,		/* name: the domain */
	EV_ISB,
	EV_DCACHE,		/* physical address, size */
	EV_ICACHE,		/* physical address, size; size ~0: everything */
	/* locks: lock number of shim_lock_kind, VM or -1, 1 for writing */
	EV_LOCK, EV_UNLOCK,
	EV_RESCHED,		/* VM */
	EV_RCU_LOCK, EV_RCU_UNLOCK,	/* depth afterwards */
	EV_RCU_CALL, EV_RCU_RUN,	/* number of the callback */
	/* what the host is asked */
	EV_TOPUP,		/* minimum, had, has | (ret != 0) << 32 */
	EV_MC_POP,		/* objects left, 1: it was empty */
	EV_MC_FREE,		/* objects */
	EV_VMA,			/* address, start, end (-1, -1: none) */
	EV_PIN,			/* frame */
	EV_GFN,			/* guest page, frame or negative error, write | writable << 1 */
	EV_GET_PFN, EV_RELEASE_PFN, EV_ACCESSED, EV_DIRTY,	/* frame */
	EV_THP,			/* frame, yes */
	EV_MARK,		/* guest page */
	/* notifiers and slots */
	EV_SEQ_READ,		/* VM, sequence */
	EV_COUNT_READ,		/* VM, invalidations in progress, sequence */
	EV_SEQ,			/* VM, sequence, invalidations in progress */
	EV_SLOTS,		/* VM << 32 | slot, first guest page, flags | logged << 32 | present << 33 */
	EV_LOG_TAKEN,		/* VM << 32 | slot, first guest page of the word, mask */
	EV_ROOT,		/* VM, linked */
	/* exits */
	EV_INJECT,		/* address; name */
	EV_IO,			/* guest address */
	EV_SIGBUS,		/* host address, log2 of the size */
	/* the rest */
	EV_KZALLOC, EV_PERCPU,	/* bytes, 1: it succeeded */
	EV_KFREE, EV_PERCPU_FREE,
	EV_WARN, EV_BUG,	/* name: the condition */
	EV_CALL,		/* any other call out of the tree's code: name, up to three arguments */
	EV_UNMODELLED,		/* a function nobody wrote a model for: name */
	EV_WALK,		/* VM, address, size; name: the function of pgtable.c that is called */
	EV_WALK_END,
	/* names that the shim headers use */
	EV_OTHER_NR
};

void shim_emit(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name, const char *func, int line, void *ret);
#define SHIM_EV(k, a, b, c, s) \
	shim_emit(k, (shim_u64)(a), (shim_u64)(b), (shim_u64)(c), s, __func__, __LINE__, 0)
#define SHIM_CALLED(k, a, b, c, s) \
	shim_emit(k, (shim_u64)(a), (shim_u64)(b), (shim_u64)(c), s, 0, 0, __builtin_return_address(0))

void shim_store(volatile void *p, shim_u64 v, int release, const char *func, int line);
void shim_read(const volatile void *p, const char *func, int line);
shim_u64 shim_cmpxchg(volatile void *p, shim_u64 o, shim_u64 n, const char *func, int line);

/* The physical address of the arena: above every frame that a guest or the host owns. */
#define SHIM_PA_BASE	(1UL << 46)

extern unsigned long shim_va_off, shim_arena_start, shim_arena_size;	/* va = pa + shim_va_off */
#define SHIM_IN_ARENA(p) ((unsigned long)(p) - shim_arena_start < shim_arena_size)

/* ---- between glue.c and the runtime ---- */
enum shim_lock_kind { LOCK_OTHER, LOCK_MMU, LOCK_MMAP, LOCK_SRCU };
enum shim_watch { WATCH_SEQ, WATCH_COUNT, WATCH_ROOT, WATCH_SLOTS };

void shim_watch(const void *p, enum shim_watch what, int vm);	/* a word whose plain accesses are told of */
void shim_watched(enum shim_watch what, int vm);		/* glue.c: such a word was written; emit what is new */
void shim_watch_bitmap(const void *p, unsigned long bytes, int vm, int slot, unsigned long gfn);
void shim_forget_bitmaps(int vm);
int shim_vm_of_mmu(const void *mmu);
int shim_lock_kind_of(const void *lock, int *vm);
int shim_cache_enabled(const void *vcpu);
void shim_refuse(const char *what);

/*
 * A word of the host's page tables is missing or forbids a write: asks the driver. 0, or a negative errno.
 * write: 1 for writing; 2: only what the host has now, without a fault of the host's
 */
struct shim_page { unsigned long hva, pfn; int level, writable, device; };
int shim_host_fault(unsigned long hva, int write, struct shim_page *page);

/* Operations of the driver, by number; native/rt_serve.c has the protocol. */
enum shim_op {
	OP_QUIT, OP_CREATE, OP_SLOT, OP_FAULT, OP_INVALIDATE_START, OP_INVALIDATE_END, OP_CHANGE_PTE,
	OP_FLUSH_YOUNG, OP_CLEAR_YOUNG, OP_TEST_YOUNG, OP_GET_LOG, OP_CLEAR_LOG, OP_TOGGLE_CACHE, OP_SET_WAY,
	OP_UNMAP_VM, OP_RELEASE, OP_RESUME, OP_TABLE, OP_GRACE, OP_LOCK, OP_UNLOCK, OP_HYP
};
enum shim_table_op { T_MAP, T_UNMAP, T_WRPROTECT, T_MKYOUNG, T_MKOLD, T_IS_YOUNG, T_RELAX, T_FLUSH };

#define SHIM_MAX_VMS	4
#define SHIM_MAX_CPUS	16
#define SHIM_MAX_VMAS	128
#define SHIM_MAX_DEVICES	64
#define SHIM_LOG_WORDS	16384

/* First page of the shared memory. The driver writes op, args, knobs and the areas; the child writes the rest. */
struct shim_control {
	shim_u64 op, args[8];
	long long ret;
	shim_u64 info[8];
	unsigned int status, nrec, nchain, nname;
	int fail_pages, fail_small, fail_topup;	/* how many more succeed; -1: all */
	unsigned int nvma, ndevice, pad;
	char text[256];
	struct { shim_u64 start, end, pfn, flags; } vma[SHIM_MAX_VMAS];		/* flags: 1 pfnmap, huge shift << 8 */
	struct { shim_u64 pfn, pages; } device[SHIM_MAX_DEVICES];
	shim_u64 log[SHIM_LOG_WORDS];
};
extern struct shim_control *shim_control;
long shim_dispatch(shim_u64 op, const shim_u64 *args, shim_u64 *info);	/* glue.c */
#endif
