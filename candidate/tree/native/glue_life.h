/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The CPU that VMs run on, and the life of a VM: kvm_create_vm() of the tree, its arch part, vCPUs;
 * included by glue.c after glue_ring.h.
 */
#include <linux/delay.h>

/* ---- capabilities: by name, as numbers differ between trees ---- */

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
	assign_bit(n, shim_capmap, on);
#ifdef HAVE_CPU_HWCAP_KEYS
	atomic_set(&cpu_hwcap_keys[n].key.enabled, on);
	atomic_set(&arm64_const_caps_ready.key.enabled, 1);
#endif
#ifdef HAVE_CPU_HWCAPS
	assign_bit(n, cpu_hwcaps, on);
#endif
#ifdef HAVE_SYSTEM_CPUCAPS
	assign_bit(n, system_cpucaps, on);
#endif
}

/* ID_AA64MMFR1_EL1.HAFDBS; 2: the hardware sets access flags and manages dirty state */
static u64 hafdbs;

/* caps: SHIM_CAP_... */
static void set_caps(u64 caps)
{
	cap(ARM64_HAS_VIRT_HOST_EXTN, 1);
	cap(ARM64_HAS_STAGE2_FWB, !!(caps & SHIM_CAP_FWB));
	cap(ARM64_HAS_CACHE_DIC, !!(caps & SHIM_CAP_DIC));
	/* A CPU with DIC has IDC too: data need not be cleaned to the point of unification. */
	cap(ARM64_HAS_CACHE_IDC, !!(caps & SHIM_CAP_DIC));
	cap(ARM64_HAS_ARMv8_4_TTL, !!(caps & SHIM_CAP_TTL));
	cap(ARM64_HAS_TLB_RANGE, !!(caps & SHIM_CAP_RANGE));
	cap(ARM64_HW_DBM, !!(caps & SHIM_CAP_HW_DBM));
	hafdbs = caps & SHIM_CAP_HW_DBM ? 2 : 0;
#ifdef HAVE_MTE
	cap(ARM64_MTE, !!(caps & SHIM_CAP_MTE));
#endif
	/* The same under two names. */
#ifdef ARM64_HAS_BBML2_NOABORT
	cap(ARM64_HAS_BBML2_NOABORT, !!(caps & SHIM_CAP_BBM));
#endif
#ifdef ARM64_HAS_BBML3
	cap(ARM64_HAS_BBML3, !!(caps & SHIM_CAP_BBM));
#endif
#ifdef ARM64_ALWAYS_SYSTEM
	cap(ARM64_ALWAYS_SYSTEM, 1);
#endif
	/* With addresses of 52 bits, memory is above the range of 48 bits. */
	shim_memory_start = memstart_addr = caps & SHIM_CAP_LPA2 ? SHIM_HIGH : 0;
#ifdef HAVE_NESTED
	cap(ARM64_HAS_NESTED_VIRT, !!(caps & SHIM_CAP_NESTED));
	stage2_on = caps & SHIM_CAP_STAGE2;
#endif
#ifdef HAVE_LPA2
	cap(ARM64_HAS_LPA2, PAGE_SHIFT != 16 && shim_memory_start);
#endif
}

/* VTCR_EL2 of a VM as the tree composes it; 0: the tree does that in reset.c, which is not compiled. */
static u64 composed_vtcr(struct kvm *kvm)
{
#if !defined(HAVE_GET_VTCR)
	return 0;
#elif defined(HAVE_MMU_VTCR)
	return kvm->arch.mmu.vtcr;
#else
	return kvm->arch.vtcr;
#endif
}

u64 read_sanitised_ftr_reg(u32 id)
{
	if (id == SYS_ID_AA64MMFR0_EL1)
		/* Bits of a physical address; all granules at stage 2, 4K and 16K with FEAT_LPA2 */
		return shim_memory_start ? 6 | 3UL << 40 | 3UL << 32 | 2UL << 36 :
					   5 | 2UL << 40 | 2UL << 32 | 2UL << 36;
	if (id == SYS_ID_AA64MMFR1_EL1)
		return hafdbs | 2UL << 4;			/* 16-bit VMID */
	if (id == SYS_CTR_EL0)
		return SHIM_CTR_EL0;
	return 0;
}

/* ---- life of a VM: kvm_create_vm() and the release notifier are the tree's, the arch part is here ---- */

struct kvm *kvm_arch_alloc_vm(void)
{
	struct kvm *kvm;

	shim_make_vmas();
	kvm = shim_zalloc(sizeof(struct kvm));
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
	kvm->arch.vtcr = kvm_get_vtcr(read_sanitised_ftr_reg(SYS_ID_AA64MMFR0_EL1),
				      read_sanitised_ftr_reg(SYS_ID_AA64MMFR1_EL1), type);
#else
	u64 lvls = stage2_pgtable_levels(type);

	kvm->arch.vtcr = VTCR_EL2_FLAGS | VTCR_EL2_T0SZ(type) | VTCR_EL2_LVLS_TO_SL0(lvls < 2 ? 2 : lvls);
#endif
	return kvm_init_stage2_mmu(kvm, &kvm->arch.mmu);
#endif
}

/* Only kvm_init_stage2_mmu() is recorded. The driver calls it itself, and again if it has failed. */
int kvm_arch_init_vm(struct kvm *kvm, unsigned long type) { return 0; }
void kvm_arch_destroy_vm(struct kvm *kvm) { }
#ifdef HAVE_RCUWAIT_EXTERN
void finish_rcuwait(struct rcuwait *w)
{
	rcu_assign_pointer(w->task, NULL);
	__set_current_state(TASK_RUNNING);
}
#endif

/* ---- threads: each actor is one, also a single actor ---- */

struct thread {
	struct task_struct task;
	int woken;		/* it was woken before it went to sleep */
};
static struct thread *threads[SHIM_MAX_ACTORS];

#ifdef HAVE_TASK_STATE
#define STATE(t) (t)->__state
#else
#define STATE(t) (t)->state
#endif

static struct thread *new_thread(void)
{
	struct thread *t = shim_zalloc(sizeof(*t));

	t->task.mm = shim_mm;
	return t;
}

/* Make an actor's thread the current one, at the beginning of its call. */
void shim_become(int actor)
{
	if (!threads[actor])
		threads[actor] = new_thread();
	shim_current = &threads[actor]->task;
}

/* The number of reasons for which the current thread must not be preempted; a thread that is being made has none. */
int shim_preempt_count(void) { return shim_current ? preempt_count() : 0; }
void shim_preempt_add(int by)
{
	if (shim_current)
		__preempt_count_add(max(by, -preempt_count()));
}

int wake_up_process(struct task_struct *t)
{
	if (READ_ONCE(STATE(t)) == TASK_RUNNING)
		return 0;
	WRITE_ONCE(STATE(t), TASK_RUNNING);
	container_of(t, struct thread, task)->woken = 1;
	shim_woken();
	return 1;
}

int rcuwait_wake_up(struct rcuwait *w)
{
	struct task_struct *t = rcu_access_pointer(w->task);

	return t ? wake_up_process(t) : 0;
}

/* A sleeping actor does not check its condition itself: if it is not woken, it waits forever. */
void schedule(void)
{
	struct thread *t = container_of(current, struct thread, task);

	shim_might_sleep("schedule");
	if (READ_ONCE(STATE(current)) == TASK_RUNNING && !t->woken)
		shim_give_way(0);
	while (READ_ONCE(STATE(current)) != TASK_RUNNING)
		if (!shim_run_pending())
			shim_give_way(1);
	t->woken = 0;
}
void io_schedule(void) { schedule(); }
void yield(void)
{
	__set_current_state(TASK_RUNNING);
	shim_give_way(0);
}

/* Return the number of jiffies that are left: all of them, or none if nobody has woken the sleeper meanwhile. */
long schedule_timeout(long timeout)
{
	struct thread *t = container_of(current, struct thread, task);
	bool woken;

	if (timeout == MAX_SCHEDULE_TIMEOUT) {
		schedule();
		return timeout;
	}
	shim_might_sleep("schedule_timeout");
	while (READ_ONCE(STATE(current)) != TASK_RUNNING && shim_run_pending())
		;
	/* The time passes, and others may run. */
	if (READ_ONCE(STATE(current)) != TASK_RUNNING || !t->woken)
		msleep(max(timeout, 0L));
	woken = READ_ONCE(STATE(current)) == TASK_RUNNING && t->woken;
	t->woken = 0;
	__set_current_state(TASK_RUNNING);
	return woken ? timeout : 0;
}
long schedule_timeout_uninterruptible(long timeout)
{
	__set_current_state(TASK_UNINTERRUPTIBLE);
	return schedule_timeout(timeout);
}
long schedule_timeout_interruptible(long timeout)
{
	__set_current_state(TASK_INTERRUPTIBLE);
	return schedule_timeout(timeout);
}

void shim_start(void)
{
	shim_mm = shim_zalloc(sizeof(*shim_mm) + 4096);
	shim_mm->pgd = __va(shim_host_page());
	shim_current = &new_thread()->task;
	rt_own(&shim_current, sizeof(shim_current));
	rt_own(this_cpu_ptr(&kvm_running_vcpu), sizeof(struct kvm_vcpu *));
	rt_own(&changing, sizeof(changing));
	rt_own(&shim_looked_up_write, sizeof(shim_looked_up_write));
	rt_own(&shim_looked_up_writable, sizeof(shim_looked_up_writable));
}

#ifdef HAVE_MTE
/* KVM_CAP_ARM_MTE, of arm.c */
static void enable_mte(struct kvm *kvm, int on)
{
#ifdef HAVE_MTE_FLAG
	assign_bit(KVM_ARCH_FLAG_MTE_ENABLED, &kvm->arch.flags, on);
#else
	kvm->arch.mte_enabled = on;
#endif
}
#endif

/* As in kvm_vm_ioctl_create_vcpu(): walks of the list find the vCPU. Nothing acts on requests of it. */
static void list_vcpu(struct kvm *kvm, struct kvm_vcpu *c)
{
#ifdef HAVE_VCPU_ARRAY
	xa_store(&kvm->vcpu_array, c->vcpu_idx, c, GFP_KERNEL);
#else
	kvm->vcpus[c->vcpu_idx] = c;
#endif
	atomic_inc(&kvm->online_vcpus);
}

/* asked: what user space enables by KVM_ENABLE_CAP: [0] chunk size of eager splitting; [1] size of dirty rings | 1: with bitmap */
static long create(int i, int ipa_bits, int cpus, u64 caps, u64 manual, const u64 *asked)
{
	struct vm *v = &vms[i];
	struct kvm *kvm;
	long ret;
	int k;

	making = i;
	set_caps(caps);
	/* After a failure user space tries again, and gets another struct kvm. */
	if (v->kvm)
		shim_unwatch(i);
	shim_note(0);
#ifdef HAVE_FDNAME
	kvm = kvm_create_vm(0, "0");
#else
	kvm = kvm_create_vm(0);
#endif
	shim_note(1);
	if (IS_ERR(kvm))
		return PTR_ERR(kvm);
#ifdef HAVE_NESTED
	if (caps & SHIM_CAP_NESTED) {
		shim_note(0);
		kvm_init_nested(kvm);
		shim_note(1);
	}
#endif
	kvm->manual_dirty_log_protect = manual;
	/* The VMID by which the driver identifies the VM. */
#ifdef HAVE_VMID_ID
	atomic64_set(&kvm->arch.mmu.vmid.id, i + 1);
#else
	kvm->arch.mmu.vmid.vmid = i + 1;
#endif
#ifdef HAVE_MTE
	enable_mte(kvm, !!(caps & SHIM_CAP_MTE));
#endif
#ifdef HAVE_DIRTY_RING
	ret = asked[1] ? enable_rings(kvm, asked[1] & ~1UL, asked[1] & 1) : 0;
	if (ret)
		return ret;
	ringed = !!asked[1];
#endif
	shim_watch(&kvm->memslots[0], WATCH_SLOTS, i);
	/* What vCPUs have is never freed. */
	shim_note(0);
	for (k = 0; k < cpus; k++) {
		struct kvm_vcpu *c = v->vcpus[k] = shim_zalloc(sizeof(*c));

		c->kvm = kvm;
		c->vcpu_id = c->vcpu_idx = k;
		c->run = shim_zalloc(4 * PAGE_SIZE);
		c->arch.hw_mmu = &kvm->arch.mmu;
		c->arch.mmu_page_cache.gfp_zero = __GFP_ZERO;
		list_vcpu(kvm, c);
#ifdef HAVE_DIRTY_RING
		ret = add_ring(kvm, c);
		if (ret)
			return ret;
#endif
	}
	shim_note(1);
	shim_count_failures(1);
	ret = init_stage2(kvm, ipa_bits);
	shim_count_failures(0);
#ifdef HAVE_SPLIT_CHUNK
	/* KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, of arm.c */
	kvm->arch.mmu.split_page_chunk_size = asked[0];
#endif
#ifdef HAVE_NESTED
	if (!ret && caps & SHIM_CAP_NESTED)
		ret = make_nested(v, cpus, ipa_bits);
#endif
	return ret;
}
