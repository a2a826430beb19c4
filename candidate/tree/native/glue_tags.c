// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory with tags (MTE), as the tree's code sees it: areas that may have tags, and the flags of struct page.
 * HAVE_... come from probe.h.
 */
#include "probe.h"
#include "glue.h"
#include <linux/hugetlb.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/mman.h>

#ifdef PG_mte_lock
#define TAG_FLAGS	(BIT(PG_mte_tagged) | BIT(PG_mte_lock))
#else
#define TAG_FLAGS	BIT(PG_mte_tagged)
#endif

#ifdef HAVE_MTE
/* The flags that mmap() sets: VM_MTE_ALLOWED if such a mapping may have tags. Device memory has none. */
unsigned long shim_vma_tags(int device, int huge)
{
	unsigned long how = MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB : 0);

	if (device)
		return 0;
#ifdef HAVE_FLAG_BITS_OF_FILE
	return arch_calc_vm_flag_bits(NULL, how);
#else
	return arch_calc_vm_flag_bits(how);
#endif
}
#else
unsigned long shim_vma_tags(int device, int huge) { return 0; }
#endif

#ifdef HAVE_MTE
/* The type of the flags differs between trees. */
static unsigned long *flags_of(unsigned long pfn) { return (unsigned long *)&pfn_to_page(pfn)->flags; }

/* copy_highpage(): give pages that the host has copied the tag flags of the originals, before any lookup. */
void shim_follow_copies(void)
{
	static shim_u64 done;
	shim_u64 i;

	if (!system_supports_mte())
		return;
	if (shim_control->ncopy - done > SHIM_MAX_COPIES)
		shim_refuse("more pages copied at once than are supported");
	for (; done < shim_control->ncopy; done++) {
		struct shim_copy copy = shim_control->copy[done % SHIM_MAX_COPIES];

		for (i = 0; i < copy.pages; i++)
			*flags_of(copy.new + i) |= *flags_of(copy.old + i) & TAG_FLAGS;
	}
}
#else
void shim_follow_copies(void) { }
#endif

#ifdef HAVE_TAGS_OF_HUGETLB
/* log2 of the number of pages of a hugetlb page in the area of an address; 0: the area has no hugetlb pages. */
static unsigned int huge_order(unsigned long hva)
{
	int i;

	for (i = 0; i < shim_control->host.nvma; i++)
		if (hva - shim_control->vma[i].start < shim_control->vma[i].end - shim_control->vma[i].start) {
			unsigned int shift = shim_control->vma[i].flags >> SHIM_AREA_HUGE;

			return shift ? shift - PAGE_SHIFT : 0;
		}
	return 0;
}

/* A hugetlb page is one folio, whose tag flags cover all of it. */
void shim_huge_folio(unsigned long pfn, unsigned long hva)
{
	unsigned int order = system_supports_mte() ? huge_order(hva) : 0;
	struct page *head = pfn_to_page(pfn & -(1UL << order));
	unsigned long i;

	if (!order || PageHead(head))
		return;
	__SetPageHead(head);
	for (i = 1; i < 1UL << order; i++)
#ifdef HAVE_HEAD_OF_ORDER
		set_compound_head(head + i, head, order);
#else
		set_compound_head(head + i, head);
#endif
	__folio_set_hugetlb(page_folio(head));
	*(unsigned long *)&page_folio(head)->_flags_1 |= order;
#ifdef HAVE_FOLIO_NR_PAGES
	page_folio(head)->_folio_nr_pages = 1U << order;
#elif defined(NR_PAGES_IN_LARGE_FOLIO)
	page_folio(head)->_nr_pages = 1U << order;
#endif
}
#else
void shim_huge_folio(unsigned long pfn, unsigned long hva) { }
#endif
