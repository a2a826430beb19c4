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

/* Return whether a page is flagged as one with initialised tags. */
int shim_flagged_as_tagged(unsigned long pfn)
{
	return !!(*flags_of(pfn) & BIT(PG_mte_tagged));
}

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
int shim_flagged_as_tagged(unsigned long pfn) { return 0; }
#endif
