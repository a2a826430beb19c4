// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel side of the shim: the tree's own kvm_main.c, the functions below that need its types, and what the
 * driver asks for. HAVE_... come from probe.h, which the build writes after looking at what the tree declares.
 */
#include "probe.h"
#include <shim.h>

/* What kvm_main.c offers to the files under test goes through wrappers in rt.c, which tell of it. */
#define kvm_mmu_topup_memory_cache	real_kvm_mmu_topup_memory_cache
#define __kvm_mmu_topup_memory_cache	real___kvm_mmu_topup_memory_cache
#define kvm_mmu_memory_cache_alloc	real_kvm_mmu_memory_cache_alloc
#define kvm_mmu_free_memory_cache	real_kvm_mmu_free_memory_cache
#define gfn_to_pfn_prot			real_gfn_to_pfn_prot
#define __gfn_to_pfn_memslot		real___gfn_to_pfn_memslot
#define __kvm_faultin_pfn		real___kvm_faultin_pfn
#define kvm_is_transparent_hugepage	real_kvm_is_transparent_hugepage
#define mark_page_dirty			real_mark_page_dirty
#define mark_page_dirty_in_slot		real_mark_page_dirty_in_slot
#include KVM_MAIN_C
#include <linux/hugetlb.h>
#include <asm/kvm_mmu.h>
#include <asm/kvm_emulate.h>
#include <asm/kvm_pgtable.h>

const unsigned long shim_sizeof_page = sizeof(struct page), shim_page_shift = PAGE_SHIFT;
const unsigned int shim_pg_dirty = PG_dirty, shim_page_flags = offsetof(struct page, flags);
s64 memstart_addr;
unsigned long shim_capmap[(ARM64_NCAPS + 63) / 64 + 2];
struct task_struct *shim_current;
int shim_notifying;
void *shim_zalloc(unsigned long n);
void shim_free(void *p);
unsigned long shim_host_page(void);
void shim_note(int on);
void shim_count_failures(int on);
void shim_forget_locks(void);
int shim_grace_period(void);
long shim_table_call(enum shim_table_op op, void *pgt, u64 addr, u64 size, u64 phys, u64 prot, void *mc);

static struct vm {
	struct kvm *kvm;
	struct kvm_vcpu *vcpus[SHIM_MAX_CPUS];
	struct mmu_notifier *notifier;
	bool cache_enabled[SHIM_MAX_CPUS];
} vms[SHIM_MAX_VMS];
static int making;		/* the VM that is being created */
static int changing;		/* the slot that is being changed */
static struct mm_struct *mm;

/* Which VM a pointer belongs to, that is told by an address within its struct kvm. */
static int vm_around(const void *p)
{
	int i;

	for (i = 0; i < SHIM_MAX_VMS; i++)
		if (vms[i].kvm && (unsigned long)p - (unsigned long)vms[i].kvm < sizeof(struct kvm))
			return i;
	return -1;
}
int shim_vm_of_mmu(const void *mmu) { return vm_around(mmu); }
int shim_lock_kind_of(const void *lock, int *vm)
{
	*vm = vm_around(lock);
	if (mm && lock == &mm->mmap_lock)
		return LOCK_MMAP;
	if (*vm >= 0 && lock == &vms[*vm].kvm->mmu_lock)
		return LOCK_MMU;
	if (*vm >= 0 && lock == &vms[*vm].kvm->srcu)
		return LOCK_SRCU;
	return LOCK_OTHER;
}
int shim_cache_enabled(const void *vcpu)
{
	int i, k;

	for (i = 0; i < SHIM_MAX_VMS; i++)
		for (k = 0; k < SHIM_MAX_CPUS; k++)
			if (vms[i].vcpus[k] == vcpu)
				return vms[i].cache_enabled[k];
	return 0;
}

/* ---- capabilities: by name, numbers differ between trees ---- */

#ifdef HAVE_CPU_HWCAP_KEYS
DEFINE_STATIC_KEY_FALSE(arm64_const_caps_ready);
struct static_key_false cpu_hwcap_keys[ARM64_NCAPS];
#endif
#ifdef HAVE_CPU_HWCAPS
DECLARE_BITMAP(cpu_hwcaps, ARM64_NCAPS);
#endif
#ifdef HAVE_SYSTEM_CPUCAPS
DECLARE_BITMAP(system_cpucaps, ARM64_NCAPS);
#endif
static void cap(int n, int on)
{
	if (n < 0)
		return;
	if (on)
		set_bit(n, shim_capmap);
	else
		clear_bit(n, shim_capmap);
#ifdef HAVE_CPU_HWCAP_KEYS
	atomic_set(&cpu_hwcap_keys[n].key.enabled, on);
	atomic_set(&arm64_const_caps_ready.key.enabled, 1);
#endif
#ifdef HAVE_CPU_HWCAPS
	if (on)
		set_bit(n, cpu_hwcaps);
	else
		clear_bit(n, cpu_hwcaps);
#endif
#ifdef HAVE_SYSTEM_CPUCAPS
	if (on)
		set_bit(n, system_cpucaps);
	else
		clear_bit(n, system_cpucaps);
#endif
}

/* caps: bits of reference/kernel.py */
static void set_caps(u64 caps)
{
	cap(ARM64_HAS_VIRT_HOST_EXTN, 1);
	cap(ARM64_HAS_STAGE2_FWB, caps & 1);
	cap(ARM64_HAS_CACHE_DIC, caps >> 1 & 1);
	cap(ARM64_HAS_TLB_RANGE, caps >> 3 & 1);
#ifdef ARM64_ALWAYS_SYSTEM
	cap(ARM64_ALWAYS_SYSTEM, 1);
#endif
}

u64 read_sanitised_ftr_reg(u32 id)
{
	if (id == SYS_ID_AA64MMFR0_EL1)
		return 5 | 2UL << 40 | 2UL << 32 | 2UL << 36;	/* PA 48 bits, all granules at stage 2 */
	if (id == SYS_ID_AA64MMFR1_EL1)
		return 2 | 2UL << 4;				/* hardware access and dirty flags, 16-bit VMID */
	return 0;
}

/* ---- the host's address space: real user page tables, VMAs; what is missing is asked of the driver ---- */

#define SOFT_RO		BIT(7)
#define SOFT_DEV	BIT(55)
int shim_looked_up_write, shim_looked_up_writable;

static kvm_pte_t *user_entry(unsigned long hva, int level, int alloc)
{
	kvm_pte_t *t = (kvm_pte_t *)mm->pgd;
	int l = 4 - CONFIG_PGTABLE_LEVELS, bits = PAGE_SHIFT - 3;

	for (;; l++) {
		kvm_pte_t *e = &t[(hva >> (PAGE_SHIFT + bits * (3 - l))) & (BIT(bits) - 1)];

		if (l == level)
			return e;
		if ((*e & 3) != 3) {
			unsigned long pa;

			if (!alloc)
				return *e & 1 ? e : NULL;
			pa = shim_host_page();
			__builtin_memset(__va(pa), 0, PAGE_SIZE);
			*e = pa | 3;
		}
		t = __va(*e & GENMASK(47, PAGE_SHIFT));
	}
}

static void user_map(const struct shim_page *page)
{
	kvm_pte_t *e = user_entry(page->hva, page->level, 1);
#ifdef HAVE_PAGE_THP	/* until 5.13 KVM asks struct page, not the user's page table, for the size */
	struct page *p = pfn_to_page(page->pfn);
	int i;

	if (page->level == 2 && !page->device) {
		__SetPageHead(p);
		atomic_set(&p->_mapcount, -1);
		for (i = 1; i < PTRS_PER_PMD; i++) {
			set_compound_head(p + i, p);
			atomic_set(&p[i]._mapcount, -1);
		}
	} else if (PageCompound(p)) {
		p = compound_head(p);
		__ClearPageHead(p);
		for (i = 1; i < PTRS_PER_PMD; i++)
			clear_compound_head(p + i);
	}
#endif
	*e = (page->pfn << PAGE_SHIFT) | (page->level == 3 ? 3 : 1) | BIT(10) |
	     (page->writable ? 0 : SOFT_RO) | (page->device ? SOFT_DEV : 0);
}

/* Nothing of [start, end) is mapped any more. */
static void user_zap(unsigned long start, unsigned long end)
{
	kvm_pte_t *t = (kvm_pte_t *)mm->pgd;
	unsigned long a = start;

	while (a < end) {
		int l, bits = PAGE_SHIFT - 3;
		unsigned long size;

		t = (kvm_pte_t *)mm->pgd;
		for (l = 4 - CONFIG_PGTABLE_LEVELS; ; l++) {
			kvm_pte_t *e = &t[(a >> (PAGE_SHIFT + bits * (3 - l))) & (BIT(bits) - 1)];

			size = BIT(PAGE_SHIFT + bits * (3 - l));
			if (l == 3 || (*e & 3) != 3) {
				*e = 0;
				break;
			}
			t = __va(*e & GENMASK(47, PAGE_SHIFT));
		}
		a = (a & ~(size - 1)) + size;
		if (!a)
			break;
	}
}

static int user_walk(unsigned long hva, kvm_pte_t *out, unsigned long *pfn)
{
	int l, bits = PAGE_SHIFT - 3;
	kvm_pte_t *t = (kvm_pte_t *)mm->pgd;

	for (l = 4 - CONFIG_PGTABLE_LEVELS; ; l++) {
		int sh = PAGE_SHIFT + bits * (3 - l);
		kvm_pte_t e = t[(hva >> sh) & (BIT(bits) - 1)];

		if (!(e & 1))
			return -1;
		if (l == 3 || !(e & 2)) {
			*out = e;
			*pfn = ((e & GENMASK(47, PAGE_SHIFT)) | (hva & (BIT(sh) - 1))) >> PAGE_SHIFT;
			return l;
		}
		t = __va(e & GENMASK(47, PAGE_SHIFT));
	}
}

static int user_get(unsigned long hva, int write, int may_fault, unsigned long *pfn, int *writable, int *dev)
{
	struct shim_page page;
	kvm_pte_t e;
	int tries, ret;

	shim_looked_up_write = write;
	for (tries = 0; tries < 8; tries++) {
		if (user_walk(hva, &e, pfn) >= 0 && !(write && (e & SOFT_RO))) {
			shim_looked_up_writable = *writable = !(e & SOFT_RO);
			*dev = !!(e & SOFT_DEV);
			return 0;
		}
		/* What is mapped read-only stays so unless a fault is taken. */
		if (!may_fault && (tries || user_walk(hva, &e, pfn) >= 0))
			break;
		ret = shim_host_fault(hva, write | (may_fault ? 0 : 2), &page);
		if (ret)
			return ret;
		user_map(&page);
	}
	return -EFAULT;
}

static struct vm_area_struct *vmas[SHIM_MAX_VMAS];

struct vm_area_struct *find_vma(struct mm_struct *m, unsigned long a)
{
	struct vm_area_struct *v;
	int i, best = -1;

	for (i = 0; i < shim_control->nvma; i++)
		if (shim_control->vma[i].end > a && (best < 0 || shim_control->vma[i].start < shim_control->vma[best].start))
			best = i;
	SHIM_EV(EV_VMA, a, best < 0 ? -1 : shim_control->vma[best].start, best < 0 ? -1 : shim_control->vma[best].end, 0);
	if (best < 0)
		return NULL;
	if (shim_control->vma[best].flags >> 8) {
		shim_refuse("hugetlb areas");
		return NULL;
	}
	v = vmas[best];
	if (!v)
		v = vmas[best] = shim_zalloc(sizeof(*v) + 4096);
	v->vm_start = shim_control->vma[best].start;
	v->vm_end = shim_control->vma[best].end;
	v->vm_mm = mm;
	v->vm_pgoff = shim_control->vma[best].pfn;
	*(unsigned long *)&v->vm_flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE |
		(shim_control->vma[best].flags & 1 ? VM_PFNMAP | VM_IO : 0);
	return v;
}
#ifndef HAVE_FVI_INLINE
struct vm_area_struct *find_vma_intersection(struct mm_struct *m, unsigned long s, unsigned long e)
{
	struct vm_area_struct *v = find_vma(m, s);

	return v && e <= v->vm_start ? NULL : v;
}
#endif
#ifdef HAVE_MTREE
void *mtree_load(struct maple_tree *mt, unsigned long a)
{
	struct vm_area_struct *v = find_vma(mm, a);

	return v && v->vm_start <= a ? v : NULL;
}
#endif

static int gup(unsigned long a, int write, int may_fault, struct page **p)
{
	unsigned long pfn;
	int writable, dev, r = user_get(a, write, may_fault, &pfn, &writable, &dev);

	if (r || dev)
		return may_fault ? (r ? r : -EFAULT) : 0;
	SHIM_EV(EV_PIN, pfn, 0, 0, 0);
	if (p)
		*p = pfn_to_page(pfn);
	return 1;
}
int get_user_pages_fast_only(unsigned long a, int n, unsigned int f, struct page **p) { return gup(a, !!(f & FOLL_WRITE), 0, p); }
/* Also the answer to the probe whether a page is poisoned, which passes no page. */
long get_user_pages_unlocked(unsigned long a, unsigned long n, struct page **p, unsigned int f) { return gup(a, !!(f & FOLL_WRITE), 1, p); }
static long poisoned(unsigned long a, unsigned int f)
{
	unsigned long pfn;
	int w, dev;

	return user_get(a, !!(f & FOLL_WRITE), 1, &pfn, &w, &dev);
}
#ifdef HAVE_GUP_VMAS
long get_user_pages(unsigned long a, unsigned long n, unsigned int f, struct page **p, struct vm_area_struct **v) { return poisoned(a, f); }
#else
long get_user_pages(unsigned long a, unsigned long n, unsigned int f, struct page **p) { return poisoned(a, f); }
#endif

/* Areas without struct pages. */
#ifdef HAVE_FOLLOW_PFNMAP
int follow_pfnmap_start(struct follow_pfnmap_args *args)
{
	unsigned long pfn;
	int writable, dev;

	if (user_get(args->address, 0, 1, &pfn, &writable, &dev))
		return -EINVAL;
	args->pfn = pfn;
	args->writable = writable;
	return 0;
}
void follow_pfnmap_end(struct follow_pfnmap_args *args) { }
#else
static pte_t followed;
static spinlock_t follow_lock;
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
	_raw_spin_lock((void *)&follow_lock);
	return 0;
}
#endif

/* ---- notifiers: the tree's own callbacks, kept when kvm_create_vm() registers them ---- */

int mmu_notifier_register(struct mmu_notifier *mn, struct mm_struct *m) { vms[making].notifier = mn; return 0; }
void mmu_notifier_unregister(struct mmu_notifier *mn, struct mm_struct *m) { }

static long notify(struct vm *v, int op, unsigned long start, unsigned long end, unsigned long more)
{
	struct mmu_notifier_range range = { .mm = mm, .start = start, .end = end, .flags = more ? MMU_NOTIFIER_RANGE_BLOCKABLE : 0 };
	struct mmu_notifier *n = v->notifier;
	long ret = 0;

	shim_notifying++;
	switch (op) {
	case OP_INVALIDATE_START:
		ret = n->ops->invalidate_range_start(n, &range);
		user_zap(start, end);
		break;
	case OP_INVALIDATE_END:
		range.flags = MMU_NOTIFIER_RANGE_BLOCKABLE;
		n->ops->invalidate_range_end(n, &range);
		break;
	case OP_CHANGE_PTE:
#ifdef HAVE_CHANGE_PTE
		n->ops->change_pte(n, mm, start, pfn_pte(more, PAGE_READONLY));
#endif
		break;
	case OP_FLUSH_YOUNG:
		ret = n->ops->clear_flush_young(n, mm, start, end);
		break;
	case OP_CLEAR_YOUNG:
		ret = n->ops->clear_young(n, mm, start, end);
		break;
	case OP_TEST_YOUNG:
#ifdef HAVE_TEST_YOUNG_RANGE
		ret = n->ops->test_young(n, mm, start, start + PAGE_SIZE);
#else
		ret = n->ops->test_young(n, mm, start);
#endif
		break;
	case OP_RELEASE:
		if (n->ops->release)
			n->ops->release(n, mm);
		break;
	}
	shim_notifying--;
	return ret;
}

/* ---- what the words of interest hold, when they were written ---- */

#ifdef HAVE_INVALIDATE_NAMES
#define SEQ(kvm)	((kvm)->mmu_invalidate_seq)
#define COUNT(kvm)	((kvm)->mmu_invalidate_in_progress)
#else
#define SEQ(kvm)	((kvm)->mmu_notifier_seq)
#define COUNT(kvm)	((kvm)->mmu_notifier_count)
#endif

static void note_slot(struct vm *v)
{
	struct kvm_memory_slot *s = id_to_memslot(kvm_memslots(v->kvm), changing);
	u64 what = (u64)(v - vms) << 32 | changing;

	/* A slot that is going away is in the list of some trees with no page. */
	if (s && s->npages)
		SHIM_EV(EV_SLOTS, what, s->base_gfn, s->flags | (u64)!!s->dirty_bitmap << 32 | 1UL << 33, 0);
	else
		SHIM_EV(EV_SLOTS, what, 0, 0, 0);
}

static void watch_bitmaps(struct vm *v)
{
	int i;

	shim_forget_bitmaps(v - vms);
	for (i = 0; i < 64; i++) {
		struct kvm_memory_slot *s = id_to_memslot(kvm_memslots(v->kvm), i);

		if (s && s->npages && s->dirty_bitmap)
			shim_watch_bitmap(s->dirty_bitmap, kvm_dirty_bitmap_bytes(s), v - vms, i, s->base_gfn);
	}
}

void shim_watched(enum shim_watch what, int i)
{
	struct kvm *kvm = vms[i].kvm;

	if (what == WATCH_SLOTS)
		note_slot(&vms[i]);
	else if (what == WATCH_ROOT)
		SHIM_EV(EV_ROOT, i, !!kvm->arch.mmu.pgt, 0, 0);
	else
		SHIM_EV(EV_SEQ, i, SEQ(kvm), COUNT(kvm), 0);
}

/* ---- life of a VM: kvm_create_vm() and the release notifier of the tree, arch part from here ---- */

struct kvm *kvm_arch_alloc_vm(void)
{
	struct kvm *kvm = shim_zalloc(sizeof(struct kvm));

	vms[making].kvm = kvm;
	shim_watch(&SEQ(kvm), WATCH_SEQ, making);
	shim_watch(&COUNT(kvm), WATCH_COUNT, making);
	shim_watch(&kvm->arch.mmu.pgt, WATCH_ROOT, making);
	return kvm;
}
#ifdef HAVE_ARCH_FREE_VM
void kvm_arch_free_vm(struct kvm *kvm) { }
#endif

static int init_stage2(struct kvm *kvm, unsigned long type)
{
#ifdef HAVE_INIT_STAGE2_TYPE
	return kvm_init_stage2_mmu(kvm, &kvm->arch.mmu, type);
#else
#ifdef HAVE_GET_VTCR
	kvm->arch.vtcr = kvm_get_vtcr(read_sanitised_ftr_reg(SYS_ID_AA64MMFR0_EL1), read_sanitised_ftr_reg(SYS_ID_AA64MMFR1_EL1), type);
#else
	u64 lvls = stage2_pgtable_levels(type);

	kvm->arch.vtcr = VTCR_EL2_FLAGS | VTCR_EL2_T0SZ(type) | VTCR_EL2_LVLS_TO_SL0(lvls < 2 ? 2 : lvls);
#endif
	return kvm_init_stage2_mmu(kvm, &kvm->arch.mmu);
#endif
}

/* Only what kvm_init_stage2_mmu() does is told of; the driver calls that itself, and again where it failed. */
int kvm_arch_init_vm(struct kvm *kvm, unsigned long type) { return 0; }
void kvm_arch_destroy_vm(struct kvm *kvm) { }
#ifdef HAVE_RCUWAIT_EXTERN
void finish_rcuwait(struct rcuwait *w) { rcu_assign_pointer(w->task, NULL); }
#endif

static void *new_task(void)
{
	struct task_struct *t = shim_zalloc(sizeof(*t));

	mm = shim_zalloc(sizeof(*mm) + 4096);
	mm->pgd = __va(shim_host_page());
	t->mm = mm;
	return t;
}

void shim_start(void) { shim_current = new_task(); }

static long create(int i, int ipa_bits, int cpus, u64 caps, u64 manual)
{
	struct vm *v = &vms[i];
	long ret;
	int k;

	making = i;
	set_caps(caps);
	if (!v->kvm) {
		struct kvm *kvm;

		shim_note(0);
#ifdef HAVE_FDNAME
		kvm = kvm_create_vm(0, "0");
#else
		kvm = kvm_create_vm(0);
#endif
		shim_note(1);
		if (IS_ERR(kvm))
			return PTR_ERR(kvm);
		kvm->manual_dirty_log_protect = manual;
		shim_watch(&kvm->memslots[0], WATCH_SLOTS, i);
		for (k = 0; k < cpus; k++) {
			struct kvm_vcpu *c = v->vcpus[k] = shim_zalloc(sizeof(*c));

			c->kvm = kvm;
			c->vcpu_id = c->vcpu_idx = k;
			c->run = shim_zalloc(4 * PAGE_SIZE);
			c->arch.hw_mmu = &kvm->arch.mmu;
			c->arch.mmu_page_cache.gfp_zero = __GFP_ZERO;
		}
	}
	shim_count_failures(1);
	ret = init_stage2(v->kvm, ipa_bits);
	shim_count_failures(0);
	return ret;
}

/* ---- what user space and guest do ---- */

static long set_region(struct vm *v, int id, int flags, u64 gpa, u64 size, u64 hva)
{
#ifdef HAVE_MEM_REGION2
	struct kvm_userspace_memory_region2 m = {
#else
	struct kvm_userspace_memory_region m = {
#endif
		.slot = id, .flags = flags, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = hva
	};
	long ret;

	changing = id;
	ret = kvm_vm_ioctl_set_memory_region(v->kvm, &m);
	watch_bitmaps(v);
	return ret;
}

static long get_log(struct vm *v, int id)
{
	struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = shim_control->log };

	return kvm_vm_ioctl_get_dirty_log(v->kvm, &log);
}

static long clear_log(struct vm *v, int id, u64 first, u64 pages)
{
	struct kvm_clear_dirty_log log = { .slot = id, .num_pages = pages, .first_page = first, .dirty_bitmap = shim_control->log };

	return kvm_vm_ioctl_clear_dirty_log(v->kvm, &log);
}

static void load_vcpu(struct vm *v, int cpu, u64 state)	/* state: caches enabled | traps on << 1 */
{
	v->cache_enabled[cpu] = state & 1;
	v->vcpus[cpu]->arch.hcr_el2 = HCR_RW | HCR_VM | (state & 2 ? HCR_TVM : 0);
}

static long fault(struct vm *v, int cpu, u64 ipa, u64 esr, u64 far, u64 *info)
{
	struct kvm_vcpu *c = v->vcpus[cpu];
	long ret;

	c->arch.fault.esr_el2 = esr;
	c->arch.fault.far_el2 = far;
	c->arch.fault.hpfar_el2 = (ipa >> 12) << 4;
#ifdef HPFAR_EL2_NS
	c->arch.fault.hpfar_el2 |= HPFAR_EL2_NS;
#endif
#ifdef KVM_ARM64_INCREMENT_PC
	c->arch.flags &= ~KVM_ARM64_INCREMENT_PC;
	ret = kvm_handle_guest_abort(c);
	info[1] = !!(c->arch.flags & KVM_ARM64_INCREMENT_PC);
#else
	vcpu_clear_flag(c, INCREMENT_PC);
	ret = kvm_handle_guest_abort(c);
	info[1] = !!vcpu_get_flag(c, INCREMENT_PC);
#endif
	return ret;
}

/* A direct call as a careful caller makes it: under the lock, with a cache that holds what was topped up. */
static long table(struct vm *v, const u64 *a)
{
	struct kvm_mmu_memory_cache cache = { .gfp_zero = __GFP_ZERO };
	enum shim_table_op op = a[1];
	long ret;

	shim_note(0);
	if (op == T_MAP) {
		if (real_kvm_mmu_topup_memory_cache(&cache, 1))
			return -ENOMEM;
		cache.nobjs = a[6] < cache.nobjs ? a[6] : cache.nobjs;
	}
#ifdef KVM_HAVE_MMU_RWLOCK
	write_lock(&v->kvm->mmu_lock);
#else
	spin_lock(&v->kvm->mmu_lock);
#endif
	shim_note(1);
	ret = shim_table_call(op, v->kvm->arch.mmu.pgt, a[2], a[3], a[4], a[5], &cache);
	shim_note(0);
#ifdef KVM_HAVE_MMU_RWLOCK
	write_unlock(&v->kvm->mmu_lock);
#else
	spin_unlock(&v->kvm->mmu_lock);
#endif
	shim_note(1);
	return ret;
}

long shim_dispatch(u64 op, const u64 *shared, u64 *info)
{
	u64 a[8];
	struct vm *v;
	long ret = 0;

	__builtin_memcpy(a, shared, sizeof(a));
	v = &vms[a[0] < SHIM_MAX_VMS ? a[0] : 0];
	shim_note(1);
	switch (op) {
	case OP_CREATE:
		ret = create(a[0], a[1], a[2], a[3], a[4]);
		if (!ret) {
			info[0] = v->kvm->arch.mmu.pgd_phys;
			info[1] = v->kvm->arch.mmu.pgt->start_level;
			info[2] = v->kvm->arch.mmu.pgt->ia_bits;
		}
		break;
	case OP_SLOT:
		ret = set_region(v, a[1], a[2], a[3], a[4], a[5]);
		break;
	case OP_FAULT:
		load_vcpu(v, a[1], a[5]);
		ret = fault(v, a[1], a[2], a[3], a[4], info);
		break;
	case OP_INVALIDATE_START: case OP_INVALIDATE_END: case OP_CHANGE_PTE: case OP_FLUSH_YOUNG:
	case OP_CLEAR_YOUNG: case OP_TEST_YOUNG: case OP_RELEASE:
		ret = notify(v, op, a[1], a[2], a[3]);
		break;
	case OP_GET_LOG:
		ret = get_log(v, a[1]);
		break;
	case OP_CLEAR_LOG:
		ret = clear_log(v, a[1], a[2], a[3]);
		break;
	case OP_TOGGLE_CACHE:
		load_vcpu(v, a[1], a[2]);
		kvm_toggle_cache(v->vcpus[a[1]], a[3]);
		break;
	case OP_SET_WAY:
		load_vcpu(v, a[1], a[2]);
		kvm_set_way_flush(v->vcpus[a[1]]);
		break;
	case OP_UNMAP_VM:
		stage2_unmap_vm(v->kvm);
		break;
	case OP_TABLE:
		ret = table(v, a);
		break;
	case OP_GRACE:
		ret = shim_grace_period();
		break;
	}
	shim_note(0);
	shim_forget_locks();
	if (op == OP_TOGGLE_CACHE || op == OP_SET_WAY)
		info[0] = !!(v->vcpus[a[1]]->arch.hcr_el2 & HCR_TVM);
	return ret;
}
