// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the compiled kernel files run on: table memory, records of events, locks, RCU, and models of the
 * functions that they call. Built with libc and without kernel headers: everything arrives as integers and
 * pointers, so that one definition serves all trees whose machine code calls it alike.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "shim.h"
#include "rt_serve.h"

/* Backtraces follow frame pointers, also through this file. */
#pragma GCC optimize("no-omit-frame-pointer", "no-optimize-sibling-calls")

#define API __attribute__((visibility("default")))
#define WEAK __attribute__((weak))
#define RET __builtin_return_address(0)
#define CALL(k, a, b, c, s) shim_emit(k, (shim_u64)(a), (shim_u64)(b), (shim_u64)(c), s, 0, 0, RET)

/* ---- memory: the arena (tables, told of), then pages of the host's (user page tables, stock of caches) ---- */

#define ARENA_PAGES	(1u << 16)
#define HOST_PAGES	(1u << 16)

extern const unsigned long shim_sizeof_page, shim_page_shift;	/* glue.c */
extern const unsigned int shim_pg_dirty, shim_page_flags;
unsigned long shim_va_off, shim_arena_start, shim_arena_size, shim_vmemmap;
static unsigned long vmemmap_size;
static int *counts;			/* references of arena pages */
static char *shadow;			/* what the arena holds as far as stores were told of */
static unsigned int arena_next, host_next, stock_free;
static unsigned int stock[HOST_PAGES];
static int counting_failures;		/* allocations fail as the driver asked only while this is set */
static int in_cache;			/* within a memory cache's own functions */
static int noting;			/* events are told of */

static int idx(const volatile void *va)
{
	unsigned long o = ((unsigned long)va - shim_arena_start) >> shim_page_shift;

	return o < ARENA_PAGES ? (int)o : -1;
}

static unsigned long pa_of(const volatile void *va) { return (unsigned long)va - shim_va_off; }
static void *page_at(unsigned int i) { return (char *)shim_arena_start + ((size_t)i << shim_page_shift); }
static shim_u64 entry_of(const volatile void *p) { return ((unsigned long)p - shim_arena_start) >> 3; }
static shim_u64 *shadow_of(const volatile void *p) { return (shim_u64 *)(shadow + ((unsigned long)p - shim_arena_start)); }

/* ---- records ---- */

static unsigned int name_id(const char *name)
{
	static struct { const char *p; unsigned int id; } known[1024];
	unsigned int h = ((unsigned long)name >> 3) * 2654435761u >> 22, id;
	const char *s;

	if (!name)
		return 0;
	for (; known[h].p; h = (h + 1) % 1024)
		if (known[h].p == name)
			return known[h].id;
	/* The same text may stand at several places. */
	for (id = 1, s = shim_names; id <= shim_control->nname; id++, s += strlen(s) + 1)
		if (!strcmp(s, name))
			break;
	if (id > shim_control->nname) {
		if (s + strlen(name) + 1 > shim_names + SHIM_NAME_BYTES || shim_control->nname > 900)
			return 0;
		strcpy((char *)s, name);
		shim_control->nname++;
	}
	known[h].p = name;
	known[h].id = id;
	return id;
}

/* The chain of return addresses from here to the operation's entry, as a number. */
static unsigned int chain_id(void **frame)
{
	static unsigned int table[1 << 15];
	unsigned int chain[SHIM_CHAIN], n = 0, h = 0, id;

	while (n < SHIM_CHAIN && (char *)frame < shim_stack_top && frame[1] && frame[1] != shim_entry_return) {
		unsigned int pc = (unsigned int)((char *)frame[1] - &__ehdr_start);

		chain[n++] = pc;
		h = (h ^ pc) * 2654435761u;
		if ((void **)frame[0] <= frame)
			break;
		frame = frame[0];
	}
	for (h >>= 17; (id = table[h]); h = (h + 1) & ((1 << 15) - 1))
		if (shim_chains[id - 1].n == n && !memcmp(shim_chains[id - 1].pc, chain, n * sizeof(*chain)))
			return id;
	if (shim_control->nchain == SHIM_CHAINS)
		return 0;
	id = ++shim_control->nchain;
	shim_chains[id - 1].n = n;
	memcpy(shim_chains[id - 1].pc, chain, n * sizeof(*chain));
	table[h] = id;
	return id;
}

unsigned int shim_chain_of(void *pc, void **frame)	/* of an interrupted place */
{
	void *top[2] = { frame, pc };
	unsigned int id = chain_id(frame);

	if (id && shim_control->nchain < SHIM_CHAINS) {
		struct shim_chain *c = &shim_chains[shim_control->nchain++], *from = &shim_chains[id - 1];

		c->pc[0] = (unsigned int)((char *)top[1] - &__ehdr_start) + 1;
		c->n = from->n < SHIM_CHAIN ? from->n + 1 : SHIM_CHAIN;
		memcpy(c->pc + 1, from->pc, (c->n - 1) * sizeof(*c->pc));
		return shim_control->nchain;
	}
	return id;
}

static void put_record(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name, void **frame)
{
	struct shim_record *r;

	if (shim_control->nrec == SHIM_RECORDS)
		shim_full();
	r = &shim_records[shim_control->nrec];
	r->kind = kind;
	r->name = name_id(name);
	r->chain = chain_id(frame);
	r->a = a;
	r->b = b;
	r->c = c;
	shim_control->nrec++;
}

/* Plain accesses are told of before they happen; what a store wrote is known when the next thing happens. */
static struct { const void *p; enum shim_watch what; int vm, dirty; } watches[SHIM_MAX_VMS * 4 + 4];
static int nwatch, any_dirty, settling;
static volatile shim_u64 *plain_at;

static void settle(void)
{
	if (settling)
		return;
	settling = 1;
	if (plain_at) {
		volatile shim_u64 *p = plain_at;

		plain_at = 0;
		if (*p != *shadow_of(p)) {
			shim_u64 old = *shadow_of(p);

			*shadow_of(p) = *p;
			put_record(EV_PLAIN, entry_of(p), old, *p, 0, __builtin_frame_address(0));
		}
	}
	if (any_dirty) {
		any_dirty = 0;
		for (int i = 0; i < nwatch; i++)
			if (watches[i].dirty) {
				watches[i].dirty = 0;
				/* One telling for both words of a notifier. */
				if (watches[i].what == WATCH_SEQ)
					for (int j = 0; j < nwatch; j++)
						if (watches[j].what == WATCH_COUNT && watches[j].vm == watches[i].vm)
							watches[j].dirty = 0;
				shim_watched(watches[i].what, watches[i].vm);
			}
	}
	settling = 0;
}

/* Has any table changed that no store told of? Compares all pages in use; at the end of each operation. */
void shim_compare_arena(void)
{
	settle();
	for (unsigned int i = 0; i < arena_next; i++) {
		shim_u64 *now = page_at(i), *told = shadow_of(now);

		if (!memcmp(now, told, 1UL << shim_page_shift))
			continue;
		for (unsigned int k = 0; k < 1u << (shim_page_shift - 3); k++)
			if (now[k] != told[k]) {
				put_record(EV_PLAIN, entry_of(&now[k]), told[k], now[k], 0, __builtin_frame_address(0));
				told[k] = now[k];
			}
	}
}

static __attribute__((noinline)) void emit(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name, void **frame)
{
	if (!noting)
		return;
	if ((any_dirty || plain_at) && !(kind == EV_DMB && name && !strcmp(name, "ishst")))
		settle();
	put_record(kind, a, b, c, name, frame);
}

void shim_emit(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name, const char *func, int line, void *ret)
{
	if (kind == EV_WARN && in_cache)
		return;		/* the wrapper of the cache says it in its own words */
	emit(kind, a, b, c, name, __builtin_frame_address(0));
	if (kind == EV_UNMODELLED)
		shim_refuse(name);
}

void shim_note(int on) { noting = on; }

static unsigned int last_read = -1u;

static void read_entry(const volatile void *p)
{
	unsigned int page = ((unsigned long)p - shim_arena_start) >> shim_page_shift;

	if (page == last_read)
		return;
	last_read = page;
	emit(EV_TABLE, entry_of(p), 0, 0, 0, __builtin_frame_address(0));
}

void shim_new_operation(void) { last_read = -1u; }

void shim_read(const volatile void *p, const char *f, int l) { read_entry(p); }

void shim_store(volatile void *p, shim_u64 v, int release, const char *f, int l)
{
	shim_u64 o;

	if (plain_at)
		settle();
	o = *(volatile shim_u64 *)p;
	*(volatile shim_u64 *)p = *shadow_of(p) = v;
	emit(release ? EV_RELEASE : EV_STORE, entry_of(p), o, v, 0, __builtin_frame_address(0));
}

shim_u64 shim_cmpxchg(volatile void *p, shim_u64 o, shim_u64 n, const char *f, int l)
{
	shim_u64 was;

	if (plain_at)
		settle();
	was = *(volatile shim_u64 *)p;
	if (was == o)
		*(volatile shim_u64 *)p = *shadow_of(p) = n;
	emit(was == o ? EV_CMPXCHG : EV_CMPXCHG_FAIL, entry_of(p), was, n, 0, __builtin_frame_address(0));
	return was;
}

/* ---- table pages: handed out in order and never twice ---- */

void shim_count_failures(int on) { counting_failures = on; }

static int fails(int *left)
{
	if (!counting_failures || *left < 0)
		return 0;
	if (!*left)
		return 1;
	--*left;
	return 0;
}

static void *take(unsigned int nr, int kind, const char *name, void **frame)
{
	unsigned int i = arena_next;
	void *va;

	if (fails(&shim_control->fail_pages)) {
		emit(kind, -1, nr, 0, name, frame);
		return 0;
	}
	if (i + nr > ARENA_PAGES) {
		shim_refuse("more table pages than the arena has");
		return 0;
	}
	arena_next += nr;
	for (unsigned int j = 0; j < nr; j++)
		counts[i + j] = 1;
	va = page_at(i);
	emit(kind, i, nr, 0, name, frame);
	return va;
}

static void drop(void *va, int kind, const char *name, void **frame)
{
	int i = idx(va);

	if (i < 0) {
		emit(EV_NO_TABLE, pa_of(va) >> shim_page_shift, 0, 0, name, frame);
		return;
	}
	if (plain_at)
		settle();
	/* Below zero the driver sees what is wrong; the page is not touched again. */
	if (!--counts[i]) {
		memset(page_at(i), 0xa5, 1UL << shim_page_shift);
		memset(shadow_of(page_at(i)), 0xa5, 1UL << shim_page_shift);
	}
	emit(kind, i, counts[i], 0, name, frame);
}

unsigned long shim_host_page(void)	/* a page for user page tables; returns its physical address */
{
	if (host_next == HOST_PAGES) {
		shim_refuse("more host pages than there are");
		return 0;
	}
	return SHIM_PA_BASE + ((unsigned long)(ARENA_PAGES + host_next++) << shim_page_shift);
}

/* Memory caches hold pages of a stock; a table page is taken when an object leaves the cache, as in the ports. */
static void *stock_page(void)
{
	unsigned int i;

	if (fails(&shim_control->fail_topup))
		return 0;
	if (stock_free)
		i = stock[--stock_free];
	else
		i = (shim_host_page() - SHIM_PA_BASE) >> shim_page_shift;
	return memset((char *)shim_arena_start + ((size_t)i << shim_page_shift), 0, 1UL << shim_page_shift);
}

static void stock_back(void *va)
{
	if (stock_free < HOST_PAGES)
		stock[stock_free++] = ((unsigned long)va - shim_arena_start) >> shim_page_shift;
}

static int in_host(const void *va)
{
	unsigned long o = ((unsigned long)va - shim_arena_start) >> shim_page_shift;

	return o - ARENA_PAGES < HOST_PAGES;
}

#define PG(sz) ((unsigned int)(((sz) + (1UL << shim_page_shift) - 1) >> shim_page_shift))
#define ALIAS(n, of) __typeof__(of) n __attribute__((alias(#of)));
#define FRAME __builtin_frame_address(0)

void *alloc_pages_exact(unsigned long size, unsigned gfp) { return take(PG(size), EV_ALLOC_EXACT, 0, FRAME); }
ALIAS(alloc_pages_exact_noprof, alloc_pages_exact)
void free_pages_exact(void *va, unsigned long size)
{
	for (unsigned long o = 0; va && o < size; o += 1UL << shim_page_shift)
		drop((char *)va + o, EV_FREE_EXACT, "free_pages_exact", FRAME);
}

unsigned long __get_free_pages(unsigned gfp, unsigned order)
{
	return (unsigned long)(in_cache ? stock_page() : take(1u << order, EV_ALLOC, "get_free_pages", FRAME));
}
ALIAS(get_free_pages_noprof, __get_free_pages)
unsigned long get_zeroed_page(unsigned gfp) { return (unsigned long)take(1, EV_ALLOC, "get_zeroed_page", FRAME); }
ALIAS(get_zeroed_page_noprof, get_zeroed_page)
void free_pages(unsigned long va, unsigned order)
{
	if (!va)
		return;
	if (in_host((void *)va))
		stock_back((void *)va);
	else
		drop((void *)va, EV_FREE, "free_page", FRAME);
}

static unsigned long pfn_of(const void *page) { return ((unsigned long)page - shim_vmemmap) / shim_sizeof_page; }
static void *va_of(const void *page) { return (void *)((pfn_of(page) << shim_page_shift) + shim_va_off); }

void get_page(void *page)
{
	int i = idx(va_of(page));

	if (i < 0)
		emit(EV_GET_PFN, pfn_of(page), 0, 0, 0, FRAME);
	else {
		++counts[i];
		emit(EV_GET, i, counts[i], 0, 0, FRAME);
	}
}

void put_page(void *page)
{
	if (idx(va_of(page)) < 0)
		emit(EV_RELEASE_PFN, pfn_of(page), 0, 0, 0, FRAME);
	else
		drop(va_of(page), EV_PUT, "put_page", FRAME);
}

int page_count(void *page)
{
	int i = idx(va_of(page));

	if (i < 0)
		return 1;
	emit(EV_COUNT, i, counts[i], 0, 0, FRAME);
	return counts[i];
}

unsigned long __virt_to_phys(unsigned long va) { return va - shim_va_off; }
unsigned long __phys_addr_symbol(unsigned long va) { return va; }

/* ---- memory caches: the tree's own functions, told of ---- */

extern int kvm_mmu_memory_cache_nr_free_objects(void *mc);
extern int real_kvm_mmu_topup_memory_cache(void *, int) WEAK;
extern int real___kvm_mmu_topup_memory_cache(void *, int, int) WEAK;
extern void *real_kvm_mmu_memory_cache_alloc(void *) WEAK;
extern void real_kvm_mmu_free_memory_cache(void *) WEAK;

static int topped_up(void *mc, int min, int had, int ret, void **frame)
{
	shim_u64 has = kvm_mmu_memory_cache_nr_free_objects(mc);

	in_cache--;
	shim_control->fail_topup = had < min ? -1 : shim_control->fail_topup;
	emit(EV_TOPUP, min, had, has | (shim_u64)(ret != 0) << 32, 0, frame);
	return ret;
}

int kvm_mmu_topup_memory_cache(void *mc, int min)
{
	int had = kvm_mmu_memory_cache_nr_free_objects(mc), failing = counting_failures, ret;

	in_cache++;
	counting_failures = 1;
	ret = real_kvm_mmu_topup_memory_cache(mc, min);
	counting_failures = failing;
	return topped_up(mc, min, had, ret, FRAME);
}

int __kvm_mmu_topup_memory_cache(void *mc, int capacity, int min)
{
	int had = kvm_mmu_memory_cache_nr_free_objects(mc), ret;

	in_cache++;
	ret = real___kvm_mmu_topup_memory_cache(mc, capacity, min);
	return topped_up(mc, min, had, ret, FRAME);
}

void *kvm_mmu_memory_cache_alloc(void *mc)
{
	int dry = !kvm_mmu_memory_cache_nr_free_objects(mc);
	void *object, *va;

	in_cache++;
	object = real_kvm_mmu_memory_cache_alloc(mc);
	in_cache--;
	emit(EV_MC_POP, kvm_mmu_memory_cache_nr_free_objects(mc), dry, 0, 0, FRAME);
	if (!object)
		return 0;
	va = take(1, EV_ALLOC, 0, FRAME);
	if (va) {
		/* As zeroed as the tree asked for it to be. */
		memcpy(va, object, 1UL << shim_page_shift);
		memcpy(shadow_of(va), object, 1UL << shim_page_shift);
	}
	stock_back(object);
	return va;
}

void kvm_mmu_free_memory_cache(void *mc)
{
	int had = kvm_mmu_memory_cache_nr_free_objects(mc);

	in_cache++;
	real_kvm_mmu_free_memory_cache(mc);
	in_cache--;
	emit(EV_MC_FREE, had, 0, 0, 0, FRAME);
}

/* ---- frames of the host ---- */

typedef long (*any_function)(long, long, long, long, long, long, long, long);
extern long real_gfn_to_pfn_prot(long, long, long, long, long, long, long, long) WEAK;
extern long real___gfn_to_pfn_memslot(long, long, long, long, long, long, long, long) WEAK;
extern long real___kvm_faultin_pfn(long, long, long, long, long, long, long, long) WEAK;
extern int shim_looked_up_write, shim_looked_up_writable;	/* glue.c: by the last look-up */

/* Look-ups take what stands in the registers and on the stack along: their arguments differ between trees. */
#define LOOK_UP(name) \
long name(long a, long gfn, long c, long d, long e, long f, long g, long h) \
{ \
	long pfn = real_##name(a, gfn, c, d, e, f, g, h); \
	emit(EV_GFN, gfn, pfn, shim_looked_up_write | shim_looked_up_writable << 1, 0, FRAME); \
	return pfn; \
}
LOOK_UP(gfn_to_pfn_prot)
LOOK_UP(__gfn_to_pfn_memslot)
LOOK_UP(__kvm_faultin_pfn)

extern int real_kvm_is_transparent_hugepage(unsigned long) WEAK;
int kvm_is_transparent_hugepage(unsigned long pfn)
{
	int yes = real_kvm_is_transparent_hugepage(pfn) & 0xff;

	emit(EV_THP, pfn, yes, 0, 0, FRAME);
	return yes;
}

extern void real_mark_page_dirty(void *, unsigned long) WEAK;
extern void real_mark_page_dirty_in_slot(void *, void *, unsigned long) WEAK;
void mark_page_dirty(void *kvm, unsigned long gfn)
{
	real_mark_page_dirty(kvm, gfn);
	emit(EV_MARK, gfn, 0, 0, 0, FRAME);
}

void mark_page_dirty_in_slot(void *kvm, void *slot, unsigned long gfn)
{
	real_mark_page_dirty_in_slot(kvm, slot, gfn);
	emit(EV_MARK, gfn, 0, 0, 0, FRAME);
}

void mark_page_accessed(void *page) { emit(EV_ACCESSED, pfn_of(page), 0, 0, 0, FRAME); }
void set_page_dirty(void *page) { emit(EV_DIRTY, pfn_of(page), 0, 0, 0, FRAME); }

static int is_device(unsigned long pfn)
{
	for (unsigned int i = 0; i < shim_control->ndevice; i++)
		if (pfn - shim_control->device[i].pfn < shim_control->device[i].pages)
			return 1;
	return 0;
}
int pfn_is_map_memory(unsigned long pfn) { return !is_device(pfn); }
int pfn_valid(unsigned long pfn) { return !is_device(pfn); }

/* ---- small memory ---- */

static void *small(unsigned long n, int kind, void **frame)
{
	if (in_cache)
		return calloc(1, n ? n : 1);
	if (fails(&shim_control->fail_small)) {
		emit(kind, n, 0, 0, 0, frame);
		return 0;
	}
	void *p = calloc(1, n ? n : 1);
	emit(kind, n, 1, 0, 0, frame);
	return p;
}
static void given_back(const void *p, int kind, void **frame)
{
	if (!p)
		return;
	if (!in_cache)
		emit(kind, 0, 0, 0, 0, frame);
	free((void *)p);
}
#define SMALL(name, sig, n) void *name sig { return small(n, EV_KZALLOC, FRAME); }
SMALL(__kmalloc, (unsigned long n, unsigned g), n)
SMALL(__kmalloc_noprof, (unsigned long n, unsigned g), n)
SMALL(kvmalloc_node, (unsigned long n, unsigned g, int node), n)
SMALL(__kvmalloc_node_noprof, (unsigned long n, unsigned g, int node), n)
SMALL(__vcalloc, (unsigned long n, unsigned long s, unsigned g), n * s)
SMALL(__vcalloc_noprof, (unsigned long n, unsigned long s, unsigned g), n * s)
SMALL(kmem_cache_alloc_trace, (void *s, unsigned g, unsigned long n), n)
SMALL(kmalloc_trace, (void *s, unsigned g, unsigned long n), n)
SMALL(__kmalloc_cache_noprof, (void *s, unsigned g, unsigned long n), n)
/* The size is that of the cache, which is unknown here: more than any that is in use. */
SMALL(kmem_cache_alloc, (void *s, unsigned g), 131072)
SMALL(kmem_cache_alloc_noprof, (void *s, unsigned g), 131072)
void *__alloc_percpu(unsigned long n, unsigned long al) { return small(n * 64, EV_PERCPU, FRAME); }
void *pcpu_alloc_noprof(unsigned long n, unsigned long al, int r, unsigned g) { return small(n * 64, EV_PERCPU, FRAME); }
void kfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void kvfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void vfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void free_percpu(void *p) { given_back(p, EV_PERCPU_FREE, FRAME); }
void *shim_zalloc(unsigned long n) { return calloc(1, n); }
void shim_free(void *p) { free(p); }

/* ---- locks ---- */

static struct lock { const void *p; int readers, writer, kind, vm; } locks[256];
static int nlocks;
static struct lock *lock_at(const void *p)
{
	for (int i = 0; i < nlocks; i++)
		if (locks[i].p == p) {
			if (!locks[i].readers && !locks[i].writer)
				locks[i].kind = shim_lock_kind_of(p, &locks[i].vm);
			return &locks[i];
		}
	if (nlocks == 256)
		nlocks = 0;
	locks[nlocks] = (struct lock){ .p = p, .vm = -1 };
	locks[nlocks].kind = shim_lock_kind_of(p, &locks[nlocks].vm);
	return &locks[nlocks++];
}

static void lock(const void *p, int write, void **frame)
{
	struct lock *l = lock_at(p);

	/* There is one actor: what is taken twice would wait for ever. The driver says so, and the code goes on. */
	if (write)
		l->writer++;
	else
		l->readers++;
	emit(EV_LOCK, l->kind, l->vm, write, 0, frame);
}

static void unlock(const void *p, int write, void **frame)
{
	struct lock *l = lock_at(p);

	if (write && l->writer)
		l->writer--;
	else if (!write && l->readers)
		l->readers--;
	emit(EV_UNLOCK, l->kind, l->vm, write, 0, frame);
}

int shim_lock_held(const volatile void *p)
{
	struct lock *l = lock_at((const void *)p);

	return l->writer ? 2 : !!l->readers;
}

void shim_forget_locks(void)
{
	for (int i = 0; i < nlocks; i++)
		locks[i].readers = locks[i].writer = 0;
}

/* The word too: assert_spin_locked() looks at it. */
void _raw_spin_lock(void *p) { lock(p, 1, FRAME); *(int *)p = 1; }
void _raw_spin_unlock(void *p) { *(int *)p = 0; unlock(p, 1, FRAME); }
#define LOCK(name, w) void name(void *p) { lock(p, w, FRAME); }
#define UNLOCK(name, w) void name(void *p) { unlock(p, w, FRAME); }
LOCK(_raw_write_lock, 1) UNLOCK(_raw_write_unlock, 1)
LOCK(_raw_read_lock, 0) UNLOCK(_raw_read_unlock, 0)
LOCK(mutex_lock, 1) UNLOCK(mutex_unlock, 1)
LOCK(down_read, 0) UNLOCK(up_read, 0)
LOCK(down_write, 1) UNLOCK(up_write, 1)
int mutex_lock_killable(void *p) { lock(p, 1, FRAME); return 0; }
int _raw_read_trylock(void *p) { lock(p, 0, FRAME); return 1; }
int __srcu_read_lock(void *p) { lock(p, 0, FRAME); return 0; }
void __srcu_read_unlock(void *p, int i) { unlock(p, 0, FRAME); }
void synchronize_srcu_expedited(void *p) { CALL(EV_CALL, 0, 0, 0, "synchronize_srcu"); }
ALIAS(synchronize_srcu, synchronize_srcu_expedited)
static int resched(void *p, void **frame)
{
	int vm = -1;

	shim_lock_kind_of(p, &vm);
	emit(EV_RESCHED, vm, 0, 0, 0, frame);
	return 0;
}
int __cond_resched_rwlock_write(void *p) { return resched(p, FRAME); }
int __cond_resched_rwlock_read(void *p) { return resched(p, FRAME); }
int __cond_resched_lock(void *p) { return resched(p, FRAME); }

/* ---- RCU: a grace period ends when it is asked for and no reader is inside ---- */

static int rcu_depth;
static struct { void (*f)(void *); void *head; } rcuq[1 << 14];
static unsigned int nrcu, rcu_done;
void __rcu_read_lock(void) { emit(EV_RCU_LOCK, ++rcu_depth, 0, 0, 0, FRAME); }
void __rcu_read_unlock(void) { emit(EV_RCU_UNLOCK, --rcu_depth, 0, 0, 0, FRAME); }
void call_rcu(void *head, void (*f)(void *))
{
	if (nrcu == sizeof(rcuq) / sizeof(*rcuq)) {
		shim_refuse("more RCU callbacks than the queue holds");
		return;
	}
	rcuq[nrcu].f = f;
	rcuq[nrcu].head = head;
	emit(EV_RCU_CALL, nrcu++, 0, 0, 0, FRAME);
}

int shim_grace_period(void)
{
	int ran = 0;

	if (rcu_depth)
		return -1;
	for (; rcu_done < nrcu; ran++) {
		unsigned int i = rcu_done++;

		emit(EV_RCU_RUN, i, 0, 0, 0, FRAME);
		rcuq[i].f(rcuq[i].head);
	}
	nrcu = rcu_done = 0;
	return ran;
}

/* ---- TLB, caches ---- */

void __kvm_tlb_flush_vmid_ipa(void *mmu, unsigned long ipa, int level) { CALL(EV_TLBI_IPA, shim_vm_of_mmu(mmu), ipa, level, 0); }
void __kvm_tlb_flush_vmid_ipa_nsh(void *mmu, unsigned long ipa, int level) { CALL(EV_TLBI_IPA_LOCAL, shim_vm_of_mmu(mmu), ipa, level, 0); }
void __kvm_tlb_flush_vmid_range(void *mmu, unsigned long ipa, unsigned long pages) { CALL(EV_TLBI_RANGE, shim_vm_of_mmu(mmu), ipa, pages, 0); }
void __kvm_tlb_flush_vmid(void *mmu) { CALL(EV_TLBI_VMID, shim_vm_of_mmu(mmu), 0, 0, 0); }
void dcache_clean_inval_poc(unsigned long s, unsigned long e) { CALL(EV_DCACHE, pa_of((void *)s), e - s, 0, 0); }
void __flush_dcache_area(void *p, unsigned long n) { CALL(EV_DCACHE, pa_of(p), n, 0, 0); }
void icache_inval_pou(unsigned long s, unsigned long e) { CALL(EV_ICACHE, pa_of((void *)s), e - s, 0, 0); }
int invalidate_icache_range(unsigned long s, unsigned long e) { CALL(EV_ICACHE, pa_of((void *)s), e - s, 0, 0); return 0; }

/* ---- exits ---- */

int io_mem_abort(void *v, unsigned long ipa) { CALL(EV_IO, ipa, 0, 0, 0); return 1; }
#define INJECT(name, what) long name(void *v, unsigned long a) { CALL(EV_INJECT, a, 0, 0, what); return 1; }
INJECT(kvm_inject_dabt, "dabt")
INJECT(kvm_inject_pabt, "pabt")
INJECT(kvm_inject_vabt, "vabt")
INJECT(kvm_inject_size_fault, "dabt")
int kvm_inject_sea(void *v, int iabt, unsigned long a) { CALL(EV_INJECT, a, 0, 0, iabt & 0xff ? "pabt" : "dabt"); return 1; }
int kvm_inject_serror_esr(void *v, unsigned long esr) { CALL(EV_INJECT, 0, 0, 0, "vabt"); return 1; }
int send_sig_mceerr(int code, void *addr, short lsb, void *task) { CALL(EV_SIGBUS, addr, lsb, 0, 0); return 0; }

/* ---- the rest: types differ between trees, the machine code does not ---- */

unsigned long kvm_get_pa_bits(void *kvm) { return 48; }
unsigned long get_kvm_ipa_limit(void) { return 48; }
unsigned long vcpu_read_sys_reg(const void *vcpu, int reg) { return shim_cache_enabled(vcpu) ? 5 : 0; }
void shim_cpu_relax(void) { }
void shim_write_sysreg(const char *name, unsigned long v) { CALL(EV_CALL, v, 0, 0, name); }
unsigned long shim_read_sysreg(const char *name) { return strcmp(name, "CurrentEL") ? 0 : 8; /* EL2: VHE */ }
long shim_unmodelled(const char *name, void *ret) { shim_emit(EV_UNMODELLED, 0, 0, 0, name, 0, 0, ret); return 0; }
int kvm_use_dirty_bitmap(void *kvm) { return 1; }
int kvm_arch_allow_write_without_running_vcpu(void *kvm) { return 1; }
void __init_waitqueue_head(void *a) { }
int is_transparent_hugepage(void *page) { return 1; }	/* asked of compound pages only; hugetlb is refused before */
extern void kvm_flush_remote_tlbs(void *kvm);
void kvm_arch_flush_remote_tlbs_memslot(void *kvm, void *slot) { kvm_flush_remote_tlbs(kvm); }	/* arm.c until 6.5 */
unsigned long _copy_to_user(void *to, const void *from, unsigned long n) { memcpy(to, from, n); return 0; }
unsigned long _copy_from_user(void *to, const void *from, unsigned long n) { memcpy(to, from, n); return 0; }
void schedule(void) { CALL(EV_CALL, 0, 0, 0, "schedule"); }
void shim_die(void) { shim_crash("BUG()", FRAME, RET); }

/* ---- direct calls of pgtable.c, by what the tree has; arguments that it does not take do no harm ---- */

#define PGT(name) extern long kvm_pgtable_stage2_##name(void *, shim_u64, shim_u64, shim_u64, shim_u64, void *, shim_u64) WEAK;
PGT(map) PGT(unmap) PGT(wrprotect) PGT(mkyoung) PGT(mkold) PGT(is_young) PGT(relax_perms) PGT(flush) PGT(test_clear_young)
long shim_table_call(enum shim_table_op op, void *pgt, shim_u64 addr, shim_u64 size, shim_u64 phys, shim_u64 prot, void *mc)
{
	shim_u64 page = 1UL << shim_page_shift;

	switch (op) {
	case T_MAP: return (int)kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc, 0);
	case T_UNMAP: return (int)kvm_pgtable_stage2_unmap(pgt, addr, size, 0, 0, 0, 0);
	case T_WRPROTECT: return (int)kvm_pgtable_stage2_wrprotect(pgt, addr, size, 0, 0, 0, 0);
	case T_MKYOUNG: kvm_pgtable_stage2_mkyoung(pgt, addr, 0, 0, 0, 0, 0); return 0;
	case T_RELAX: return (int)kvm_pgtable_stage2_relax_perms(pgt, addr, prot, 0, 0, 0, 0);
	case T_FLUSH: return (int)kvm_pgtable_stage2_flush(pgt, addr, size, 0, 0, 0, 0);
	case T_MKOLD:
		if (kvm_pgtable_stage2_mkold) {
			shim_u64 pte = kvm_pgtable_stage2_mkold(pgt, addr, 0, 0, 0, 0, 0);

			return pte & 1 && pte >> 10 & 1;
		}
		return kvm_pgtable_stage2_test_clear_young(pgt, addr, page, 1, 0, 0, 0) & 0xff;
	case T_IS_YOUNG:
		if (kvm_pgtable_stage2_is_young)
			return kvm_pgtable_stage2_is_young(pgt, addr, 0, 0, 0, 0, 0) & 0xff;
		return kvm_pgtable_stage2_test_clear_young(pgt, addr, page, 0, 0, 0, 0) & 0xff;
	}
	return -22;
}

/* ---- plain loads and stores: gcc -fsanitize=thread on the kernel's files, with these in place of its runtime ---- */

static struct { unsigned long start, end; int vm, slot; unsigned long gfn; } bitmaps[64];
static int nbitmap;
static unsigned long watch_low = -1UL, watch_high;

void shim_watch(const void *p, enum shim_watch what, int vm)
{
	if (nwatch == sizeof(watches) / sizeof(*watches))
		return;
	watches[nwatch].p = p;
	watches[nwatch].what = what;
	watches[nwatch].dirty = 0;
	watches[nwatch++].vm = vm;
	if ((unsigned long)p < watch_low)
		watch_low = (unsigned long)p;
	if ((unsigned long)p > watch_high)
		watch_high = (unsigned long)p;
}

void shim_watch_bitmap(const void *p, unsigned long bytes, int vm, int slot, unsigned long gfn)
{
	if (nbitmap < 64) {
		bitmaps[nbitmap].start = (unsigned long)p;
		bitmaps[nbitmap].end = (unsigned long)p + bytes;
		bitmaps[nbitmap].vm = vm;
		bitmaps[nbitmap].slot = slot;
		bitmaps[nbitmap++].gfn = gfn;
	} else
		shim_refuse("more dirty bitmaps than are watched");
}

void shim_forget_bitmaps(int vm)
{
	int left = 0;

	for (int i = 0; i < nbitmap; i++)
		if (bitmaps[i].vm != vm)
			bitmaps[left++] = bitmaps[i];
	nbitmap = left;
}

extern int shim_notifying;	/* glue.c: a notifier runs, which reads and writes the sequence itself */

static void touched(const void *p, int write, void **frame)
{
	for (int i = 0; i < nwatch; i++) {
		if (watches[i].p != p)
			continue;
		if (write) {
			watches[i].dirty = any_dirty = 1;
		} else if (!shim_notifying && !any_dirty) {
			if (watches[i].what == WATCH_SEQ)
				emit(EV_SEQ_READ, watches[i].vm, *(const shim_u64 *)p, 0, 0, frame);
			else if (watches[i].what == WATCH_COUNT)
				emit(EV_COUNT_READ, watches[i].vm, *(const shim_u64 *)p, 0, 0, frame);
		}
	}
}

static inline __attribute__((always_inline)) void plain(const void *p, int write)
{
	if (SHIM_IN_ARENA(p)) {
		if (!noting)
			return;
		if (plain_at)
			settle();
		if (write)
			plain_at = (volatile shim_u64 *)((unsigned long)p & ~7UL);
		else
			read_entry(p);
	} else if ((unsigned long)p - watch_low <= watch_high - watch_low && noting) {
		touched(p, write, FRAME);
	}
}
#define TSAN(n) \
	void __tsan_read##n(void *p) { plain(p, 0); } void __tsan_write##n(void *p) { plain(p, 1); } \
	void __tsan_unaligned_read##n(void *p) { plain(p, 0); } void __tsan_unaligned_write##n(void *p) { plain(p, 1); } \
	void __tsan_volatile_read##n(void *p) { if (!SHIM_IN_ARENA(p)) plain(p, 0); } \
	void __tsan_volatile_write##n(void *p) { if (!SHIM_IN_ARENA(p)) plain(p, 1); }
TSAN(1) TSAN(2) TSAN(4) TSAN(8) TSAN(16)
void __tsan_init(void) { }
void __tsan_func_entry(void *p) { }
void __tsan_func_exit(void) { }
void __tsan_read_range(void *p, long n) { }
void __tsan_write_range(void *p, long n)
{
	if (SHIM_IN_ARENA(p) && noting && plain_at)
		settle();
}

/* Atomics that are not macros of ours: dirty bits of pages, words of dirty bitmaps. */
static void atomic_or(const void *p, unsigned long bits, void **frame)
{
	unsigned long o = (unsigned long)p - shim_vmemmap;

	if (o < vmemmap_size && o % shim_sizeof_page == shim_page_flags && bits >> shim_pg_dirty & 1)
		emit(EV_DIRTY, o / shim_sizeof_page, 0, 0, 0, frame);
}

static void atomic_taken(const void *p, unsigned long bits, void **frame)
{
	for (int i = 0; bits && i < nbitmap; i++)
		if ((unsigned long)p - bitmaps[i].start < bitmaps[i].end - bitmaps[i].start)
			emit(EV_LOG_TAKEN, (shim_u64)bitmaps[i].vm << 32 | bitmaps[i].slot,
			     bitmaps[i].gfn + ((unsigned long)p - bitmaps[i].start) * 8, bits, 0, frame);
}
#define ATOMICS(b, t) \
t __tsan_atomic##b##_load(const t *p, int m) { return *p; } \
void __tsan_atomic##b##_store(t *p, t v, int m) { *p = v; } \
t __tsan_atomic##b##_exchange(t *p, t v, int m) \
{ t old = __atomic_exchange_n(p, v, 5); atomic_taken(p, old & ~v, FRAME); return old; } \
t __tsan_atomic##b##_fetch_add(t *p, t v, int m) { return __atomic_fetch_add(p, v, 5); } \
t __tsan_atomic##b##_fetch_sub(t *p, t v, int m) { return __atomic_fetch_sub(p, v, 5); } \
t __tsan_atomic##b##_fetch_and(t *p, t v, int m) \
{ t old = __atomic_fetch_and(p, v, 5); atomic_taken(p, old & ~v, FRAME); return old; } \
t __tsan_atomic##b##_fetch_or(t *p, t v, int m) { t old = __atomic_fetch_or(p, v, 5); atomic_or(p, v, FRAME); return old; } \
t __tsan_atomic##b##_fetch_xor(t *p, t v, int m) { return __atomic_fetch_xor(p, v, 5); } \
int __tsan_atomic##b##_compare_exchange_strong(t *p, t *e, t v, int a, int c) { return __atomic_compare_exchange_n(p, e, v, 0, 5, 5); }
ATOMICS(8, unsigned char) ATOMICS(16, unsigned short) ATOMICS(32, unsigned int) ATOMICS(64, unsigned long)

/* ---- start ---- */

void shim_memory(void)
{
	size_t n = (size_t)(ARENA_PAGES + HOST_PAGES) << shim_page_shift, huge = 2UL << 20;
	int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *m = mmap(0, n + huge, prot, flags, -1, 0);

	vmemmap_size = ((SHIM_PA_BASE + n) >> shim_page_shift) * shim_sizeof_page;
	shim_vmemmap = (unsigned long)mmap(0, vmemmap_size, prot, flags, -1, 0);
	shadow = mmap(0, (size_t)ARENA_PAGES << shim_page_shift, prot, flags, -1, 0);
	counts = mmap(0, ARENA_PAGES * sizeof(int), prot, flags, -1, 0);
	if (m == MAP_FAILED || (void *)shim_vmemmap == MAP_FAILED || shadow == MAP_FAILED || counts == MAP_FAILED) {
		fprintf(stderr, "s2fuzz: no address space for table memory\n");
		exit(4);
	}
	shim_arena_start = ((unsigned long)m + huge - 1) & ~(huge - 1);
	shim_arena_size = (size_t)ARENA_PAGES << shim_page_shift;
	shim_va_off = shim_arena_start - SHIM_PA_BASE;
}
