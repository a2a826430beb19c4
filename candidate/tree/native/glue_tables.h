/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Direct calls of pgtable.c, for a guest's tables and the hypervisor's own; included by glue.c after glue_calls.h.
 */

/* Convert the rights of reference/pgtable.py to the tree's: their numbers differ between trees. */
static u64 rights(u64 ours)
{
	return (ours & SHIM_PROT_X ? KVM_PGTABLE_PROT_X : 0) | (ours & SHIM_PROT_W ? KVM_PGTABLE_PROT_W : 0) |
	       (ours & SHIM_PROT_R ? KVM_PGTABLE_PROT_R : 0) | (ours & SHIM_PROT_DEVICE ? KVM_PGTABLE_PROT_DEVICE : 0);
}

/* Refuse a direct call if the tree's function takes other arguments than shim_table_call() in rt_models.c passes. */
#define KNOWS(name)	__is_defined(KNOWS_kvm_pgtable_stage2_##name)
#define CALLED(op, name, known)	[op] = { "kvm_pgtable_stage2_" #name "() with other arguments", known }
static void must_be_known(enum shim_table_op op)
{
	static const struct { const char *what; int known; } called[] = {
		CALLED(T_MAP, map, KNOWS(map)), CALLED(T_UNMAP, unmap, KNOWS(unmap)),
		CALLED(T_WRPROTECT, wrprotect, KNOWS(wrprotect)), CALLED(T_FLUSH, flush, KNOWS(flush)),
		CALLED(T_MKYOUNG, mkyoung, KNOWS(mkyoung)), CALLED(T_RELAX, relax_perms, KNOWS(relax_perms)),
		CALLED(T_MKOLD, mkold, KNOWS(mkold) || KNOWS(test_clear_young)),
		CALLED(T_IS_YOUNG, is_young, KNOWS(is_young) || KNOWS(test_clear_young)),
	};

	if (!called[op].known)
		shim_refuse(called[op].what);
}

/* A direct call, under the lock as for a correct caller, with a topped-up cache or with none. */
static long table(struct vm *v, const u64 *a)
{
	struct kvm_mmu_memory_cache cache = { .gfp_zero = __GFP_ZERO };
	enum shim_table_op op = a[1];
	long ret;

	must_be_known(op);
	shim_note(0);
	if (op == T_MAP && a[6]) {
		shim_within_cache(1);
		ret = real_kvm_mmu_topup_memory_cache(&cache, 1);
		shim_within_cache(-1);
		if (ret)
			return ret;
		cache.nobjs = a[6] < cache.nobjs ? a[6] : cache.nobjs;
	}
#ifdef KVM_HAVE_MMU_RWLOCK
	write_lock(&v->kvm->mmu_lock);
#else
	spin_lock(&v->kvm->mmu_lock);
#endif
	shim_note(1);
	shim_cache_of_call(&cache);
	ret = shim_table_call(op, v->kvm->arch.mmu.pgt, a[2], a[3], a[4], rights(a[5]), op == T_MAP && !a[6] ? NULL : &cache);
	shim_cache_freed(&cache);
	shim_note(0);
#ifdef KVM_HAVE_MMU_RWLOCK
	write_unlock(&v->kvm->mmu_lock);
#else
	spin_unlock(&v->kvm->mmu_lock);
#endif
	shim_note(1);
	return ret;
}

/* ---- the hypervisor's own tables ---- */

static struct kvm_pgtable hyp_pgt;
/* The VMID of the guest that owns these tables; 0: the hypervisor; -1: others, such as user space. */
int shim_vmid_of_walk(const void *p)
{
	const struct kvm_pgtable *pgt = p;
	int vm;

	if (pgt == &hyp_pgt)
		return 0;
	vm = shim_vm_of_mmu(pgt->mmu);
	return vm < 0 ? -1 : vm + 1;
}
int shim_walks_user_tables(const void *p)
{
	return (const void *)((const struct kvm_pgtable *)p)->pgd == (const void *)shim_mm->pgd;
}
#ifdef HAVE_MM_OPS
static void *hyp_zalloc_page(void *arg) { return (void *)get_zeroed_page(GFP_KERNEL); }
static void hyp_get_page(void *addr) { get_page(virt_to_page(addr)); }
static void hyp_put_page(void *addr) { put_page(virt_to_page(addr)); }
static int hyp_page_count(void *addr) { return page_count(virt_to_page(addr)); }
static void *hyp_phys_to_virt(phys_addr_t phys) { return __va(phys); }
static phys_addr_t hyp_virt_to_phys(void *addr) { return __pa(addr); }
static struct kvm_pgtable_mm_ops hyp_mm_ops = {
	.zalloc_page = hyp_zalloc_page, .get_page = hyp_get_page, .put_page = hyp_put_page,
	.page_count = hyp_page_count, .phys_to_virt = hyp_phys_to_virt, .virt_to_phys = hyp_virt_to_phys,
};
#endif

static long hyp(int op, const u64 *a)
{
	long ret = 0;

	shim_count_failures(1);
	if (op == OP_HYP_INIT) {
		__builtin_memset(&hyp_pgt, 0, sizeof(hyp_pgt));
#ifdef HAVE_MM_OPS
		ret = kvm_pgtable_hyp_init(&hyp_pgt, a[0], &hyp_mm_ops);
#else
		ret = kvm_pgtable_hyp_init(&hyp_pgt, a[0]);
#endif
	} else if (op == OP_HYP_MAP) {
		ret = kvm_pgtable_hyp_map(&hyp_pgt, a[0], a[1], a[2], rights(a[3]));
	} else {
		kvm_pgtable_hyp_destroy(&hyp_pgt);
	}
	shim_count_failures(0);
	return ret;
}
