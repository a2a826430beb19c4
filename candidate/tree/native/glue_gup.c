// SPDX-License-Identifier: GPL-2.0-only
/* The functions by which kernel code gets and pins pages of user space, makes sure that they are there, and asks their size. */
#include "probe.h"
#include "glue.h"
/* Trees declare these with different arguments. Those after the pages do not matter here. */
#define get_user_pages		tree_get_user_pages
#define get_user_pages_remote	tree_get_user_pages_remote
#define pin_user_pages		tree_pin_user_pages
#define pin_user_pages_remote	tree_pin_user_pages_remote
#define unpin_user_pages_dirty_lock tree_unpin_user_pages_dirty_lock
/* Inline in some trees. */
#define vma_kernel_pagesize	tree_vma_kernel_pagesize
#define vma_mmu_pagesize	tree_vma_mmu_pagesize
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#undef get_user_pages
#undef get_user_pages_remote
#undef pin_user_pages
#undef pin_user_pages_remote
#undef unpin_user_pages_dirty_lock
#undef vma_kernel_pagesize
#undef vma_mmu_pagesize

/* Pin one page; 1: done, 0: there is none without a fault, or an error. A caller that wants no page only looks for poison. */
static long pin_one(unsigned long hva, unsigned int flags, int may_fault, struct page **page)
{
	unsigned long pfn;
	int device, ret = shim_user_frame(hva, !!(flags & FOLL_WRITE), may_fault, &pfn, &device);

	if (!page && may_fault)
		return ret;
	if (ret || device)
		return may_fault ? (ret ? ret : -EFAULT) : 0;
	SHIM_EV(EV_PIN, pfn, 0, 0, 0);
	if (page)
		*page = pfn_to_page(pfn);
	return 1;
}

/* Pin consecutive pages; return their number, or the error of the first one. */
static long pin(unsigned long hva, unsigned long n, unsigned int flags, int may_fault, struct page **pages)
{
	unsigned long done;
	long ret = 0;

	for (done = 0; done < n; done++, hva += PAGE_SIZE) {
		ret = pin_one(hva, flags, may_fault, pages ? &pages[done] : NULL);
		if (ret != 1)
			break;
	}
	return done ? done : ret;
}

/* The function takes the mmap lock itself, without a record. */
static long pin_unlocked(unsigned long hva, unsigned long n, unsigned int flags, struct page **pages)
{
	long ret;

	rt_read_beside(&shim_mm->mmap_lock, 1);
	ret = pin(hva, n, flags, 1, pages);
	rt_read_beside(&shim_mm->mmap_lock, 0);
	return ret;
}

int get_user_pages_fast_only(unsigned long hva, int n, unsigned int flags, struct page **pages)
{
	return pin(hva, n, flags, 0, pages);
}
int pin_user_pages_fast_only(unsigned long hva, int n, unsigned int flags, struct page **pages)
{
	return pin(hva, n, flags, 0, pages);
}
int get_user_pages_fast(unsigned long hva, int n, unsigned int flags, struct page **pages)
{
	return pin_unlocked(hva, n, flags, pages);
}
int pin_user_pages_fast(unsigned long hva, int n, unsigned int flags, struct page **pages)
{
	return pin_unlocked(hva, n, flags, pages);
}
long get_user_pages_unlocked(unsigned long hva, unsigned long n, struct page **pages, unsigned int flags)
{
	return pin_unlocked(hva, n, flags, pages);
}
long pin_user_pages_unlocked(unsigned long hva, unsigned long n, struct page **pages, unsigned int flags)
{
	return pin_unlocked(hva, n, flags, pages);
}

/* The caller of these holds the mmap lock. */
long get_user_pages(unsigned long hva, unsigned long n, unsigned int flags, struct page **pages)
{
	return pin(hva, n, flags, 1, pages);
}
long pin_user_pages(unsigned long hva, unsigned long n, unsigned int flags, struct page **pages)
{
	return pin(hva, n, flags, 1, pages);
}
long get_user_pages_remote(struct mm_struct *mm, unsigned long hva, unsigned long n, unsigned int flags, struct page **pages)
{
	return pin(hva, n, flags, 1, pages);
}
long pin_user_pages_remote(struct mm_struct *mm, unsigned long hva, unsigned long n, unsigned int flags, struct page **pages)
{
	return pin(hva, n, flags, 1, pages);
}

void unpin_user_page(struct page *page) { put_page(page); }
void unpin_user_pages(struct page **pages, unsigned long n)
{
	while (n--)
		put_page(*pages++);
}
void unpin_user_pages_dirty_lock(struct page **pages, unsigned long n, bool dirty)
{
	for (; n--; pages++) {
		if (dirty)
			set_page_dirty(*pages);
		put_page(*pages);
	}
}

/* ---- pages that must be there, and are not pinned; the caller of the first function holds the mmap lock ---- */

int fixup_user_fault(struct mm_struct *mm, unsigned long hva, unsigned int flags, bool *unlocked)
{
	unsigned long pfn;
	int device;

	if (unlocked)
		*unlocked = false;
	return shim_user_frame(hva, !!(flags & FAULT_FLAG_WRITE), 1, &pfn, &device);
}

/* Return the number of bytes at the end of a range that are not there. */
static size_t fault_in(unsigned long start, size_t size, int write)
{
	unsigned long hva, pfn, end = start + size;
	int device;

	for (hva = start; hva < end; hva = (hva & PAGE_MASK) + PAGE_SIZE)
		if (shim_user_frame(hva, write, 1, &pfn, &device))
			return end - hva;
	return 0;
}
size_t fault_in_readable(const char __user *at, size_t size) { return fault_in((unsigned long)at, size, 0); }
size_t fault_in_writeable(char __user *at, size_t size) { return fault_in((unsigned long)at, size, 1); }
size_t fault_in_safe_writeable(const char __user *at, size_t size) { return fault_in((unsigned long)at, size, 1); }

/* ---- the page sizes by which user space and the CPU know an area ---- */

unsigned long vma_kernel_pagesize(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma) ? huge_page_size(hstate_vma(vma)) : PAGE_SIZE;
}
unsigned long vma_mmu_pagesize(struct vm_area_struct *vma) { return vma_kernel_pagesize(vma); }
