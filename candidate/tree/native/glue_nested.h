/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nested virtualisation: VMs whose vCPUs have EL2; included by glue.c after glue_ring.h.
 *
 * A vCPU with an even number stays at EL2, as the guest hypervisor, and uses the tables of the VM. One with an odd number runs
 * at EL1: KVM has further tables for it, kvm->arch.nested_mmus, which map the same guest addresses. The guest hypervisor's
 * stage 2 is off (HCR_EL2.VM is 0), or it maps each address to itself (glue_stage2.h).
 */
#ifdef HAVE_NESTED
#include <asm/kvm_nested.h>

#define NESTED_VMID	1UL		/* by which the guest hypervisor runs its EL1 */
static int pa_bits;			/* of the CPU that a guest hypervisor sees; 0: there is none */

int shim_pa_bits(void) { return pa_bits; }

#include "glue_stage2.h"

static bool runs_at_el1(const struct kvm_vcpu *c) { return c->vcpu_idx & 1; }

/* The first vcpu_load() of a vCPU. It keeps its tables when it is scheduled out. */
static void load_nested(struct kvm_vcpu *c)
{
	c->arch.hw_mmu = NULL;
	c->arch.ctxt.regs.pstate = runs_at_el1(c) ? PSR_MODE_EL1h : PSR_MODE_EL2h;
	ctxt_sys_reg(&c->arch.ctxt, HCR_EL2) = 0;
	ctxt_sys_reg(&c->arch.ctxt, VTTBR_EL2) = NESTED_VMID << 48;
	if (stage2_on)
		enable_stage2(c);
	kvm_vcpu_load_hw_mmu(c);
	if (runs_at_el1(c))
		vms[0].nested = c->arch.hw_mmu;
	check_nested_vcpu_requests(c);
}

/* KVM_ARM_VCPU_INIT of all vCPUs, with KVM_ARM_VCPU_HAS_EL2; then each is loaded. */
static long make_nested(struct vm *v, int cpus, int ipa_bits)
{
	struct kvm *kvm = v->kvm;
	long ret = 0;
	int k;

	/* Values of ID_AA64MMFR0_EL1.PARange */
	pa_bits = ipa_bits <= 32 ? 32 : ipa_bits <= 36 ? 36 : 40;
	describe_cpu(kvm);
	set_bit(KVM_ARM_VCPU_HAS_EL2, kvm->arch.vcpu_features);
	for (k = 0; k < cpus && !ret; k++) {
		/* As for other parts of vCPUs, there is no record of this page. */
		v->vcpus[k]->arch.ctxt.vncr_array = shim_zalloc(PAGE_SIZE);
		mutex_lock(&kvm->arch.config_lock);
		ret = kvm_vcpu_init_nested(v->vcpus[k]);
		mutex_unlock(&kvm->arch.config_lock);
	}
	for (k = 0; k < cpus && !ret; k++)
		load_nested(v->vcpus[k]);
	if (!ret && nested_mmu(v))
		atomic64_set(&nested_mmu(v)->vmid.id, SHIM_NESTED + 1);
	return ret;
}

/* The part of kvm_arch_destroy_vm() that concerns these tables. */
static void destroy_nested(struct kvm *kvm)
{
#ifdef HAVE_DESTROY_NESTED
	if (kvm->arch.nested_mmus)
		kvm_destroy_nested(kvm);
#endif
}

/* The last vcpu_put() of each vCPU. */
static void put_vcpus(struct vm *v)
{
	int k;

	for (k = 0; k < SHIM_MAX_CPUS && v->vcpus[k]; k++)
		if (vcpu_has_nv(v->vcpus[k]) && v->vcpus[k]->arch.hw_mmu)
			kvm_vcpu_put_hw_mmu(v->vcpus[k]);
	v->nested = NULL;
}

/* A vCPU at EL1 has no tables while it is not loaded. */
static struct kvm_s2_mmu *nested_mmu(const struct vm *v) { return v->nested; }

/* Registers of EL2 that nested.c reads; 0: it is another register. */
static bool register_of_el2(const struct kvm_vcpu *c, int reg, u64 *value)
{
	if (!vcpu_has_nv(c) || (reg != HCR_EL2 && reg != VTTBR_EL2 && reg != VTCR_EL2))
		return false;
	*value = ctxt_sys_reg(&c->arch.ctxt, reg);
	return true;
}
#else
int shim_pa_bits(void) { return 0; }
#endif

#undef kvm_read_guest
/* For the other files. */
int kvm_read_guest(struct kvm *kvm, gpa_t gpa, void *data, unsigned long len)
{
#ifdef HAVE_NESTED
	if (read_guest_table(gpa, data, len))
		return 0;
#endif
	return real_kvm_read_guest(kvm, gpa, data, len);
}

unsigned long shim_sys_reg(const void *vcpu, int reg)
{
#ifdef HAVE_NESTED
	u64 value;

	if (register_of_el2(vcpu, reg, &value))
		return value;
#endif
	return shim_cache_enabled(vcpu) ? SCTLR_ELx_C | SCTLR_ELx_M : 0;
}
