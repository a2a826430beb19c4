// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's address space as the tree's code sees it: real user page tables, VMAs, pages. The driver is asked for missing
 * pages. HAVE_... come from probe.h.
 */
#include "probe.h"
#include "glue.h"
#include <linux/kvm_host.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <asm/kvm_pgtable.h>

struct mm_struct *shim_mm;
int shim_looked_up_write, shim_looked_up_writable;

#define SOFT_RO		BIT(7)
#define SOFT_DEV	BIT(55)

/* The field of a descriptor that holds the high address bits. */
#if PAGE_SHIFT == 16
#define HIGH_BITS	4
#define HIGH_FIELD	12
#else
#define HIGH_BITS	2
#define HIGH_FIELD	8
#endif
static kvm_pte_t entry_of(unsigned long pa)
{
	unsigned long start = 52 - HIGH_BITS;

	return (pa & GENMASK(start - 1, PAGE_SHIFT)) | pa >> start << HIGH_FIELD;
}
static unsigned long address_in(kvm_pte_t e)
{
	unsigned long start = 52 - HIGH_BITS;

	return (e & GENMASK(start - 1, PAGE_SHIFT)) | (e >> HIGH_FIELD & (BIT(HIGH_BITS) - 1)) << start;
}

/* ---- areas ---- */

/* The index of the first area that ends after an address; -1: none does. */
static int first_area(unsigned long a)
{
	int i, best = -1;

	for (i = 0; i < shim_control->host.nvma; i++)
		if (shim_control->vma[i].end > a && (best < 0 || shim_control->vma[i].start < shim_control->vma[best].start))
			best = i;
	return best;
}

/* The index of the area that has an address; -1: none has. */
static int area_at(unsigned long a)
{
	int i = first_area(a);

	return i >= 0 && shim_control->vma[i].start <= a ? i : -1;
}

/* An address that user space has passed: a buffer of this process, if it is not in the host's memory. */
void *shim_user_buffer(unsigned long address, unsigned long bytes)
{
	if (area_at(address) >= 0)
		shim_refuse("the contents of user memory");
	shim_uses_log((void *)address, bytes);
	return (void *)address;
}

/* ---- user page tables ---- */

#define FIRST_LEVEL	(4 - CONFIG_PGTABLE_LEVELS)
#define LAST_LEVEL	3

/* log2 of the bytes that an entry of a level covers. */
static inline unsigned int shift_of(int level) { return PAGE_SHIFT + (PAGE_SHIFT - 3) * (LAST_LEVEL - level); }
static inline kvm_pte_t *entry_at(kvm_pte_t *table, unsigned long hva, int level)
{
	return &table[hva >> shift_of(level) & (BIT(PAGE_SHIFT - 3) - 1)];
}
static inline bool is_table(kvm_pte_t e, int level) { return level < LAST_LEVEL && (e & 3) == 3; }
static inline kvm_pte_t *table_of(kvm_pte_t e) { return __va(address_in(e)); }

/* The entry of an address that is a leaf or empty, and its level. */
static kvm_pte_t *last_entry(unsigned long hva, int *level)
{
	kvm_pte_t *e = entry_at((kvm_pte_t *)shim_mm->pgd, hva, *level = FIRST_LEVEL);

	while (is_table(*e, *level))
		e = entry_at(table_of(*e), hva, ++*level);
	return e;
}

/* The entry of an address at a level; missing tables are made. */
static kvm_pte_t *user_entry(unsigned long hva, int level)
{
	kvm_pte_t *e = entry_at((kvm_pte_t *)shim_mm->pgd, hva, FIRST_LEVEL);
	int l;

	for (l = FIRST_LEVEL; l < level; l++) {
		if (!is_table(*e, l)) {
			unsigned long pa = shim_host_page();

			__builtin_memset(__va(pa), 0, PAGE_SIZE);
			*e = entry_of(pa) | 3;
		}
		e = entry_at(table_of(*e), hva, l + 1);
	}
	return e;
}

#include "glue_folios.h"

static void user_map(const struct shim_page *page)
{
	kvm_pte_t *e = user_entry(page->hva, page->level);

	make_folio(page);
	shim_follow_copies();
	*e = entry_of(page->pfn << PAGE_SHIFT) | (page->level == 3 ? 3 : 1) | BIT(10) |
	     (page->writable ? 0 : SOFT_RO) | (page->device ? SOFT_DEV : 0);
}

/* A page that the driver expects this call to request, sent in advance; level 0: none. */
static struct shim_page ahead;

/* what: the address, and in the bits below the page size: level | writable << 2 | device << 3 | thp << 4 */
void shim_user_ahead(unsigned long what, unsigned long pfn)
{
	ahead.hva = what & PAGE_MASK;
	ahead.pfn = pfn;
	ahead.level = what & 3;
	ahead.writable = what >> 2 & 1;
	ahead.device = what >> 3 & 1;
	ahead.thp = what >> 4 & 1;
}

static int answered_ahead(unsigned long hva, int write)
{
	if (!ahead.level || (hva ^ ahead.hva) >> shift_of(ahead.level) ||
	    (write && !ahead.writable))
		return 0;
	user_map(&ahead);
	return 1;
}

/* Unmap [start, end) in the user page tables. */
void shim_user_zap(unsigned long start, unsigned long end)
{
	unsigned long a = start;

	ahead.level = 0;
	while (a < end) {
		unsigned long size;
		int level;

		*last_entry(a, &level) = 0;
		size = BIT(shift_of(level));
		a = (a & ~(size - 1)) + size;
		if (!a)
			break;
	}
}

/* The level at which the user page tables map an address; -1: they do not. */
static int user_walk(unsigned long hva, kvm_pte_t *out, unsigned long *pfn)
{
	int level;

	*out = *last_entry(hva, &level);
	if (!(*out & 1))
		return -1;
	*pfn = (address_in(*out) | (hva & (BIT(shift_of(level)) - 1))) >> PAGE_SHIFT;
	return level;
}

static int user_get(unsigned long hva, int write, int may_fault, unsigned long *pfn, int *writable, int *dev)
{
	struct shim_page page;
	kvm_pte_t e;
	int tries, ret, level;

	for (tries = 0; tries < 8; tries++) {
		level = user_walk(hva, &e, pfn);
		if (level >= 0 && !(write && (e & SOFT_RO))) {
			if (!(e & SOFT_DEV))
				complete_folio(hva, *pfn);
			shim_looked_up_writable = *writable = !(e & SOFT_RO);
			*dev = !!(e & SOFT_DEV);
			return 0;
		}
		/* A read-only mapping stays read-only unless a fault is taken. */
		if (!may_fault && (tries || user_walk(hva, &e, pfn) >= 0))
			break;
		if (answered_ahead(hva, write))
			continue;
		ret = shim_host_fault(hva, write | (may_fault ? 0 : 2), &page);
		if (ret)
			return ret;
		user_map(&page);
	}
	return -EFAULT;
}

/* A page of an area that is writable; without may_fault, only an existing one. */
int shim_user_page(unsigned long hva, int may_fault, unsigned long *pfn)
{
	int writable, dev;

	return user_get(hva, 1, may_fault, pfn, &writable, &dev);
}

static struct vm_area_struct *vmas;

/* Called before the first VM, so that the watched words of VMAs and VMs are close together. */
void shim_make_vmas(void)
{
	if (vmas)
		return;
	vmas = shim_zalloc(SHIM_MAX_VMAS * sizeof(*vmas));
	shim_vmas_at(vmas, sizeof(*vmas));
}

/* A file of hugetlbfs, by log2 of its page size: KVM gets the page size from it. */
static struct file *huge_file(unsigned int shift)
{
	static struct file *files[64];
	struct file *f = files[shift & 63];

	if (!f) {
		struct hugetlbfs_sb_info *info = shim_zalloc(sizeof(*info));

		f = files[shift & 63] = shim_zalloc(sizeof(*f));
		f->f_inode = shim_zalloc(sizeof(struct inode));
		f->f_inode->i_sb = shim_zalloc(sizeof(struct super_block));
		f->f_inode->i_sb->s_fs_info = info;
		info->hstate = shim_zalloc(sizeof(struct hstate));
		info->hstate->order = shift - PAGE_SHIFT;
	}
	return f;
}

#ifndef VM_ALLOW_ANY_UNCACHED
#define VM_ALLOW_ANY_UNCACHED 0
#endif

/* The VMA of the host's area of that number. */
static struct vm_area_struct *filled(int number)
{
	struct vm_area_struct *v = &vmas[number];
	const u64 flags = shim_control->vma[number].flags, huge_shift = flags >> SHIM_AREA_HUGE;
	const bool device = flags & SHIM_AREA_DEVICE;

	v->vm_start = shim_control->vma[number].start;
	v->vm_end = shim_control->vma[number].end;
	v->vm_mm = shim_mm;
	v->vm_pgoff = shim_control->vma[number].pfn;
	*(unsigned long *)&v->vm_flags = VM_READ | VM_MAYREAD | VM_MAYWRITE |
		(flags & SHIM_AREA_READ_ONLY ? 0 : VM_WRITE) | (device ? VM_PFNMAP | VM_IO : 0) |
		(flags & SHIM_AREA_UNCACHED ? VM_ALLOW_ANY_UNCACHED : 0) | (huge_shift ? VM_HUGETLB : 0) |
		shim_vma_tags(device, huge_shift);
	/* KVM may read the memory type with which user space maps an area. */
	v->vm_page_prot = !device || flags & SHIM_AREA_CACHED ? PAGE_SHARED :
			  flags & SHIM_AREA_UNCACHED ? pgprot_noncached(PAGE_SHARED) : pgprot_device(PAGE_SHARED);
	v->vm_file = huge_shift ? huge_file(huge_shift) : NULL;
	return v;
}

struct vm_area_struct *find_vma(struct mm_struct *m, unsigned long a)
{
	int best = first_area(a);

	SHIM_EV(EV_VMA, a, best < 0 ? -1 : shim_control->vma[best].start, best < 0 ? -1 : shim_control->vma[best].end, 0);
	if (best < 0)
		return NULL;
	shim_vma_found(best);
	return filled(best);
}
/* The same without an event. The start and end come from the host: who reads them of the VMA must hold the mmap lock. */
struct vm_area_struct *shim_area_from(unsigned long a, unsigned long *start, unsigned long *end)
{
	int best = first_area(a);

	if (best < 0)
		return NULL;
	*start = shim_control->vma[best].start;
	*end = shim_control->vma[best].end;
	return filled(best);
}
#ifdef CONFIG_PER_VMA_LOCK
struct vm_area_struct *lock_vma_under_rcu(struct mm_struct *m, unsigned long a)
{
	int number = area_at(a);

	SHIM_EV(EV_CALL, a, 0, 0, "lock_vma_under_rcu");
	if (number < 0 || !shim_vma_start_read(&vmas[number]))
		return NULL;
	return filled(number);
}
#endif
#ifndef HAVE_FVI_INLINE
struct vm_area_struct *find_vma_intersection(struct mm_struct *m, unsigned long s, unsigned long e)
{
	struct vm_area_struct *v = find_vma(m, s);

	return v && e <= v->vm_start ? NULL : v;
}
#endif

/* The frame of an address, for a caller that pins it. */
int shim_user_frame(unsigned long hva, int write, int may_fault, unsigned long *pfn, int *device)
{
	int writable;

	if (may_fault)
		shim_must_be_able_to_sleep("get_user_pages");
	return user_get(hva, write, may_fault, pfn, &writable, device);
}

/* Areas without struct pages. The entry that is found stays locked until the caller releases it. */
static spinlock_t follow_lock;
#ifdef HAVE_FOLLOW_PFNMAP
int follow_pfnmap_start(struct follow_pfnmap_args *args)
{
	unsigned long pfn;
	int writable, dev;

	if (user_get(args->address, 0, 1, &pfn, &writable, &dev))
		return -EINVAL;
	args->pfn = pfn;
	args->writable = writable;
	args->lock = &follow_lock;
	_raw_spin_lock((void *)args->lock);
	return 0;
}
void follow_pfnmap_end(struct follow_pfnmap_args *args)
{
	if (args->lock)
		_raw_spin_unlock((void *)args->lock);
}
#else
static pte_t followed;
#ifdef HAVE_FOLLOW_PTE_VMA
int follow_pte(struct vm_area_struct *vma, unsigned long address, pte_t **ptep, spinlock_t **ptl)
#else
int follow_pte(struct mm_struct *m, unsigned long address, pte_t **ptep, spinlock_t **ptl)
#endif
{
	unsigned long pfn;
	int writable, dev;

	if (user_get(address, 0, 1, &pfn, &writable, &dev))
		return -EINVAL;
	followed = pfn_pte(pfn, __pgprot(PTE_TYPE_PAGE | PTE_AF | PTE_USER | (writable ? PTE_WRITE : 0)));
	*ptep = &followed;
	*ptl = &follow_lock;
#ifdef HAVE_PTE_UNMAP_RCU
	/* The table is mapped until pte_unmap(). */
	rcu_read_lock();
#endif
	_raw_spin_lock((void *)&follow_lock);
	return 0;
}
#endif
