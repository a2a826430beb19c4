// SPDX-License-Identifier: GPL-2.0-only
/* Plain loads and stores: the kernel's files are built with gcc -fsanitize=thread, and this file replaces its runtime. */
#include <stdint.h>
#include "rt.h"

static struct { unsigned long start, end; int vm, slot; unsigned long gfn; } bitmaps[64];
static int nbitmap;
static unsigned long bitmaps_low, bitmaps_high;	/* bounds of all bitmaps */

static void set_bounds(void)
{
	bitmaps_low = nbitmap ? -1UL : 0;
	bitmaps_high = 0;
	for (int i = 0; i < nbitmap; i++) {
		if (bitmaps[i].start < bitmaps_low)
			bitmaps_low = bitmaps[i].start;
		if (bitmaps[i].end > bitmaps_high)
			bitmaps_high = bitmaps[i].end;
	}
}

void shim_watch_bitmap(const void *p, unsigned long bytes, int vm, int slot, unsigned long gfn)
{
	if (nbitmap < 64) {
		bitmaps[nbitmap].start = (unsigned long)p;
		bitmaps[nbitmap].end = (unsigned long)p + bytes;
		bitmaps[nbitmap].vm = vm;
		bitmaps[nbitmap].slot = slot;
		bitmaps[nbitmap++].gfn = gfn;
		set_bounds();
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
	set_bounds();
}

#define IN_BITMAPS(p) ((unsigned long)(p) - bitmaps_low < bitmaps_high - bitmaps_low)

/* Record a store of *n* bytes that is not atomic, if it is to the dirty bitmap of a slot. */
void rt_bitmap_stored(const void *p, unsigned long n, void **frame)
{
	unsigned long first = (unsigned long)p, last = first + n;

	if (!rt_recording || last <= bitmaps_low || first >= bitmaps_high)
		return;
	for (int i = 0; i < nbitmap; i++) {
		unsigned long from = first > bitmaps[i].start ? first : bitmaps[i].start;
		unsigned long to = last < bitmaps[i].end ? last : bitmaps[i].end;

		if (from < to)
			rt_emit(EV_LOG_STORED, (shim_u64)bitmaps[i].vm << 32 | bitmaps[i].slot,
				bitmaps[i].gfn + (from - bitmaps[i].start) * 8, (to - from) * 8, 0, frame);
	}
}

/* The largest access that is not a range; its size is not known where it is recorded. */
#define WIDEST	16

static void __attribute__((noinline)) plain_slow(const void *p, int write)
{
	if (write && SHIM_IN_VMEMMAP(p))
		rt_writes_struct_pages(p, WIDEST);
	if (!rt_recording)
		return;
	/* The size is not known here; all bits of the word are at risk anyway. */
	if (write && IN_BITMAPS(p))
		rt_bitmap_stored((void *)((unsigned long)p & ~7UL), 8, FRAME);
	if (SHIM_IN_VMEMMAP(p)) {
		rt_use_struct_page(p, write, FRAME);
		return;
	}
	RT_LOADED();
	if (SHIM_IN_ARENA(p)) {
		if (rt_plain_at)
			rt_settle();
		if (write) {
			rt_touch(p, 1);
			rt_plain_at = (volatile shim_u64 *)((unsigned long)p & ~7UL);
		} else {
			rt_read_entry(p);
			if (__builtin_expect(rt_actor >= 0, 0))
				rt_will_load(p, FRAME);
		}
	} else if (!rt_in_vma(p, write, FRAME)) {
		rt_touched(p, write, FRAME);
	}
}

/*
 * Kernel code calls these functions at each load and store; about one in a hundred is recorded. So they set up no frame, and
 * reach the slow path by a jump: the caller of the slow path is the kernel code.
 */
#define QUICK __attribute__((optimize("omit-frame-pointer", "optimize-sibling-calls")))
/* Most accesses are to the callers' stack frames. hooks.h has the same test before the call. */
#define ON_STACK(p) ({ register unsigned long __top __asm__("rsp"); (unsigned long)(p) - __top < SHIM_NEAR; })
/* A watched word, or a struct page. */
#define WATCHED(p) ((unsigned long)(p) - rt_watch_low <= rt_watch_high - rt_watch_low || SHIM_IN_VMEMMAP(p))
/* Whether a read of a table needs the slow path: it reads another page, or a store before it is not recorded yet. */
#define TELLS(p) (!SHIM_READS_ON(p) || rt_plain_at)
/* An access to an entry; a read is counted. */
#define ENTRY(p, write, tells) ({ if (!(write)) shim_visit(p); (write) || (tells); })
#ifdef SHIM_SANITIZE
#define HEARD(name, n, write, tell) \
	void __tsan_##name##n(void *p) { rt_check(p, n, write, FRAME); if (tell) plain_slow(p, write); }
#define TSAN(n) \
	HEARD(read, n, 0, SHIM_IN_ARENA(p) ? ENTRY(p, 0, 1) : WATCHED(p)) HEARD(write, n, 1, SHIM_IN_ARENA(p) || WATCHED(p) || IN_BITMAPS(p)) \
	HEARD(unaligned_read, n, 0, SHIM_IN_ARENA(p) ? ENTRY(p, 0, 1) : WATCHED(p)) \
	HEARD(unaligned_write, n, 1, SHIM_IN_ARENA(p) || WATCHED(p) || IN_BITMAPS(p)) \
	HEARD(volatile_read, n, 0, WATCHED(p) && !SHIM_IN_ARENA(p)) \
	HEARD(volatile_write, n, 1, (WATCHED(p) && !SHIM_IN_ARENA(p)) || IN_BITMAPS(p))
#else
/* As rt_in_small(), which is not inlined here, because its flags of optimisation differ. */
#define IN_SMALL(p) ((unsigned long)(p) - rt_small_start < RT_SMALL_BYTES)
/*
 * The memory that is about to be read was freed: its contents are undefined, so the call ends. The compiler must not know that the
 * function does not return: it would not jump to it then, and the kernel function would be missing in the chain.
 */
#define FREED(n, bits) \
	static void __attribute__((noipa)) freed##n(void) \
	{ shim_crash("use after free of an object, read of " #n " bytes,", FRAME, 0); } \
	QUICK static inline int is_freed##n(const void *p) \
	{ \
		return IN_SMALL(p) && *(const volatile uint##bits##_t *)p == (uint##bits##_t)RT_FREED_WORD; \
	}
FREED(4, 32) FREED(8, 64)
/* Smaller reads cannot be told from valid data. */
#define NEVER_FREED(n) \
	static inline void freed##n(void) { } \
	QUICK static inline int is_freed##n(const void *p) { return 0; }
NEVER_FREED(1) NEVER_FREED(2) NEVER_FREED(16)
#define PLAIN(name, n, write) \
	QUICK void name(void *p) \
	{ \
		if (ON_STACK(p)) \
			return; \
		if (!(write) && is_freed##n(p)) \
			freed##n(); \
		else if (SHIM_IN_ARENA(p) ? ENTRY(p, write, TELLS(p)) : WATCHED(p) || ((write) && IN_BITMAPS(p))) \
			plain_slow(p, write); \
	}
#define VOLATILE(name, n, write) \
	QUICK void name(void *p) \
	{ \
		if (!(write) && is_freed##n(p)) \
			freed##n(); \
		else if ((WATCHED(p) && !SHIM_IN_ARENA(p)) || ((write) && IN_BITMAPS(p))) \
			plain_slow(p, write); \
	}
#define TSAN(n) \
	PLAIN(__tsan_read##n, n, 0) PLAIN(__tsan_write##n, n, 1) \
	PLAIN(__tsan_unaligned_read##n, n, 0) PLAIN(__tsan_unaligned_write##n, n, 1) \
	VOLATILE(__tsan_volatile_read##n, n, 0) VOLATILE(__tsan_volatile_write##n, n, 1)
#endif
TSAN(1) TSAN(2) TSAN(4) TSAN(8) TSAN(16)
void __tsan_init(void) { }
void __tsan_func_entry(void *p) { }
void __tsan_func_exit(void) { }
void __tsan_read_range(void *p, long n)
{
	rt_check(p, n, 0, FRAME);
	if (rt_recording)
		rt_in_vma(p, 0, FRAME);
}
void __tsan_write_range(void *p, long n)
{
	rt_check(p, n, 1, FRAME);
	rt_touch(p, n);
	if (SHIM_IN_VMEMMAP(p))
		rt_writes_struct_pages(p, n);
	if (SHIM_IN_ARENA(p) && rt_recording && rt_plain_at)
		rt_settle();
}

/* Bits of a dirty bitmap were set: a vCPU with a dirty ring logs there instead. */
static void bits_set(const void *p, unsigned long bits, void **frame)
{
	if (!shim_vcpu_has_ring())
		return;
	for (int i = 0; i < nbitmap; i++)
		if ((unsigned long)p - bitmaps[i].start < bitmaps[i].end - bitmaps[i].start)
			rt_emit(EV_LOG_BESIDE, bitmaps[i].vm,
				bitmaps[i].gfn + ((unsigned long)p - bitmaps[i].start) * 8 + __builtin_ctzl(bits), 0, 0, frame);
}

/*
 * Atomics that our headers do not replace: dirty bits of pages, words of dirty bitmaps, and entries that atomic64_t or the
 * functions for bits change.
 */
static void atomic_or(const void *p, unsigned long bits, unsigned long old, void **frame)
{
	unsigned long o = (unsigned long)p - SHIM_VMEMMAP;

	if (IN_BITMAPS(p) && bits & ~old)
		bits_set(p, bits & ~old, frame);

	if (o < rt_vmemmap_size && o % shim_sizeof_page == shim_page_flags && bits >> shim_pg_dirty & 1)
		rt_emit(EV_DIRTY, rt_dirty_pfn + 1 ? rt_dirty_pfn : rt_pfn_of((char *)SHIM_VMEMMAP + o), 0, 0, 0, frame);
}

/* whole: all bits of the word are cleared, whichever were set */
static void atomic_taken(const void *p, unsigned long bits, int whole, void **frame)
{
	for (int i = 0; bits && i < nbitmap; i++)
		if ((unsigned long)p - bitmaps[i].start < bitmaps[i].end - bitmaps[i].start)
			rt_emit(EV_LOG_TAKEN, (shim_u64)bitmaps[i].vm << 32 | (shim_u64)whole << 31 | bitmaps[i].slot,
			     bitmaps[i].gfn + ((unsigned long)p - bitmaps[i].start) * 8, bits, 0, frame);
}
#define PAGE_USED(write) do { if (SHIM_IN_VMEMMAP(p)) rt_use_struct_page(p, write, FRAME); } while (0)
#define PAGE_WRITTEN do { if (SHIM_IN_VMEMMAP(p)) rt_writes_struct_pages((const void *)p, sizeof(*p)); } while (0)
#define HIT	do { PAGE_WRITTEN; PAGE_USED(1); rt_check(p, sizeof(*p), 1, FRAME); if (SHIM_IN_ARENA(p)) rt_touch(p, 1); } while (0)
#define CHANGE_ENTRY(change) do { if (sizeof(*p) == 8 && SHIM_IN_ARENA(p)) return rt_atomic(p, change, v, FRAME); HIT; } while (0)
#define ATOMICS(b, t) \
t __tsan_atomic##b##_load(const t *p, int m) { PAGE_USED(0); rt_check(p, sizeof(*p), 0, FRAME); return *p; } \
void __tsan_atomic##b##_store(t *p, t v, int m) { HIT; *p = v; } \
t __tsan_atomic##b##_exchange(t *p, t v, int m) \
{ CHANGE_ENTRY(ENTRY_SET); t old = __atomic_exchange_n(p, v, 5); atomic_taken(p, old & ~v, 1, FRAME); return old; } \
t __tsan_atomic##b##_fetch_add(t *p, t v, int m) { CHANGE_ENTRY(ENTRY_ADD); return __atomic_fetch_add(p, v, 5); } \
t __tsan_atomic##b##_fetch_sub(t *p, t v, int m) { CHANGE_ENTRY(ENTRY_SUB); return __atomic_fetch_sub(p, v, 5); } \
t __tsan_atomic##b##_fetch_and(t *p, t v, int m) \
{ CHANGE_ENTRY(ENTRY_AND); t old = __atomic_fetch_and(p, v, 5); atomic_taken(p, old & ~v, !v, FRAME); return old; } \
t __tsan_atomic##b##_fetch_or(t *p, t v, int m) \
{ CHANGE_ENTRY(ENTRY_OR); t old = __atomic_fetch_or(p, v, 5); atomic_or(p, v, old, FRAME); return old; } \
t __tsan_atomic##b##_fetch_xor(t *p, t v, int m) { CHANGE_ENTRY(ENTRY_XOR); return __atomic_fetch_xor(p, v, 5); } \
int __tsan_atomic##b##_compare_exchange_strong(t *p, t *e, t v, int a, int c) \
{ \
	if (sizeof(*p) == 8 && SHIM_IN_ARENA(p)) { \
		t wanted = *e; \
\
		*e = rt_cmpxchg(p, wanted, v, FRAME); \
		return *e == wanted; \
	} \
	HIT; \
	return __atomic_compare_exchange_n(p, e, v, 0, 5, 5); \
}
ATOMICS(8, unsigned char) ATOMICS(16, unsigned short) ATOMICS(32, unsigned int) ATOMICS(64, unsigned long)
