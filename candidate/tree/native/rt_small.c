// SPDX-License-Identifier: GPL-2.0-only
/* Small memory: kmalloc() and its like, caches of objects, per-CPU memory. */
#include <stdarg.h>
#include "rt.h"

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

/* An allocation within a model, which makes no record, also fails where the program says so. */
int shim_small_fails(void) { return rt_fails(&shim_control->left.small); }

static void *small_of(unsigned long n, unsigned gfp, int kind, void **frame)
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
	unsigned long number = rt_in_small(p) ? *rt_object_number(p) : 0;

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

/* A function that allocates n bytes with the flags g. */
#define ALLOCATES(name, sig, n, g) void *name sig { return small_of(n, g, EV_KZALLOC, FRAME); }
#define SMALL(name, sig, n) ALLOCATES(name, sig, n, g)
#define ZEROED(name, sig, n) ALLOCATES(name, sig, n, ZEROES)
SMALL(__kmalloc, (unsigned long n, unsigned g), n)
SMALL(__kmalloc_noprof, (unsigned long n, unsigned g), n)
SMALL(kmalloc_large, (unsigned long n, unsigned g), n)
SMALL(__kmalloc_large_noprof, (unsigned long n, unsigned g), n)
SMALL(__kmalloc_node, (unsigned long n, unsigned g, int node), n)
SMALL(__kmalloc_node_noprof, (unsigned long n, unsigned g, int node), n)
SMALL(kmalloc_large_node, (unsigned long n, unsigned g, int node), n)
SMALL(__kmalloc_large_node_noprof, (unsigned long n, unsigned g, int node), n)
SMALL(kvmalloc_node, (unsigned long n, unsigned g, int node), n)
SMALL(__kmalloc_track_caller, (unsigned long n, unsigned g), n)
SMALL(__kmalloc_node_track_caller, (unsigned long n, unsigned g), n)
SMALL(__kmalloc_node_track_caller_noprof, (unsigned long n, unsigned g), n)
SMALL(__vmalloc, (unsigned long n, unsigned g), n)
SMALL(__vmalloc_noprof, (unsigned long n, unsigned g), n)
ALLOCATES(__kvmalloc_node_noprof, (unsigned long n, unsigned long flags_or_align, unsigned long node_or_flags, int node), n,
	  shim_kvmalloc_aligns ? node_or_flags : flags_or_align)
SMALL(kmem_cache_alloc_trace, (void *s, unsigned g, unsigned long n), n)
SMALL(kmalloc_trace, (void *s, unsigned g, unsigned long n), n)
SMALL(__kmalloc_cache_noprof, (void *s, unsigned g, unsigned long n), n)
SMALL(kmem_cache_alloc_node_trace, (void *s, unsigned g, int node, unsigned long n), n)
SMALL(kmalloc_node_trace, (void *s, unsigned g, int node, unsigned long n), n)
SMALL(__kmalloc_cache_node_noprof, (void *s, unsigned g, int node, unsigned long n), n)

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
	int known = rt_in_small(s) && s->mark == &is_cache;
	void *p = small_of(known ? s->bytes : ANY_CACHE, g, EV_KZALLOC, frame);

	if (p && known && s->construct)
		s->construct(p);
	return p;
}
void *kmem_cache_alloc(void *s, unsigned g) { return from_cache(s, g, FRAME); }
ALIAS(kmem_cache_alloc_noprof, kmem_cache_alloc)
void *kmem_cache_alloc_node(void *s, unsigned g, int node) { return from_cache(s, g, FRAME); }
ALIAS(kmem_cache_alloc_node_noprof, kmem_cache_alloc_node)
void *kmem_cache_alloc_lru(void *s, void *lru, unsigned g) { return from_cache(s, g, FRAME); }
ALIAS(kmem_cache_alloc_lru_noprof, kmem_cache_alloc_lru)
/* All objects or none; returns their number, or nothing. */
int kmem_cache_alloc_bulk(void *s, unsigned g, unsigned long n, void **objects)
{
	for (unsigned long i = 0; i < n; i++)
		if (!(objects[i] = from_cache(s, g, FRAME))) {
			while (i--)
				given_back(objects[i], EV_KFREE, FRAME);
			return 0;
		}
	return (int)n;
}
ALIAS(kmem_cache_alloc_bulk_noprof, kmem_cache_alloc_bulk)
void kmem_cache_free_bulk(void *s, unsigned long n, void **objects)
{
	for (unsigned long i = 0; i < n; i++)
		given_back(objects[i], EV_KFREE, FRAME);
}
unsigned int kmem_cache_size(struct cache *s) { return (unsigned int)s->bytes; }
unsigned long kmalloc_size_roundup(unsigned long n) { return n; }

ALLOCATES(vmalloc, (unsigned long n), n, shim_gfp_sleeps)
ALLOCATES(vmalloc_noprof, (unsigned long n), n, shim_gfp_sleeps)
ALLOCATES(vmalloc_node, (unsigned long n), n, shim_gfp_sleeps)
ALLOCATES(vmalloc_node_noprof, (unsigned long n), n, shim_gfp_sleeps)
ALLOCATES(vmalloc_array, (unsigned long n, unsigned long s), product(n, s), shim_gfp_sleeps)
ALLOCATES(vmalloc_array_noprof, (unsigned long n, unsigned long s), product(n, s), shim_gfp_sleeps)
/* A function of this name returns zeroes, whatever its flags. */
ALLOCATES(__vcalloc, (unsigned long n, unsigned long s, unsigned g), product(n, s), g | shim_gfp_zero)
ALLOCATES(__vcalloc_noprof, (unsigned long n, unsigned long s, unsigned g), product(n, s), g | shim_gfp_zero)
ZEROED(vzalloc, (unsigned long n), n)
ZEROED(vzalloc_noprof, (unsigned long n), n)
ZEROED(vzalloc_node, (unsigned long n), n)
ZEROED(vzalloc_node_noprof, (unsigned long n), n)
ZEROED(vmalloc_user, (unsigned long n), n)
ZEROED(vmalloc_user_noprof, (unsigned long n), n)
ZEROED(vcalloc, (unsigned long n, unsigned long s), product(n, s))
ZEROED(vcalloc_noprof, (unsigned long n, unsigned long s), product(n, s))
void *__alloc_percpu(unsigned long n, unsigned long al) { return small_of(product(n, 64), ZEROES, EV_PERCPU, FRAME); }
void *__alloc_percpu_gfp(unsigned long n, unsigned long al, unsigned g)
{
	return small_of(product(n, 64), g | shim_gfp_zero, EV_PERCPU, FRAME);
}
void *pcpu_alloc_noprof(unsigned long n, unsigned long al, int r, unsigned g)
{
	return small_of(product(n, 64), g | shim_gfp_zero, EV_PERCPU, FRAME);
}
void kfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void kvfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void vfree(const void *p) { given_back(p, EV_KFREE, FRAME); }
void kfree_sensitive(const void *p) { given_back(p, EV_KFREE, FRAME); }
void kvfree_sensitive(const void *p, unsigned long n) { given_back(p, EV_KFREE, FRAME); }
void kfree_const(const void *p) { given_back(p, EV_KFREE, FRAME); }
void free_percpu(void *p) { given_back(p, EV_PERCPU_FREE, FRAME); }
void *shim_zalloc(unsigned long n) { return rt_object(n); }
void shim_free(void *p) { if (p) rt_object_free(p, FRAME); }

/*
 * Memory that a model holds for an object of kernel code, which must give it back before it frees the object: a record of it
 * shows whether it does. For static objects, which are never freed, there is none.
 */
void *shim_hold_for(const void *object)
{
	void *p;

	if (!rt_recording || rt_in_cache || !rt_in_small(object))
		return 0;
	p = rt_object(sizeof(long));
	*rt_object_number(p) = ++numbered;
	rt_emit(EV_KZALLOC, sizeof(long), numbered, 1, 0, FRAME);
	return p;
}
void shim_hold_no_more(void *p) { given_back(p, EV_KFREE, FRAME); }

/* ---- copies, and objects that change their size ---- */

static void *copied(const void *from, unsigned long n, unsigned long room, unsigned g, void **frame)
{
	void *p = from ? small_of(room, g, EV_KZALLOC, frame) : 0;

	if (p)
		memcpy(p, from, n);
	return p;
}

/* A copy of at most n characters, with a zero after them. */
static char *text_of(const char *from, unsigned long n, unsigned g, void **frame)
{
	unsigned long length = from ? strnlen(from, n) : 0;
	char *p = copied(from, length, length + 1, g, frame);

	if (p)
		p[length] = 0;
	return p;
}

void *kmemdup(const void *from, unsigned long n, unsigned g) { return copied(from, n, n, g, FRAME); }
ALIAS(kmemdup_noprof, kmemdup)
ALIAS(kvmemdup, kmemdup)
void *kmemdup_array(const void *from, unsigned long n, unsigned long size, unsigned g)
{
	return product(n, size) == TOO_LARGE ? 0 : copied(from, n * size, n * size, g, FRAME);
}
char *kstrdup(const char *from, unsigned g) { return text_of(from, ~0UL >> 1, g, FRAME); }
ALIAS(kstrdup_const, kstrdup)
char *kstrndup(const char *from, unsigned long n, unsigned g) { return text_of(from, n, g, FRAME); }

/* The old object stays if there is no memory for the new one. */
static void *resized(void *old, unsigned long n, unsigned g, void **frame)
{
	unsigned long had = old ? rt_object_size(old) : 0;
	void *p;

	if (!n) {
		given_back(old, EV_KFREE, frame);
		return 0;
	}
	p = small_of(n, g, EV_KZALLOC, frame);
	if (p && old) {
		memcpy(p, old, had < n ? had : n);
		given_back(old, EV_KFREE, frame);
	}
	return p;
}
void *krealloc(void *p, unsigned long n, unsigned g) { return resized(p, n, g, FRAME); }
ALIAS(krealloc_noprof, krealloc)
ALIAS(kvrealloc_noprof, krealloc)
void *krealloc_node_align_noprof(void *p, unsigned long n, unsigned long align, unsigned g, int node)
{
	return resized(p, n, g, FRAME);
}
ALIAS(kvrealloc_node_align_noprof, krealloc_node_align_noprof)
/* The old form: the caller passes the old size, and a smaller object is the old one. */
void *kvrealloc(void *p, unsigned long had, unsigned long n, unsigned g)
{
	return had >= n ? p : resized(p, n, g, FRAME);
}

/* ---- bitmaps ---- */

#define BITMAP_BYTES(bits) (((unsigned long)(bits) + 63) / 64 * 8)
SMALL(bitmap_alloc, (unsigned bits, unsigned g), BITMAP_BYTES(bits))
SMALL(bitmap_alloc_node, (unsigned bits, unsigned g), BITMAP_BYTES(bits))
ALLOCATES(bitmap_zalloc, (unsigned bits, unsigned g), BITMAP_BYTES(bits), g | shim_gfp_zero)
ALLOCATES(bitmap_zalloc_node, (unsigned bits, unsigned g), BITMAP_BYTES(bits), g | shim_gfp_zero)
void bitmap_free(const void *map) { given_back(map, EV_KFREE, FRAME); }

/* ---- texts of unknown length ---- */

char *kvasprintf(unsigned g, const char *format, va_list values)
{
	va_list again;
	int length;
	char *p;

	va_copy(again, values);
	length = vsnprintf(0, 0, format, again);
	va_end(again);
	p = small_of((unsigned long)length + 1, g, EV_KZALLOC, FRAME);
	if (p)
		vsnprintf(p, (unsigned long)length + 1, format, values);
	return p;
}
char *kasprintf(unsigned g, const char *format, ...)
{
	va_list values;
	char *p;

	va_start(values, format);
	p = kvasprintf(g, format, values);
	va_end(values);
	return p;
}
