// SPDX-License-Identifier: GPL-2.0-only
/* Wrappers that record calls of the tree's own memory caches; small memory. */
#include "rt.h"

extern int real_kvm_mmu_memory_cache_nr_free_objects(void *mc);
extern int real_kvm_mmu_topup_memory_cache(void *, int) WEAK;
extern int real___kvm_mmu_topup_memory_cache(void *, int, int) WEAK;
extern void *real_kvm_mmu_memory_cache_alloc(void *) WEAK;
extern void real_kvm_mmu_free_memory_cache(void *) WEAK;

static int topped_up(void *mc, int min, int had, int ret, void **frame)
{
	shim_u64 has = real_kvm_mmu_memory_cache_nr_free_objects(mc);

	rt_in_cache--;
	shim_control->left.topup = had < min ? -1 : shim_control->left.topup;
	rt_emit(EV_TOPUP, min, had, has | (shim_u64)(ret != 0) << 32, 0, frame);
	return ret;
}

int kvm_mmu_topup_memory_cache(void *mc, int min)
{
	int had = real_kvm_mmu_memory_cache_nr_free_objects(mc), failing = rt_counting_failures, ret;

	rt_must_be_able_to_sleep("kvm_mmu_topup_memory_cache", FRAME);
	rt_in_cache++;
	rt_counting_failures = 1;
	ret = real_kvm_mmu_topup_memory_cache(mc, min);
	rt_counting_failures = failing;
	return topped_up(mc, min, had, ret, FRAME);
}

int __kvm_mmu_topup_memory_cache(void *mc, int capacity, int min)
{
	int had = real_kvm_mmu_memory_cache_nr_free_objects(mc), failing = rt_counting_failures, ret;

	rt_must_be_able_to_sleep("kvm_mmu_topup_memory_cache", FRAME);
	rt_in_cache++;
	rt_counting_failures = 1;
	ret = real___kvm_mmu_topup_memory_cache(mc, capacity, min);
	rt_counting_failures = failing;
	return topped_up(mc, min, had, ret, FRAME);
}

void *kvm_mmu_memory_cache_alloc(void *mc)
{
	int dry = !real_kvm_mmu_memory_cache_nr_free_objects(mc);
	void *object, *va;

	RT_LOADED();
	rt_in_cache++;
	object = real_kvm_mmu_memory_cache_alloc(mc);
	rt_in_cache--;
	rt_emit(EV_MC_POP, real_kvm_mmu_memory_cache_nr_free_objects(mc), dry, 0, 0, FRAME);
	if (!object)
		return 0;
	va = rt_take(1, 1, EV_ALLOC, 0, 0, FRAME);
	if (va && !rt_is_zero(object)) {
		/* Copy the object, which the tree may have asked to be zeroed or not; a new page is zero. */
		memcpy(va, object, 1UL << RT_PAGE_SHIFT);
		rt_record_contents(va, FRAME);
	}
	rt_stock_free(object);
	return va;
}

int kvm_mmu_memory_cache_nr_free_objects(void *mc)
{
	int has = real_kvm_mmu_memory_cache_nr_free_objects(mc);

	rt_emit(EV_MC_COUNT, has, 0, 0, 0, FRAME);
	return has;
}

void kvm_mmu_free_memory_cache(void *mc)
{
	int had = real_kvm_mmu_memory_cache_nr_free_objects(mc);

	rt_in_cache++;
	real_kvm_mmu_free_memory_cache(mc);
	rt_in_cache--;
	rt_emit(EV_MC_FREE, had, 0, 0, 0, FRAME);
}

/* ---- small memory ---- */

/* This size cannot be allocated. It stands for all sizes that are too large for a word, as in the kernel. */
#define TOO_LARGE	(~0UL)

static unsigned long product(unsigned long a, unsigned long b)
{
	unsigned long bytes;

	return __builtin_mul_overflow(a, b, &bytes) ? TOO_LARGE : bytes;
}

/* Allocate an object, with contents that show if it is used before it was written, unless zeroed memory was requested. */
static void *object_of(unsigned long n, int zero)
{
	char *p = rt_object(n);

	if (!zero)
		memset(p, (unsigned char)RT_UNWRITTEN_WORD, n);
	return p;
}

static unsigned long numbered;		/* the last number of an object */

static void *small(unsigned long n, unsigned gfp, int kind, void **frame)
{
	const int zero = (gfp & shim_gfp_zero) != 0, sleeps = (gfp & shim_gfp_sleeps) != 0;

	if (rt_in_cache)
		return n == TOO_LARGE ? 0 : object_of(n, zero);
	if (sleeps)
		rt_must_be_able_to_sleep("an allocation", frame);
	if (n == TOO_LARGE || rt_fails(&shim_control->left.small)) {
		rt_emit(kind, n, 0, !sleeps, 0, frame);
		return 0;
	}
	void *p = object_of(n, zero);
	if (rt_recording)
		*rt_object_number(p) = ++numbered;
	rt_emit(kind, n, *rt_object_number(p), !sleeps, 0, frame);
	return p;
}
/* The flags of an allocation of zeroes that may sleep. */
#define ZEROES	(shim_gfp_zero | shim_gfp_sleeps)
static int skips_untold;		/* objects freed now may have been allocated without records */
void shim_free_untold(int on) { skips_untold = on; }

static void record_release(const void *p, int kind, void **frame)
{
	unsigned long number = (unsigned long)p - rt_small_start < RT_SMALL_BYTES ? *rt_object_number(p) : 0;

	if (!rt_in_cache && (number || !skips_untold))
		rt_emit(kind, number, 0, 0, 0, frame);
}

static void given_back(const void *p, int kind, void **frame)
{
	if (!p)
		return;
	record_release(p, kind, frame);
	rt_object_free(p, frame);
}
/* Free an object in an RCU callback: its release was recorded when the callback was queued, as the caller's. */
void rt_told_free(const void *p, void **frame) { record_release(p, EV_KFREE, frame); }
void rt_free_later(void *p) { rt_object_free(p, FRAME); }

#define ZEROED(name, sig, n) void *name sig { return small(n, ZEROES, EV_KZALLOC, FRAME); }
#define SMALL(name, sig, n) void *name sig { return small(n, g, EV_KZALLOC, FRAME); }
SMALL(__kmalloc, (unsigned long n, unsigned g), n)
SMALL(__kmalloc_noprof, (unsigned long n, unsigned g), n)
SMALL(kvmalloc_node, (unsigned long n, unsigned g, int node), n)
void *__kvmalloc_node_noprof(unsigned long n, unsigned long flags_or_align, unsigned long node_or_flags, int node)
{
	unsigned long g = shim_kvmalloc_aligns ? node_or_flags : flags_or_align;

	return small(n, g, EV_KZALLOC, FRAME);
}
SMALL(__vcalloc, (unsigned long n, unsigned long s, unsigned g), product(n, s))
SMALL(__vcalloc_noprof, (unsigned long n, unsigned long s, unsigned g), product(n, s))
SMALL(kmem_cache_alloc_trace, (void *s, unsigned g, unsigned long n), n)
SMALL(kmalloc_trace, (void *s, unsigned g, unsigned long n), n)
SMALL(__kmalloc_cache_noprof, (void *s, unsigned g, unsigned long n), n)

/* A cache of objects of one size, made by kernel code. */
static const char is_cache;
struct cache {
	const char *mark;	/* &is_cache */
	unsigned long bytes;
	void (*construct)(void *object);
};

void *shim_new_cache(unsigned long bytes, void (*construct)(void *object))
{
	struct cache *s = rt_object(sizeof(*s));

	rt_may_sleep("kmem_cache_create", FRAME);
	*s = (struct cache){ &is_cache, bytes, construct };
	return s;
}
void *kmem_cache_create(const char *name, unsigned n, unsigned align, unsigned long flags, void (*construct)(void *))
{
	return shim_new_cache(n, construct);
}
void *kmem_cache_create_usercopy(const char *name, unsigned n, unsigned align, unsigned long flags, unsigned offset,
				 unsigned size, void (*construct)(void *))
{
	return shim_new_cache(n, construct);
}
void kmem_cache_destroy(void *s)
{
	if (!s)
		return;
	rt_may_sleep("kmem_cache_destroy", FRAME);
	rt_object_free(s, FRAME);
}
void kmem_cache_free(void *s, void *p) { given_back(p, EV_KFREE, FRAME); }

/* The size of a cache that kernel code has not made is not known here; use more than any needs. */
#define ANY_CACHE	131072
static void *from_cache(struct cache *s, unsigned g, void **frame)
{
	int known = (unsigned long)s - rt_small_start < RT_SMALL_BYTES && s->mark == &is_cache;
	void *p = small(known ? s->bytes : ANY_CACHE, g, EV_KZALLOC, frame);

	if (p && known && s->construct)
		s->construct(p);
	return p;
}
void *kmem_cache_alloc(void *s, unsigned g) { return from_cache(s, g, FRAME); }
void *kmem_cache_alloc_noprof(void *s, unsigned g) { return from_cache(s, g, FRAME); }

ZEROED(vzalloc, (unsigned long n), n)
ZEROED(vzalloc_noprof, (unsigned long n), n)
void *__alloc_percpu(unsigned long n, unsigned long al) { return small(product(n, 64), ZEROES, EV_PERCPU, FRAME); }
void *pcpu_alloc_noprof(unsigned long n, unsigned long al, int r, unsigned g)
{
	return small(product(n, 64), ZEROES, EV_PERCPU, FRAME);
}
void kfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void kvfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void vfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void free_percpu(void *p) { given_back(p, EV_PERCPU_FREE, FRAME); }
void *shim_zalloc(unsigned long n) { return rt_object(n); }
void shim_free(void *p) { if (p) rt_object_free(p, FRAME); }
