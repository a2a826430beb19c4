// SPDX-License-Identifier: GPL-2.0-only
/* Cache maintenance, actions of the driver, direct calls of pgtable.c, and the remaining models. */
#include "rt.h"

void dcache_clean_inval_poc(unsigned long s, unsigned long e)
{
	RT_BEFORE(POINT_CLEAN);
	CALL(EV_DCACHE, rt_pa((void *)s), e - s, 0, 0);
	RT_AFTER(POINT_CLEAN);
}
void __flush_dcache_area(void *p, unsigned long n)
{
	RT_BEFORE(POINT_CLEAN);
	CALL(EV_DCACHE, rt_pa(p), n, 0, 0);
	RT_AFTER(POINT_CLEAN);
}
void icache_inval_pou(unsigned long s, unsigned long e)
{
	RT_BEFORE(POINT_CLEAN);
	CALL(EV_ICACHE, rt_pa((void *)s), e - s, 0, 0);
	RT_AFTER(POINT_CLEAN);
}
int invalidate_icache_range(unsigned long s, unsigned long e)
{
	RT_BEFORE(POINT_CLEAN);
	CALL(EV_ICACHE, rt_pa((void *)s), e - s, 0, 0);
	RT_AFTER(POINT_CLEAN);
	return 0;
}

/* These also clean the data, as a write of code needs it. */
ALIAS(caches_clean_inval_pou, icache_inval_pou)
ALIAS(__flush_icache_range, icache_inval_pou)

/* ---- actions that only the driver requests ---- */

void shim_within_cache(int by) { rt_in_cache += by; }

/* The hardware sets an access flag: not a store of kernel code, so there is no record. */
void shim_set_entry(shim_u64 entry, shim_u64 value)
{
	shim_u64 *p = (shim_u64 *)SHIM_ARENA + entry;

	if (entry < SHIM_ARENA_SIZE >> 3)
		*p = *rt_shadow_at(p) = value;
}

/* ---- the rest: types differ between trees, the calling convention does not ---- */

unsigned long kvm_get_pa_bits(void *kvm)
{
	return shim_pa_bits() ? (unsigned long)shim_pa_bits() : shim_memory_start ? 52 : 48;
}
unsigned long get_kvm_ipa_limit(void) { return shim_memory_start ? 52 : 48; }
unsigned long vcpu_read_sys_reg(const void *vcpu, int reg) { return shim_sys_reg(vcpu, reg); }
long shim_unmodelled(const char *name, void *ret) { shim_emit(EV_UNMODELLED, 0, 0, 0, name); return 0; }
int kvm_use_dirty_bitmap(void *kvm) { return 1; }	/* for trees without dirty rings; others define it */
int kvm_arch_allow_write_without_running_vcpu(void *kvm) { return 1; }
unsigned char static_key_initialized = 1;	/* the system has booted */
/* There is one CPU, number 0. CPU masks are single words. */
unsigned int nr_cpu_ids = 1;
unsigned long __cpu_possible_mask[1] = { 1 }, __cpu_online_mask[1] = { 1 };
extern void kvm_flush_remote_tlbs(void *kvm);
void kvm_arch_flush_remote_tlbs_memslot(void *kvm, void *slot) { kvm_flush_remote_tlbs(kvm); }	/* arm.c until 6.5 */
unsigned long _copy_to_user(void *to, const void *from, unsigned long n)
{
	memcpy(shim_user_buffer((unsigned long)to, n), from, n);
	return 0;
}
unsigned long _copy_from_user(void *to, const void *from, unsigned long n)
{
	memcpy(to, shim_user_buffer((unsigned long)from, n), n);
	return 0;
}
/* Statistics: those of a node have one that counts tables. */
static void account(int item, long delta, void **frame)
{
	if (item == shim_secondary_pagetable)
		rt_emit(EV_ACCOUNT, (shim_u64)delta, 0, 0, 0, frame);
}
void mod_node_page_state(void *node, int item, long delta) { account(item, delta, FRAME); }
ALIAS(__mod_node_page_state, mod_node_page_state)
void inc_node_page_state(void *page, int item) { account(item, 1, FRAME); }
ALIAS(__inc_node_page_state, inc_node_page_state)
void dec_node_page_state(void *page, int item) { account(item, -1, FRAME); }
ALIAS(__dec_node_page_state, dec_node_page_state)
void panic(const char *format, ...) { shim_crash("panic()", FRAME, 0); }
void shim_die(void) { shim_crash("BUG()", FRAME, 0); }

/*
 * ---- direct calls of the pgtable.c functions that the tree has, with the arguments that probes.py knows; surplus ones
 * are harmless ----
 */

#define PGT(name) \
extern long kvm_pgtable_stage2_##name(void *, shim_u64, shim_u64, shim_u64, shim_u64, void *, shim_u64) WEAK;
PGT(map) PGT(unmap) PGT(wrprotect) PGT(mkyoung) PGT(mkold) PGT(is_young) PGT(relax_perms) PGT(flush)
PGT(test_clear_young)

long shim_table_call(enum shim_table_op op, void *pgt, shim_u64 addr, shim_u64 size, shim_u64 phys, shim_u64 prot,
		     void *mc)
{
	shim_u64 page = 1UL << RT_PAGE_SHIFT;

	switch (op) {
	case T_MAP: return (int)kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc, 0);
	case T_UNMAP: return (int)kvm_pgtable_stage2_unmap(pgt, addr, size, 0, 0, 0, 0);
	case T_WRPROTECT: return (int)kvm_pgtable_stage2_wrprotect(pgt, addr, size, 0, 0, 0, 0);
	case T_MKYOUNG: kvm_pgtable_stage2_mkyoung(pgt, addr, 0, 0, 0, 0, 0); return 0;
	case T_RELAX: return (int)kvm_pgtable_stage2_relax_perms(pgt, addr, prot, 0, 0, 0, 0);
	case T_FLUSH: return (int)kvm_pgtable_stage2_flush(pgt, addr, size, 0, 0, 0, 0);
	case T_MKOLD:
		if (kvm_pgtable_stage2_mkold) {
			shim_u64 pte = kvm_pgtable_stage2_mkold(pgt, addr, 0, 0, 0, 0, 0);

			return pte & 1 && pte >> 10 & 1;
		}
		return kvm_pgtable_stage2_test_clear_young(pgt, addr, page, 1, 0, 0, 0) & 0xff;
	case T_IS_YOUNG:
		if (kvm_pgtable_stage2_is_young)
			return kvm_pgtable_stage2_is_young(pgt, addr, 0, 0, 0, 0, 0) & 0xff;
		return kvm_pgtable_stage2_test_clear_young(pgt, addr, page, 0, 0, 0, 0) & 0xff;
	}
	return -22;
}
