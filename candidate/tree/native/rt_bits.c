// SPDX-License-Identifier: GPL-2.0-only
/* Functions of lib/ that only compute: bits of words and of bitmaps, fills of memory, sorting. */
#include "rt.h"

#define BITS 64
#define WORDS(bits) (((unsigned long)(bits) + BITS - 1) / BITS)
/* The bits of word *i* that belong to a bitmap. */
#define MASK(i, bits) ((unsigned long)((i) + 1) * BITS <= (bits) ? ~0UL : (1UL << (bits) % BITS) - 1)

/* gcc's own __builtin_popcount() may call its library, which is not linked. */
static unsigned int weight(uint64_t word)
{
	unsigned int count = 0;

	for (; word; word &= word - 1)
		count++;
	return count;
}
unsigned long __sw_hweight64(uint64_t word) { return weight(word); }
unsigned int __sw_hweight32(unsigned int word) { return weight(word); }
unsigned int __sw_hweight16(unsigned int word) { return weight(word & 0xffff); }
unsigned int __sw_hweight8(unsigned int word) { return weight(word & 0xff); }

/* ---- searches ---- */

/* The first bit from i on that is set in a bitmap, and in another one if there is one; a mask inverts bits. */
static unsigned long next_bit(const unsigned long *map, const unsigned long *other, unsigned long invert, unsigned long size,
			      unsigned long i)
{
	for (; i < size; i++)
		if (((map[i / 64] & (other ? other[i / 64] : ~0UL)) ^ invert) >> i % 64 & 1)
			return i;
	return size;
}
/* CPU masks are single words. The function is not inline until 5.19. */
unsigned int cpumask_next(int n, const unsigned long *mask) { return (unsigned int)next_bit(mask, 0, 0, 64, n + 1); }
/* From 6.1 on: one bitmap, its bits, the first bit. Before: two bitmaps, bits, the first bit, a mask that inverts bits. */
unsigned long _find_next_bit(const unsigned long *map, unsigned long b, unsigned long c, unsigned long d, unsigned long invert)
{
	return shim_find_in_one ? next_bit(map, 0, 0, b, c) : next_bit(map, (const unsigned long *)b, invert, c, d);
}
unsigned long _find_first_bit(const unsigned long *map, unsigned long size) { return next_bit(map, 0, 0, size, 0); }
unsigned long _find_first_zero_bit(const unsigned long *map, unsigned long size) { return next_bit(map, 0, ~0UL, size, 0); }
unsigned long _find_next_zero_bit(const unsigned long *map, unsigned long size, unsigned long i)
{
	return next_bit(map, 0, ~0UL, size, i);
}
unsigned long _find_next_and_bit(const unsigned long *a, const unsigned long *b, unsigned long size, unsigned long i)
{
	return next_bit(a, b, 0, size, i);
}
unsigned long _find_last_bit(const unsigned long *map, unsigned long size)
{
	for (unsigned long i = size; i--;)
		if (map[i / 64] >> i % 64 & 1)
			return i;
	return size;
}
unsigned long _find_first_and_bit(const unsigned long *a, const unsigned long *b, unsigned long size)
{
	return next_bit(a, b, 0, size, 0);
}
unsigned long _find_next_andnot_bit(const unsigned long *a, const unsigned long *b, unsigned long size, unsigned long i)
{
	for (; (i = next_bit(a, 0, 0, size, i)) < size; i++)
		if (!(b[i / 64] >> i % 64 & 1))
			break;
	return i;
}

/* ---- bitmaps: sizes are in bits ---- */

void __bitmap_set(unsigned long *map, unsigned int start, int len)
{
	rt_bitmap_stored(map + start / BITS, WORDS(start % BITS + len) * sizeof(*map), FRAME);
	for (unsigned int bit = start; bit < start + len; bit++)
		map[bit / BITS] |= 1UL << bit % BITS;
}
void __bitmap_clear(unsigned long *map, unsigned int start, int len)
{
	rt_bitmap_stored(map + start / BITS, WORDS(start % BITS + len) * sizeof(*map), FRAME);
	for (unsigned int bit = start; bit < start + len; bit++)
		map[bit / BITS] &= ~(1UL << bit % BITS);
}

/* These write whole words. */
#define WHOLE(name, value) \
void name(unsigned long *to, const unsigned long *a, const unsigned long *b, unsigned int bits) \
{ \
	rt_bitmap_stored(to, WORDS(bits) * sizeof(*to), FRAME); \
	for (unsigned int i = 0; i < WORDS(bits); i++) \
		to[i] = (value); \
}
WHOLE(__bitmap_or, a[i] | b[i])
WHOLE(__bitmap_xor, a[i] ^ b[i])
void __bitmap_complement(unsigned long *to, const unsigned long *from, unsigned int bits)
{
	rt_bitmap_stored(to, WORDS(bits) * sizeof(*to), FRAME);
	for (unsigned int i = 0; i < WORDS(bits); i++)
		to[i] = ~from[i];
}

/* These write no other bits than those of the bitmap, and return whether the result has any. */
#define MASKED(name, value) \
int name(unsigned long *to, const unsigned long *a, const unsigned long *b, unsigned int bits) \
{ \
	unsigned long any = 0; \
\
	rt_bitmap_stored(to, WORDS(bits) * sizeof(*to), FRAME); \
	for (unsigned int i = 0; i < WORDS(bits); i++) \
		any |= to[i] = (value) & MASK(i, bits); \
	return any != 0; \
}
MASKED(__bitmap_and, a[i] & b[i])
MASKED(__bitmap_andnot, a[i] & ~b[i])

/* Return whether any bit of two bitmaps has a property. */
#define ANY(name, value, found) \
int name(const unsigned long *a, const unsigned long *b, unsigned int bits) \
{ \
	for (unsigned int i = 0; i < WORDS(bits); i++) \
		if ((value) & MASK(i, bits)) \
			return found; \
	return !found; \
}
ANY(__bitmap_equal, a[i] ^ b[i], 0)
ANY(__bitmap_intersects, a[i] & b[i], 1)
ANY(__bitmap_subset, a[i] & ~b[i], 0)

#define WEIGHT(name, arguments, value) \
unsigned int name arguments \
{ \
	unsigned int count = 0; \
\
	for (unsigned int i = 0; i < WORDS(bits); i++) \
		count += weight((value) & MASK(i, bits)); \
	return count; \
}
WEIGHT(__bitmap_weight, (const unsigned long *a, unsigned int bits), a[i])
WEIGHT(__bitmap_weight_and, (const unsigned long *a, const unsigned long *b, unsigned int bits), a[i] & b[i])
WEIGHT(__bitmap_weight_andnot, (const unsigned long *a, const unsigned long *b, unsigned int bits), a[i] & ~b[i])

/* ---- memory: tables among it, as in rt_sanitize.c ---- */

#define FILL(name, bits) \
void *name(uint##bits##_t *p, uint##bits##_t value, unsigned long n) \
{ \
	rt_writes(p, n * sizeof(*p), FRAME); \
	for (unsigned long i = 0; i < n; i++) \
		p[i] = value; \
	rt_wrote(p, n * sizeof(*p)); \
	return p; \
}
FILL(memset16, 16) FILL(memset32, 32) FILL(memset64, 64)

/* ---- sorting ---- */

static void exchange(char *a, char *b, unsigned long size)
{
	for (unsigned long i = 0; i < size; i++) {
		char byte = a[i];

		a[i] = b[i];
		b[i] = byte;
	}
}

/* Insertion keeps equal elements in order; the order in which Linux leaves them has no meaning. */
void sort(void *base, unsigned long n, unsigned long size, int (*compare)(const void *, const void *),
	  void (*swap)(void *, void *, int))
{
	for (unsigned long i = 1; i < n; i++)
		for (char *p = (char *)base + i * size; p > (char *)base && compare(p - size, p) > 0; p -= size) {
			if (swap)
				swap(p - size, p, (int)size);
			else
				exchange(p - size, p, size);
		}
}
