/* SPDX-License-Identifier: GPL-2.0-only */
/* Dirty rings, for trees whose arm64 has them; included by glue.c after glue_caches.h. */
#ifdef HAVE_DIRTY_RING

static u32 harvested[SHIM_MAX_VMS][SHIM_MAX_CPUS];	/* number of entries that user space has taken from each ring */

/* KVM_ENABLE_CAP, before there is a slot or a vCPU; size: bytes of each ring. */
static long enable_rings(struct kvm *kvm, u64 size, int with_bitmap)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .args = { size } };
	long ret = kvm_vm_ioctl_enable_cap_generic(kvm, &cap);

	if (ret || !with_bitmap)
		return ret;
	cap.cap = KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP;
	return kvm_vm_ioctl_enable_cap_generic(kvm, &cap);
}

/* As in kvm_vm_ioctl_create_vcpu(). */
static long add_ring(struct kvm *kvm, struct kvm_vcpu *c)
{
	if (!kvm->dirty_ring_size)
		return 0;
#ifdef HAVE_RING_OF_VM
	return kvm_dirty_ring_alloc(kvm, &c->dirty_ring, c->vcpu_idx, kvm->dirty_ring_size);
#else
	return kvm_dirty_ring_alloc(&c->dirty_ring, c->vcpu_idx, kvm->dirty_ring_size);
#endif
}

/* User space takes the new entries of its mapped rings, as slot and page. Returns their number. */
static long harvest(struct vm *v)
{
	long found = 0;
	int k;

	for (k = 0; k < SHIM_MAX_CPUS && v->vcpus[k]; k++) {
		struct kvm_dirty_ring *ring = &v->vcpus[k]->dirty_ring;
		u32 *next = &harvested[v - vms][k];

		for (; ring->dirty_gfns && found < SHIM_LOG_WORDS; ++*next) {
			struct kvm_dirty_gfn *entry = &ring->dirty_gfns[*next & (ring->size - 1)];

			if (!(entry->flags & KVM_DIRTY_GFN_F_DIRTY) || entry->flags & KVM_DIRTY_GFN_F_RESET)
				break;
			shim_uses_log(&shim_control->log[found], sizeof(u64));
			shim_control->log[found++] = (u64)entry->slot << 40 | entry->offset;
			entry->flags |= KVM_DIRTY_GFN_F_RESET;
		}
	}
	return found;
}

/* Return whether a vCPU that user space enters leaves the guest at once, and tells user space to empty the rings. */
static bool leaves(struct kvm_vcpu *c)
{
	c->run->exit_reason = KVM_EXIT_UNKNOWN;
	return kvm_dirty_ring_check_request(c) && c->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL;
}

static long ring(struct vm *v, int op, u64 cpu)
{
	if (op == OP_RING_HARVEST)
		return harvest(v);
	if (op == OP_RING_RESET)
		return kvm_vm_ioctl_reset_dirty_pages(v->kvm);
	/* User space may first enter the vCPU once more: the ring is as full as before. */
	return leaves(vcpu_of(v, cpu)) && leaves(vcpu_of(v, cpu));
}
#endif
