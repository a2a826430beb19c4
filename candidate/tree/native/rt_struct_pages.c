// SPDX-License-Identifier: GPL-2.0-only
/* Struct pages: references to pages, and pages that kernel code allocates and frees by their struct page. */
#include "rt.h"

static void *page_of(const void *va)
{
	return (void *)(SHIM_VMEMMAP + ((rt_pa(va) - shim_memory_start) >> RT_PAGE_SHIFT) * shim_sizeof_page);
}

/*
 * The page that has the references of a page: its head. The argument may be an address within a struct page. Pages of the host
 * count on their own, as their owner is what matters.
 */
static void *counting(const void *at)
{
	void *va = rt_va_of(at);

	return rt_index(va) < 0 ? va : rt_va_of(shim_head_of(page_of(va)));
}

static void get(const void *page, void **frame)
{
	void *va = counting(page);
	int i = rt_index(va);

	RT_LOADED();
	if (i >= 0) {
		++rt_counts[i];
		rt_emit(EV_GET, i, rt_counts[i], 0, 0, frame);
	} else if (SHIM_IN_ARENA(va)) {
		rt_no_table(va, "get_page", frame);
	} else {
		rt_use_struct_page(page, 1, frame);
		rt_emit(EV_GET_PFN, rt_pfn_of(page), 0, 0, 0, frame);
	}
}

static void put(const void *page, void **frame)
{
	char *va = counting(page);
	unsigned long pages;
	int i;

	RT_LOADED();
	i = rt_index(va);
	pages = i >= 0 && rt_counts[i] == 1 ? shim_pages_of(page_of(va)) : 1;
	if (rt_in_host(va))
		rt_stock_free(va);
	else if (pages > 1)
		/* The last reference of a folio frees all its pages. */
		for (char *end = va + (pages << RT_PAGE_SHIFT); va < end; va += 1UL << RT_PAGE_SHIFT)
			rt_drop(va, EV_FREE_EXACT, "put_page", frame);
	else if (SHIM_IN_ARENA(va))
		rt_drop(va, EV_PUT, "put_page", frame);
	else {
		rt_use_struct_page(page, 1, frame);
		rt_emit(EV_RELEASE_PFN, rt_pfn_of(page), 0, 0, 0, frame);
	}
}

static int counted(const void *page, void **frame)
{
	void *va = counting(page);
	int i = rt_index(va);

	if (i < 0) {
		if (SHIM_IN_ARENA(va))
			rt_no_table(va, "page_count", frame);
		else
			rt_use_struct_page(page, 0, frame);
		return 1;
	}
	RT_LOADED();
	rt_emit(EV_COUNT, i, rt_counts[i], 0, 0, frame);
	return rt_counts[i];
}

void get_page(void *page) { get(page, FRAME); }
void put_page(void *page) { put(page, FRAME); }
int page_count(void *page) { return counted(page, FRAME); }

/* ---- references by functions of the tree: each has the address of a count in a struct page ---- */

static int count_of(const void *page)
{
	int i = rt_index(counting(page));

	return i < 0 ? 1 : rt_counts[i];
}

int shim_ref_unmodelled(const char *what)
{
	shim_emit(EV_UNMODELLED, 0, 0, 0, what);
	return 0;
}

int shim_ref_count(const void *count) { return counted(count, FRAME); }

int shim_ref_get(const void *count, int n)
{
	while (n-- > 0)
		get(count, FRAME);
	return count_of(count);
}

int shim_ref_put(const void *count, int n, int frees)
{
	/* Nothing would free the page. */
	if (!frees && SHIM_IN_ARENA(rt_va_of(count)) && count_of(count) <= n)
		return shim_ref_unmodelled("a last reference dropped without a test");
	while (n-- > 0)
		put(count, FRAME);
	return count_of(count);
}

/* The reference that was dropped before was the last one of a table page, which is free since. */
void __folio_put(void *folio)
{
	if (count_of(folio))
		shim_ref_unmodelled("__folio_put");
}
ALIAS(__put_page, __folio_put)

/* ---- pages that are allocated ---- */

static void *new_page(unsigned gfp, unsigned order, void **frame)
{
	void *va = rt_take_pages(gfp, order, frame);

	if (va && order && gfp & shim_gfp_compound)
		shim_make_compound(page_of(va), order);
	return va ? page_of(va) : 0;
}
void *__alloc_pages(unsigned gfp, unsigned order, int node, void *nodes) { return new_page(gfp, order, FRAME); }
ALIAS(__alloc_pages_nodemask, __alloc_pages)
ALIAS(__alloc_pages_noprof, __alloc_pages)
void *alloc_pages(unsigned gfp, unsigned order) { return new_page(gfp, order, FRAME); }
ALIAS(alloc_pages_current, alloc_pages)
ALIAS(alloc_pages_noprof, alloc_pages)
void *alloc_pages_node_noprof(int node, unsigned gfp, unsigned order) { return new_page(gfp, order, FRAME); }
/* A folio is its first page. */
void *__folio_alloc(unsigned gfp, unsigned order, int node, void *nodes)
{
	return new_page(gfp | shim_gfp_compound, order, FRAME);
}
ALIAS(__folio_alloc_noprof, __folio_alloc)
void *folio_alloc(unsigned gfp, unsigned order) { return new_page(gfp | shim_gfp_compound, order, FRAME); }
ALIAS(folio_alloc_noprof, folio_alloc)
void __free_pages(void *page, unsigned order) { rt_free_pages(rt_va_of(page), order, FRAME); }

/* Fill the empty elements of an array; return the number of elements from the first on that have a page. */
unsigned long __alloc_pages_bulk(unsigned gfp, int node, void *nodes, long nr, void *list_or_array, void **array)
{
	void **pages = shim_bulk_has_list ? array : list_or_array;
	long done = 0;

	if (shim_bulk_has_list && list_or_array)
		shim_refuse("pages allocated to a list");
	for (; done < nr; done++)
		if (!pages[done] && !(pages[done] = new_page(gfp, 0, FRAME)))
			break;
	return done;
}
ALIAS(alloc_pages_bulk_noprof, __alloc_pages_bulk)
void free_pages_bulk(void **pages, unsigned long nr)
{
	for (unsigned long i = 0; i < nr; i++)
		rt_free_pages(rt_va_of(pages[i]), 0, FRAME);
}
