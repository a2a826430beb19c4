/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Actions of the host, user space and guests: notifiers, slots, dirty logs, faults; included by glue.c after glue_life.h.
 */

/* ---- notifiers: the tree's own callbacks, stored when kvm_create_vm() registers them ---- */

int mmu_notifier_register(struct mmu_notifier *mn, struct mm_struct *m) { vms[making].notifier = mn; return 0; }
void mmu_notifier_unregister(struct mmu_notifier *mn, struct mm_struct *m)
{
	int i;

	for (i = 0; i < SHIM_MAX_VMS; i++)
		if (vms[i].kvm && vms[i].notifier == mn)
			SHIM_EV(EV_UNREGISTERED, i, 0, 0, 0);
}

#ifdef HAVE_NOTIFIER_EVENT
/* Indexed by the numbers of reference/machine/address_space.py. */
static const enum mmu_notifier_event events[] = {
	MMU_NOTIFY_CLEAR, MMU_NOTIFY_UNMAP, MMU_NOTIFY_PROTECTION_VMA, MMU_NOTIFY_PROTECTION_PAGE,
};
#endif

static long notify(struct vm *v, int op, unsigned long start, unsigned long end, unsigned long more, unsigned int event)
{
	/* more: for a start: it may sleep; for an end: it must not sleep */
	int sleeps = op == OP_INVALIDATE_START ? !!more : op != OP_INVALIDATE_END || !more;
	struct mmu_notifier_range range = {
		.mm = shim_mm, .start = start, .end = end, .flags = sleeps ? MMU_NOTIFIER_RANGE_BLOCKABLE : 0,
#ifdef HAVE_NOTIFIER_EVENT
		.event = events[event],
#endif
	};
	struct mmu_notifier *n = v->notifier;
	long ret = 0;

	shim_notifying++;
	shim_must_not_block = !sleeps;
	switch (op) {
	case OP_INVALIDATE_START:
		ret = n->ops->invalidate_range_start(n, &range);
		shim_user_zap(start, end);
		break;
	case OP_INVALIDATE_END:
		/* A fault may have mapped the old page again before the host changed it. */
		shim_user_zap(start, end);
		n->ops->invalidate_range_end(n, &range);
		break;
	case OP_CHANGE_PTE:
#ifdef HAVE_CHANGE_PTE
		n->ops->change_pte(n, shim_mm, start, pfn_pte(more, PAGE_READONLY));
#endif
		break;
	case OP_FLUSH_YOUNG:
		ret = n->ops->clear_flush_young(n, shim_mm, start, end);
		break;
	case OP_CLEAR_YOUNG:
		ret = n->ops->clear_young(n, shim_mm, start, end);
		break;
	case OP_TEST_YOUNG:
#ifdef HAVE_TEST_YOUNG_RANGE
		ret = n->ops->test_young(n, shim_mm, start, start + PAGE_SIZE);
#else
		ret = n->ops->test_young(n, shim_mm, start);
#endif
		break;
	case OP_RELEASE:
#ifdef HAVE_NESTED
		put_vcpus(v);
#endif
		if (n->ops->release)
			n->ops->release(n, shim_mm);
		break;
	}
	shim_must_not_block = 0;
	shim_notifying--;
	return ret;
}

/*
 * User space has closed a VM: run all of kvm_destroy_vm(), except the release of the notifier, which has already run. The buses
 * and first slots that it frees were allocated without records.
 */
static void end(struct vm *v)
{
	shim_free_untold(1);
#ifdef HAVE_NESTED
	destroy_nested(v->kvm);
#endif
	kvm_destroy_vm(v->kvm);
	shim_free_untold(0);
	shim_unwatch(v - vms);
	shim_forget_bitmaps(v - vms);
	memset(v, 0, sizeof(*v));
}

static int threads_holding;	/* number of host threads that hold the mmap lock */

static void mmap_lock_of_host(int write, int take)
{
	struct rw_semaphore *lock = &shim_mm->mmap_lock;

	threads_holding += take ? 1 : -1;
	if (take && write)
		down_write(lock);
	else if (take)
		down_read(lock);
	else if (write)
		up_write(lock);
	else
		up_read(lock);
}

/* ---- actions of user space and guests ---- */

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

	shim_slot_pages += size >> PAGE_SHIFT;
#ifdef HAVE_GUEST_MEMFD
	if (flags & KVM_MEM_GUEST_MEMFD && size) {
		shim_note(0);
		ret = shim_memfd(v->kvm, MEMFD(v, id), size, hva, &m.guest_memfd_offset);
		if (ret >= 0) {
			/* KVM refuses a slot that is larger than the file: there is then no slot yet for the call below. */
			m.guest_memfd = ret;
			m.memory_size += PAGE_SIZE;
			kvm_vm_ioctl_set_memory_region(v->kvm, &m);
			m.memory_size = size;
		}
		shim_note(1);
		if (ret < 0)
			return ret;
	}
#endif
	changing = id;
	shim_count_failures(1);
	ret = kvm_vm_ioctl_set_memory_region(v->kvm, &m);
	shim_count_failures(0);
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
	struct kvm_clear_dirty_log log = {
		.slot = id, .num_pages = pages, .first_page = first, .dirty_bitmap = shim_control->log,
	};

	/* The driver has filled it. */
	shim_uses_log(shim_control->log, sizeof(shim_control->log));
	return kvm_vm_ioctl_clear_dirty_log(v->kvm, &log);
}

static void load_vcpu(struct vm *v, u64 cpu, u64 state)	/* state: caches enabled | traps on << 1 */
{
	struct kvm_vcpu *c = vcpu_of(v, cpu);

	v->cache_enabled[cpu] = state & 1;
	c->arch.hcr_el2 = HCR_RW | HCR_VM | (state & 2 ? HCR_TVM : 0);
}

/* Replaces the one of inject_fault.c, which is not compiled and determines the reported address itself; here, none. */
void kvm_inject_size_fault(struct kvm_vcpu *c)
{
	SHIM_EV(EV_INJECT, -1, 0, 0, kvm_vcpu_trap_is_iabt(c) ? "pabt" : "dabt");
}

/* VTTBR_EL2 as kvm_arch_vcpu_load() or the entry to the guest has left it. */
unsigned long shim_loaded_vttbr(void)
{
	struct kvm_vcpu *c = *this_cpu_ptr(&kvm_running_vcpu);
	u64 pgd;

	if (!c)
		return 0;
	/* Address bits 51:48 go to register bits 5:2. tlb.c is compiled for that layout; this file is not. */
	pgd = c->arch.hw_mmu->pgd_phys;
	return ((pgd | pgd >> 46) & GENMASK_ULL(47, 2)) | (u64)(shim_vm_of_mmu(c->arch.hw_mmu) + 1) << 48;
}

static long fault(struct vm *v, int cpu, u64 ipa, u64 esr, u64 far, u64 *info)
{
	struct kvm_vcpu *c = v->vcpus[cpu];
	long ret;

	*this_cpu_ptr(&kvm_running_vcpu) = c;
	c->run->exit_reason = KVM_EXIT_UNKNOWN;
	shim_looked_up_write = !!(esr & (ESR_ELx_WNR | ESR_ELx_S1PTW));
	c->arch.fault.esr_el2 = esr;
	c->arch.fault.far_el2 = far;
	c->arch.fault.hpfar_el2 = (ipa >> 12) << 4;
#ifdef HPFAR_EL2_NS
	c->arch.fault.hpfar_el2 |= HPFAR_EL2_NS;
#endif
	shim_count_failures(1);
#ifdef KVM_ARM64_INCREMENT_PC
	c->arch.flags &= ~KVM_ARM64_INCREMENT_PC;
	ret = kvm_handle_guest_abort(c);
	info[1] = !!(c->arch.flags & KVM_ARM64_INCREMENT_PC);
#else
	vcpu_clear_flag(c, INCREMENT_PC);
	ret = kvm_handle_guest_abort(c);
	info[1] = !!vcpu_get_flag(c, INCREMENT_PC);
#endif
	shim_count_failures(0);
	info[2] = info[3] = info[4] = 0;
#ifdef KVM_EXIT_MEMORY_FAULT
	if (c->run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
		info[2] = 1;
		info[3] = c->run->memory_fault.gpa;
		info[4] = c->run->memory_fault.size;
	}
#endif
	*this_cpu_ptr(&kvm_running_vcpu) = NULL;
	return ret;
}
