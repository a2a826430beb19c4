/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Huge pages of the host are compound: a folio has as many pages as the host's page; included by glue_host.c.
 */

/* log2 of the number of pages in a page of hugetlb at an address; 0 where there is none. */
static unsigned int hugetlb_order(unsigned long hva)
{
	int i = area_at(hva);
	unsigned int shift = i < 0 ? 0 : shim_control->vma[i].flags >> SHIM_AREA_HUGE;

	return shift ? shift - PAGE_SHIFT : 0;
}

/* log2 of the number of pages in the host's page at an address; 0 for frames of a device, which have no struct page. */
static unsigned int order_of(const struct shim_page *page)
{
	if (page->device)
		return 0;
	return page->thp ? PMD_SHIFT - PAGE_SHIFT : hugetlb_order(page->hva);
}

/* Write the order of a compound page where the tree reads it. */
static void set_order(struct page *head, unsigned int order)
{
#ifdef HAVE_SET_COMPOUND_ORDER
	set_compound_order(head, order);
#else
	unsigned int pages = order ? 1U << order : 0;

#ifdef HAVE_FOLIO_ORDER
	page_folio(head)->_folio_order = order;
#else
	*(unsigned long *)&page_folio(head)->_flags_1 &= ~0xffUL;
	*(unsigned long *)&page_folio(head)->_flags_1 |= order;
#endif
#ifdef HAVE_FOLIO_NR_PAGES
	page_folio(head)->_folio_nr_pages = pages;
#elif defined(NR_PAGES_IN_LARGE_FOLIO)
	page_folio(head)->_nr_pages = pages;
#else
	(void)pages;
#endif
#endif
}

/* What tells a page of hugetlb from others that are as large: a type of the page, a flag, or the number of its destructor. */
static void mark_hugetlb(struct page *head, bool hugetlb)
{
#ifdef HAVE_HUGETLB_TYPE
	if (hugetlb)
		__folio_set_hugetlb(page_folio(head));
	else if (folio_test_hugetlb(page_folio(head)))
		__folio_clear_hugetlb(page_folio(head));
#elif defined(HAVE_HUGETLB_FLAG)
	assign_bit(PG_hugetlb, folio_flags(page_folio(head), 1), hugetlb);
#else
	set_compound_page_dtor(head, hugetlb ? HUGETLB_PAGE_DTOR : TRANSHUGE_PAGE_DTOR);
#endif
}

#ifndef HAVE_HUGETLB_TYPE
int PageHeadHuge(struct page *page)
{
#ifdef HAVE_HUGETLB_FLAG
	return PageHead(page) && test_bit(PG_hugetlb, folio_flags(page_folio(page), 1));
#else
	return PageHead(page) && page[1].compound_dtor == HUGETLB_PAGE_DTOR;
#endif
}
int PageHuge(struct page *page) { return PageHeadHuge(compound_head(page)); }
bool is_transparent_hugepage(struct page *page) { return PageCompound(page) && !PageHuge(page); }
#endif

static void add_tail(struct page *tail, struct page *head, unsigned int order)
{
#ifdef HAVE_HEAD_OF_ORDER
	set_compound_head(tail, head, order);
#else
	set_compound_head(tail, head);
#endif
}

static void split(struct page *head, unsigned int order)
{
	unsigned long i;

	for (i = 1; i < 1UL << order; i++)
		if (PageTail(head + i))
			clear_compound_head(head + i);
	mark_hugetlb(head, false);
	set_order(head, 0);
	__ClearPageHead(head);
}

/* Make a page the head of a folio, of which the first pages get their struct pages now. */
static void join(struct page *head, unsigned int order, unsigned long pages)
{
	unsigned long i;

	__SetPageHead(head);
	set_order(head, order);
	for (i = 1; i < pages; i++)
		add_tail(head + i, head, order);
}

/* Kernel code has allocated pages that are one folio; the arena never reuses a page, so none becomes small again. */
void shim_make_compound(void *page, unsigned int order) { join(page, order, 1UL << order); }

void *shim_head_of(void *page) { return compound_head(page); }

/* log2 of the number of pages that belong together; 0: the page is on its own. */
static unsigned int joined_order(struct page *page) { return PageCompound(page) ? compound_order(compound_head(page)) : 0; }
unsigned long shim_pages_of(void *page) { return 1UL << joined_order(page); }

/* Larger pages get a tail when it is looked up: there are too many. */
#define MANY_PAGES	(PMD_SHIFT - PAGE_SHIFT)

/* Give the host's page at an address, which is new or has changed, its struct pages. */
static void make_folio(const struct shim_page *page)
{
	unsigned int order = order_of(page), old;
	struct page *head;

	if (page->device)
		return;
	head = pfn_to_page(page->pfn);
	old = joined_order(head);
	if (old == order)
		return;
	if (old)
		split(compound_head(head), old);
	if (!order)
		return;
	head = pfn_to_page(page->pfn & -(1UL << order));
	join(head, order, order <= MANY_PAGES ? 1UL << order : 1);
	mark_hugetlb(head, !page->thp);
}

/* The tree looks up the frame at an address. Several entries of a level may map one page of hugetlb. */
static void complete_folio(unsigned long hva, unsigned long pfn)
{
	unsigned int order = hugetlb_order(hva);
	struct page *page = pfn_to_page(pfn), *head = pfn_to_page(pfn & -(1UL << order));

	if (order > MANY_PAGES && page != head && PageHead(head) && !PageTail(page))
		add_tail(page, head, order);
}
