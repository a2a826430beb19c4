/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM_PRE_FAULT_MEMORY: user space has KVM map guest memory before the guest touches it; included by glue.c after glue_calls.h.
 */

/* User space calls from the thread of the vCPU, and no other task runs on its CPU meanwhile. */
void preempt_notifier_register(struct preempt_notifier *notifier) { }
void preempt_notifier_unregister(struct preempt_notifier *notifier) { }

/* The parts of arm.c that concern tables. Outside of these calls the driver keeps track of the vCPUs that are loaded. */
void kvm_arch_vcpu_load(struct kvm_vcpu *c, int cpu)
{
#ifdef HAVE_NESTED
	if (vcpu_has_nv(c))
		kvm_vcpu_load_hw_mmu(c);
#endif
}
void kvm_arch_vcpu_put(struct kvm_vcpu *c)
{
#ifdef HAVE_NESTED
	if (vcpu_has_nv(c))
		kvm_vcpu_put_hw_mmu(c);
#endif
}

#ifdef PRE_FAULTS
#undef kvm_arch_vcpu_pre_fault_memory
long kvm_arch_vcpu_pre_fault_memory(struct kvm_vcpu *c, struct kvm_pre_fault_memory *range);

/* The generic code calls this for each step, in place of the function of arm64. */
long recorded_pre_fault(struct kvm_vcpu *c, struct kvm_pre_fault_memory *range)
{
	u64 gpa = range->gpa, left = range->size;
	long ret;

	SHIM_EV(EV_PRE_FAULT, shim_vm_of_mmu(&c->kvm->arch.mmu), gpa, left, 0);
	ret = kvm_arch_vcpu_pre_fault_memory(c, range);
	SHIM_EV(EV_PRE_FAULTED, gpa, left, ret, 0);
	return ret;
}

/* info: [1] bytes left, [2] where they begin */
static long pre_fault(struct vm *v, u64 cpu, u64 gpa, u64 size, u64 *info)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };
	struct kvm_vcpu *c = v->vcpus[cpu];
	long ret;

	shim_looked_up_write = 0;
	/* The vCPU has left the guest, which puts it; then it enters again. */
	kvm_arch_vcpu_put(c);
	ret = kvm_vcpu_pre_fault_memory(c, &range);
	kvm_arch_vcpu_load(c, 0);
	info[1] = range.size;
	info[2] = range.gpa;
	return ret;
}
#endif
