// SPDX-License-Identifier: GPL-2.0-only
/*
 * A build with --sanitize: a use after free, an access out of bounds or undefined behaviour in kernel code ends the call.
 * Accesses are those that rt_plain.c receives, so events are the same as in other builds. gcc's own runtimes are not linked.
 * Small memory is never reused (rt_reset.c).
 */
#include "rt.h"

#ifdef SHIM_SANITIZE

#define REDZONE		32UL
/* State of 8 bytes of small memory: 0: not allocated; 1 to 8: number of usable bytes; or: */
#define FREED		0xfd

static char *heap;
static unsigned long heap_bytes, saved_bytes;
static unsigned char *state, *saved;

void rt_zones(char *small, unsigned long bytes)
{
	state = rt_keep(bytes >> 3);
	heap_bytes = bytes;
	heap = small;
}

void rt_zones_save(unsigned long bytes)
{
	saved_bytes = bytes >> 3;
	saved = rt_keep(saved_bytes + 1);
	memcpy(saved, state, saved_bytes);
}

void rt_zones_restore(unsigned long bytes)
{
	memset(state, 0, bytes >> 3);
	memcpy(state, saved, saved_bytes);
}

static void __attribute__((noreturn)) report(const char *what, const char *access, unsigned long n, void **frame)
{
	char text[160];

	if (n == 1 || n == 2 || n == 4 || n == 8 || n == 16)
		snprintf(text, sizeof(text), "%s, %s of %lu byte%s,", what, access, n, n > 1 ? "s" : "");
	else
		snprintf(text, sizeof(text), "%s, %s of many bytes,", what, access);
	shim_crash(text, frame, 0);
}

static const char *wrong_table(unsigned long at)
{
	int i = rt_index((const void *)at);

	if (i < 0)
		return RT_UNALLOCATED;
	return rt_counts[i] > 0 ? 0 : "use after free of a table page";
}

static const char *wrong_object(unsigned long at)
{
	unsigned long o = at - (unsigned long)heap;

	if (state[o >> 3] == FREED)
		return "use after free of an object";
	return (o & 7) < state[o >> 3] ? 0 : "out of bounds of an object";
}

void rt_check(const volatile void *p, unsigned long n, int write, void **frame)
{
	unsigned long at = (unsigned long)p, end = at + n;
	const char *what = 0;

	if (!n)
		return;
	if (at - SHIM_ARENA < SHIM_ARENA_SIZE) {
		what = wrong_table(at);
		if (!what && end - 1 - SHIM_ARENA < SHIM_ARENA_SIZE)
			what = wrong_table(end - 1);
	} else if (heap && at - (unsigned long)heap < heap_bytes) {
		for (; !what && at < end; at = (at | 7) + 1)
			what = wrong_object(at);
		if (!what)
			what = wrong_object(end - 1);
	}
	if (what)
		report(what, write ? "write" : "read", n, frame);
}

unsigned long *rt_object_number(const void *p) { return (unsigned long *)p - 2; }

void *rt_object(unsigned long n)
{
	/* With red zones, a size near the largest number would become a small one. */
	char *p = rt_small(n > RT_SMALL_BYTES ? n : n + 2 * REDZONE);
	unsigned long at, i;

	p += REDZONE;
	at = p - heap;
	for (i = 0; i < n; i += 8)
		state[(at + i) >> 3] = n - i < 8 ? n - i : 8;
	/* Size and number are in the red zone before the object, where kernel code must not write. */
	*(unsigned long *)(p - 8) = n;
	*rt_object_number(p) = 0;
	return p;
}

unsigned long rt_object_size(const void *p) { return ((const unsigned long *)p)[-1]; }

void rt_object_free(const void *p, void **frame)
{
	unsigned long at = (unsigned long)p - (unsigned long)heap, n, i;

	if (!heap || at >= heap_bytes || at & 7 || at < REDZONE || state[(at - 8) >> 3])
		shim_crash("invalid free of an object", frame, 0);
	if (state[at >> 3] == FREED)
		shim_crash("double free of an object", frame, 0);
	n = *(unsigned long *)(heap + at - 8);
	if (!state[at >> 3] && n)
		shim_crash("invalid free of an object", frame, 0);
	for (i = 0; i < (n ? n : 1); i += 8)
		state[(at + i) >> 3] = FREED;
}

/* ---- undefined behaviour: gcc -fsanitize=shift and the like, with these instead of its runtime ---- */

#define UNDEFINED(name, text) \
void __ubsan_handle_##name(void *data, unsigned long a, unsigned long b) { shim_crash(text, FRAME, 0); }
UNDEFINED(shift_out_of_bounds, "undefined behaviour, shift out of bounds,")
UNDEFINED(out_of_bounds, "undefined behaviour, index out of bounds,")
UNDEFINED(divrem_overflow, "undefined behaviour, division by zero or overflow,")
UNDEFINED(load_invalid_value, "undefined behaviour, a value that its type does not have,")
UNDEFINED(builtin_unreachable, "undefined behaviour, code that cannot be reached,")
UNDEFINED(vla_bound_not_positive, "undefined behaviour, array without elements,")

#else

void *rt_object(unsigned long n)
{
	void *p = rt_small(n);

	*rt_object_number(p) = 0;
	return p;
}
unsigned long *rt_object_number(const void *p) { return (unsigned long *)p - 1; }
/* The size is in the word before the number (rt_reset.c). */
unsigned long rt_object_size(const void *p) { return ((const unsigned long *)p)[-2]; }
void rt_object_free(const void *p, void **frame) { memset((void *)p, (unsigned char)RT_FREED_WORD, rt_object_size(p)); }

#endif

/* Kernel code calls these instead of the libc functions (candidate/tree/building/plan.py). */
void rt_writes(const void *p, unsigned long n, void **frame)
{
	rt_check(p, n, 1, frame);
	rt_touch(p, n);
	if (SHIM_IN_VMEMMAP(p) && n)
		rt_writes_struct_pages(p, n);
	rt_bitmap_stored(p, n, frame);
}

void *shim_memset(void *p, int c, unsigned long n)
{
	rt_writes(p, n, FRAME);
	memset(p, c, n);
	rt_wrote(p, n);
	return p;
}

void *shim_memcpy(void *to, const void *from, unsigned long n)
{
	rt_check(from, n, 0, FRAME);
	rt_writes(to, n, FRAME);
	memcpy(to, from, n);
	rt_wrote(to, n);
	return to;
}
void *shim_memmove(void *to, const void *from, unsigned long n)
{
	rt_check(from, n, 0, FRAME);
	rt_writes(to, n, FRAME);
	memmove(to, from, n);
	rt_wrote(to, n);
	return to;
}
void clear_page(void *p)
{
	rt_writes(p, 1UL << RT_PAGE_SHIFT, FRAME);
	memset(p, 0, 1UL << RT_PAGE_SHIFT);
	rt_wrote(p, 1UL << RT_PAGE_SHIFT);
}
void copy_page(void *to, const void *from)
{
	rt_check(from, 1UL << RT_PAGE_SHIFT, 0, FRAME);
	rt_writes(to, 1UL << RT_PAGE_SHIFT, FRAME);
	memcpy(to, from, 1UL << RT_PAGE_SHIFT);
	rt_wrote(to, 1UL << RT_PAGE_SHIFT);
}
int shim_memcmp(const void *a, const void *b, unsigned long n)
{
	rt_check(a, n, 0, FRAME);
	rt_check(b, n, 0, FRAME);
	return memcmp(a, b, n);
}
