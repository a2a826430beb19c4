// SPDX-License-Identifier: GPL-2.0-only
/* Table memory: pages of the arena, allocated in order and never reused; pages of the host; reference counts. */
#include "rt.h"

unsigned long rt_vmemmap_size, shim_memory_start;
int *rt_counts;
char *rt_shadow, *rt_unwritten;
int rt_any_unwritten;
unsigned int rt_arena_next;
int rt_counting_failures, rt_in_cache;
/* Used pages after the arena: of user page tables, upwards from its end; of the stock, downwards from the far end. */
unsigned int rt_host_next, rt_stock_next;
static unsigned int stock_free, *stock;
/* For each page of the stock, the farthest first: the last program that accessed its contents. */
static unsigned int *stock_seen, *programs;

void shim_count_failures(int on) { rt_counting_failures = on; }

int rt_fails(int *left)
{
	if (!rt_counting_failures || *left < 0)
		return 0;
	if (!*left)
		return 1;
	--*left;
	return 0;
}

/* Fill a page that was not requested as zero. */
static void *unwritten(void *va)
{
	shim_u64 *word = va, *end = word + (1UL << (RT_PAGE_SHIFT - 3));

	while (word < end)
		*word++ = RT_UNWRITTEN_WORD;
	return va;
}

/* Record the contents of a new table page, in runs of equal entries: the driver has zeroes. */
void rt_record_contents(void *table, void **frame)
{
	shim_u64 *now = table, *told = rt_shadow_at(now);
	unsigned int entries = 1u << (RT_PAGE_SHIFT - 3);

	for (unsigned int i = 0, end; i < entries; i = end) {
		for (end = i; end < entries && now[end] == now[i]; end++)
			told[end] = now[end];
		if (now[i] == RT_UNWRITTEN_WORD)
			rt_unwritten[rt_index(table)] = rt_any_unwritten = 1;
		if (now[i])
			rt_emit(EV_CONTENTS, rt_entry(&now[i]), end - i, now[i], 0, frame);
	}
}

/* Kernel code reads an entry. The first read of an unwritten entry is reported, once per page. */
void rt_read_unwritten(const volatile void *p, void **frame)
{
	int i = rt_index(p);
	const volatile shim_u64 *entry = (const volatile shim_u64 *)((unsigned long)p & ~7UL);

	if (i < 0 || !rt_unwritten[i] || *entry != RT_UNWRITTEN_WORD)
		return;
	rt_unwritten[i] = 0;
	rt_emit(EV_UNWRITTEN, rt_entry(entry), 0, 0, 0, frame);
}

void *rt_take(unsigned int nr, int zero, int kind, int any, const char *name, void **frame)
{
	unsigned int i = rt_arena_next;
	void *va;

	/* alloc_pages_exact(0) fails: get_order(0) is larger than any allocation. */
	if (!nr || rt_fails(&shim_control->left.pages)) {
		rt_emit(kind, -1, nr, any, name, frame);
		return 0;
	}
	if (nr > RT_ARENA_PAGES - i)
		shim_refuse("more table pages than the arena has");
	rt_arena_next += nr;
	for (unsigned int j = 0; j < nr; j++)
		rt_counts[i + j] = 1;
	va = rt_page(i);
	rt_touch(va, (unsigned long)nr << RT_PAGE_SHIFT);
	rt_emit(kind, i, nr, any, name, frame);
	for (unsigned int j = 0; !zero && j < nr; j++)
		rt_record_contents(unwritten(rt_page(i + j)), frame);
	return va;
}

/* A reference to an address that is no table page, or to a table page that is not allocated. */
void rt_no_table(const void *va, const char *name, void **frame)
{
	rt_emit(EV_NO_TABLE, rt_pa(va) >> RT_PAGE_SHIFT, 0, 0, name, frame);
}

void rt_drop(void *va, int kind, const char *name, void **frame)
{
	int i = rt_index(va);

	if (i < 0) {
		rt_no_table(va, name, frame);
		return;
	}
	if (rt_plain_at)
		rt_settle();
	/* With a count below zero, the driver reports the error; the page is not poisoned again. */
	if (!--rt_counts[i]) {
		/* The next read of the page must be recorded, since it reads freed memory. */
		rt_forget_read(i);
		rt_unwritten[i] = 0;
		memset(rt_page(i), 0xa5, 1UL << RT_PAGE_SHIFT);
		memset(rt_shadow_at(rt_page(i)), 0xa5, 1UL << RT_PAGE_SHIFT);
	}
	rt_emit(kind, i, rt_counts[i], 0, name, frame);
}

unsigned long shim_host_page(void)	/* a page for user page tables; returns its physical address */
{
	if (rt_host_next + rt_stock_next == RT_HOST_PAGES)
		shim_refuse("more host pages than there are");
	return SHIM_PA_BASE + ((unsigned long)(RT_ARENA_PAGES + rt_host_next++) << RT_PAGE_SHIFT);
}

/* Return whether a page of the stock holds only zeroes. */
int rt_is_zero(const void *va)
{
	const shim_u64 *word = va, *end = word + (1UL << (RT_PAGE_SHIFT - 3));
	unsigned long number = RT_ARENA_PAGES + RT_HOST_PAGES - 1 - (((unsigned long)va - SHIM_ARENA) >> RT_PAGE_SHIFT);

	/* The object is no page of the stock if kernel code has overwritten the cache. */
	if (number >= rt_stock_next)
		return 0;
	stock_seen[number] = *programs;
	for (; word < end; word += 8)
		if (word[0] | word[1] | word[2] | word[3] | word[4] | word[5] | word[6] | word[7])
			return 0;
	return 1;
}

/* Zero a page; a page that holds zeroes already is not written. */
static void *zeroed(void *va)
{
	if (!rt_is_zero(va))
		memset(va, 0, 1UL << RT_PAGE_SHIFT);
	return va;
}

/*
 * At the end of a program: restore the initial state of the stock. Only few pages were accessed, and fewer hold data. The others
 * should not have been written to; they are given back to the host.
 */
void rt_put_back_stock(void)
{
	unsigned int unseen = 0;

	for (unsigned int i = 0; i <= rt_stock_next; i++) {
		char *page = rt_page(RT_ARENA_PAGES + RT_HOST_PAGES - 1 - i);

		if (i < rt_stock_next && stock_seen[i] != *programs) {
			unseen++;
			continue;
		}
		rt_give_back(page + (1UL << RT_PAGE_SHIFT), (size_t)unseen << RT_PAGE_SHIFT);
		unseen = 0;
		if (i < rt_stock_next)
			zeroed(page);
	}
	++*programs;
}

/* Make a page of the stock one that was not requested as zero. */
static void *left_over(void *va)
{
	unsigned long number = RT_ARENA_PAGES + RT_HOST_PAGES - 1 - (((unsigned long)va - SHIM_ARENA) >> RT_PAGE_SHIFT);

	stock_seen[number] = *programs;
	return unwritten(va);
}

/*
 * Memory caches hold pages of the stock. A table page is allocated when an object leaves the cache, as in the ports. Most pages
 * that fill a cache are never used: new ones are zero already, and are not touched.
 */
void *rt_stock_page(int zero)
{
	void *va;

	if (rt_fails(&shim_control->left.topup))
		return 0;
	if (stock_free) {
		va = rt_page(stock[--stock_free]);
		return zero ? zeroed(va) : left_over(va);
	}
	if (rt_host_next + rt_stock_next == RT_HOST_PAGES)
		shim_refuse("more host pages than there are");
	va = rt_page(RT_ARENA_PAGES + RT_HOST_PAGES - ++rt_stock_next);
	return zero ? va : left_over(va);
}

void rt_stock_free(void *va)
{
	if (stock_free < RT_HOST_PAGES)
		stock[stock_free++] = ((unsigned long)va - SHIM_ARENA) >> RT_PAGE_SHIFT;
}

int rt_in_host(const void *va)
{
	unsigned long o = ((unsigned long)va - SHIM_ARENA) >> RT_PAGE_SHIFT;

	return o - RT_ARENA_PAGES < RT_HOST_PAGES;
}

#define PG(sz) ((unsigned int)(((sz) + (1UL << RT_PAGE_SHIFT) - 1) >> RT_PAGE_SHIFT))

static int zero(unsigned gfp) { return (gfp & shim_gfp_zero) != 0; }
/* The name of an allocating function if it may sleep; 0 otherwise. */
static const char *sleeps(unsigned gfp, const char *name, void **frame)
{
	if (!(gfp & shim_gfp_sleeps))
		return 0;
	if (!rt_in_cache)
		rt_must_be_able_to_sleep(name, frame);
	return name;
}

void *alloc_pages_exact(unsigned long size, unsigned gfp)
{
	return rt_take(PG(size), zero(gfp), EV_ALLOC_EXACT, 0, sleeps(gfp, "alloc_pages_exact", FRAME), FRAME);
}
ALIAS(alloc_pages_exact_noprof, alloc_pages_exact)
void *alloc_pages_exact_nid(int node, unsigned long size, unsigned gfp)
{
	return rt_take(PG(size), zero(gfp), EV_ALLOC_EXACT, 0, sleeps(gfp, "alloc_pages_exact", FRAME), FRAME);
}
ALIAS(alloc_pages_exact_nid_noprof, alloc_pages_exact_nid)
void free_pages_exact(void *va, unsigned long size)
{
	for (unsigned long o = 0; va && o < size; o += 1UL << RT_PAGE_SHIFT)
		rt_drop((char *)va + o, EV_FREE_EXACT, "free_pages_exact", FRAME);
}

/* Allocate 1 << order pages that belong together; a memory cache takes them from the stock. */
void *rt_take_pages(unsigned gfp, unsigned order, void **frame)
{
	const char *name = sleeps(gfp, "get_free_pages", frame);

	if (!rt_in_cache)
		return rt_take(1u << order, zero(gfp), order ? EV_ALLOC_EXACT : EV_ALLOC, 1, name, frame);
	if (order)
		shim_refuse("a memory cache of objects that are larger than a page");
	return rt_stock_page(zero(gfp));
}

unsigned long __get_free_pages(unsigned gfp, unsigned order)
{
	return (unsigned long)rt_take_pages(gfp, order, FRAME);
}
ALIAS(get_free_pages_noprof, __get_free_pages)
unsigned long get_zeroed_page(unsigned gfp)
{
	return (unsigned long)rt_take(1, 1, EV_ALLOC, 1, sleeps(gfp, "get_zeroed_page", FRAME), FRAME);
}
ALIAS(get_zeroed_page_noprof, get_zeroed_page)
void rt_free_pages(char *va, unsigned order, void **frame)
{
	RT_LOADED();
	for (char *end = va + (1UL << order << RT_PAGE_SHIFT); va < end; va += 1UL << RT_PAGE_SHIFT)
		if (rt_in_host(va))
			rt_stock_free(va);
		else
			rt_drop(va, order ? EV_FREE_EXACT : EV_FREE, "free_page", frame);
}
void free_pages(unsigned long va, unsigned order)
{
	if (va)
		rt_free_pages((char *)va, order, FRAME);
}

unsigned long rt_pfn_of(const void *page)
{
	return ((unsigned long)page - SHIM_VMEMMAP) / shim_sizeof_page + (shim_memory_start >> RT_PAGE_SHIFT);
}
void *rt_va_of(const void *page) { return (void *)((rt_pfn_of(page) << RT_PAGE_SHIFT) + SHIM_VA_OFF); }

unsigned long __virt_to_phys(unsigned long va) { return va - SHIM_VA_OFF; }
unsigned long __phys_addr_symbol(unsigned long va) { return va; }

/* Map memory at a fixed address. */
static void place(unsigned long at, size_t n)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

	if (mmap((void *)at, n, PROT_READ | PROT_WRITE, flags, -1, 0) != (void *)at)
		rt_cannot_start("no address space for table memory");
}

void shim_memory(void)
{
	size_t n = (size_t)(RT_ARENA_PAGES + RT_HOST_PAGES) << RT_PAGE_SHIFT;

	rt_vmemmap_size = ((SHIM_PA_LOW + n) >> RT_PAGE_SHIFT) * shim_sizeof_page;
	place(SHIM_ARENA, n);
	place(SHIM_VMEMMAP, rt_vmemmap_size);
	rt_remember_blocks();
	rt_shadow = rt_keep(SHIM_ARENA_SIZE);
	rt_unwritten = rt_keep(RT_ARENA_PAGES);
	rt_counts = rt_keep(RT_ARENA_PAGES * sizeof(int));
	stock = rt_keep(RT_HOST_PAGES * sizeof(*stock));
	stock_seen = rt_keep(RT_HOST_PAGES * sizeof(*stock_seen));
	/* Pages that no program has accessed have number 0. */
	programs = rt_keep(sizeof(*programs));
	*programs = 1;
}
