/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMs of a program, the VM that a pointer belongs to, and the values of watched words when they are written;
 * included by glue.c after the tree's kvm_main.c.
 */

static struct vm {
	struct kvm *kvm;
	struct kvm_vcpu *vcpus[SHIM_MAX_CPUS];
	struct mmu_notifier *notifier;
	struct kvm_s2_mmu *nested;	/* the tables of its vCPUs at EL1; NULL: it has none */
	bool cache_enabled[SHIM_MAX_CPUS];
} vms[SHIM_MAX_VMS];
static int making;		/* the VM that is being created */
static int changing;		/* the slot that is being changed */
static int ringed;		/* vCPUs have dirty rings */

/* A VM of a request, by number. */
static struct vm *vm_of(u64 number)
{
	if (number >= SHIM_MAX_VMS)
		shim_refuse("an unknown VM");
	return &vms[number];
}

/* A vCPU of a request, by number. */
static struct kvm_vcpu *vcpu_of(const struct vm *v, u64 number)
{
	if (number >= SHIM_MAX_CPUS || !v->vcpus[number])
		shim_refuse("an unknown vCPU");
	return v->vcpus[number];
}

/* The VM whose struct kvm contains an address; -1: none. */
static int vm_around(const void *p)
{
	int i;

	for (i = 0; i < SHIM_MAX_VMS; i++)
		if (vms[i].kvm && (unsigned long)p - (unsigned long)vms[i].kvm < sizeof(struct kvm))
			return i;
	return -1;
}
#ifdef HAVE_NESTED
static struct kvm_s2_mmu *nested_mmu(const struct vm *v);
#endif
/* The number of tables: that of their VM, or SHIM_NESTED if they are those of its vCPUs at EL1; -1: unknown tables. */
int shim_vm_of_mmu(const void *mmu)
{
#ifdef HAVE_NESTED
	if (vms[0].kvm && mmu && mmu == nested_mmu(&vms[0]))
		return SHIM_NESTED;
#endif
	return vm_around(mmu);
}
int shim_lock_kind_of(const void *lock, int *vm)
{
	*vm = vm_around(lock);
	if (shim_mm && lock == &shim_mm->mmap_lock)
		return LOCK_MMAP;
	if (shim_is_vma(lock))
		return LOCK_VMA;
	if (*vm >= 0 && lock == &vms[*vm].kvm->mmu_lock)
		return LOCK_MMU;
	if (*vm >= 0 && lock == &vms[*vm].kvm->srcu)
		return LOCK_SRCU;
	return LOCK_OTHER;
}
/* Return whether this actor holds a slots_lock: the slots of that VM stay. */
int shim_slots_locked(void)
{
	int i;

	for (i = 0; i < SHIM_MAX_VMS; i++)
		if (vms[i].kvm && shim_lock_held(&vms[i].kvm->slots_lock))
			return 1;
	return 0;
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

/* ---- values of watched words after a write ---- */

/* Names from probe.h: those that mmu_invalidate_retry() of the tree, or mmu_notifier_retry(), reads. */
#define SEQ(kvm)	((kvm)->SEQ_MEMBER)
#define COUNT(kvm)	((kvm)->COUNT_MEMBER)

/* Whether written pages of a slot are logged, by a bitmap or by rings. */
static bool tracked(const struct kvm_memory_slot *s)
{
#ifdef HAVE_DIRTY_RING
	if (ringed)
		return s->flags & KVM_MEM_LOG_DIRTY_PAGES;
#endif
	return s->dirty_bitmap;
}

int shim_vcpu_has_ring(void) { return ringed && *this_cpu_ptr(&kvm_running_vcpu); }

static void note_slot(struct vm *v)
{
	struct kvm_memory_slot *s = id_to_memslot(kvm_memslots(v->kvm), changing);
	u64 what = (u64)(v - vms) << 32 | changing;

	/* Some trees keep a slot that is being deleted in the list, with no pages. */
	if (s && s->npages)
		SHIM_EV(EV_SLOTS, what, s->base_gfn, s->flags | (u64)tracked(s) << 32 | 1UL << 33, 0);
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

/* Notifiers between their two halves: slots are not replaced meanwhile. -1: the tree does not count them. */
static u64 active(const struct kvm *kvm)
{
#ifdef HAVE_ACTIVE_COUNT
	return kvm->mn_active_invalidate_count;
#else
	return -1;
#endif
}

void shim_watched(enum shim_watch what, int i)
{
	struct kvm *kvm = vms[i].kvm;

	if (what == WATCH_SLOTS)
		note_slot(&vms[i]);
	else if (what == WATCH_ROOT)
		SHIM_EV(EV_ROOT, i, !!kvm->arch.mmu.pgt,
			kvm->arch.mmu.pgt ? ((unsigned long)kvm->arch.mmu.pgt->pgd - SHIM_ARENA) >> 3 : 0, 0);
	else
		SHIM_EV(EV_SEQ, i | (1 + active(kvm)) << 8, SEQ(kvm), COUNT(kvm), 0);
}
