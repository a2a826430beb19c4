// SPDX-License-Identifier: GPL-2.0-only
/* Wrappers that record calls of the tree's own memory caches. */
#include "rt.h"

extern int real_kvm_mmu_memory_cache_nr_free_objects(void *mc);
extern int real_kvm_mmu_topup_memory_cache(void *, int) WEAK;
extern int real___kvm_mmu_topup_memory_cache(void *, int, int) WEAK;
extern void *real_kvm_mmu_memory_cache_alloc(void *) WEAK;
extern void real_kvm_mmu_free_memory_cache(void *) WEAK;

static int topped_up(void *mc, int min, int had, int ret, void **frame)
{
	shim_u64 has = real_kvm_mmu_memory_cache_nr_free_objects(mc);

	rt_in_cache--;
	shim_control->left.topup = had < min ? -1 : shim_control->left.topup;
	rt_emit(EV_TOPUP, min, had | has << 32, shim_cache_number(mc) | (shim_u64)(ret != 0) << 32, shim_cache_name(mc), frame);
	return ret;
}

int kvm_mmu_topup_memory_cache(void *mc, int min)
{
	int had = real_kvm_mmu_memory_cache_nr_free_objects(mc), failing = rt_counting_failures, ret;

	rt_must_be_able_to_sleep("kvm_mmu_topup_memory_cache", FRAME);
	rt_in_cache++;
	rt_counting_failures = 1;
	ret = real_kvm_mmu_topup_memory_cache(mc, min);
	rt_counting_failures = failing;
	return topped_up(mc, min, had, ret, FRAME);
}

int __kvm_mmu_topup_memory_cache(void *mc, int capacity, int min)
{
	int had = real_kvm_mmu_memory_cache_nr_free_objects(mc), failing = rt_counting_failures, ret;

	rt_must_be_able_to_sleep("kvm_mmu_topup_memory_cache", FRAME);
	rt_in_cache++;
	rt_counting_failures = 1;
	ret = real___kvm_mmu_topup_memory_cache(mc, capacity, min);
	rt_counting_failures = failing;
	return topped_up(mc, min, had, ret, FRAME);
}

void *kvm_mmu_memory_cache_alloc(void *mc)
{
	int dry = !real_kvm_mmu_memory_cache_nr_free_objects(mc);
	void *object, *va;

	RT_LOADED();
	rt_in_cache++;
	object = real_kvm_mmu_memory_cache_alloc(mc);
	rt_in_cache--;
	rt_emit(EV_MC_POP, real_kvm_mmu_memory_cache_nr_free_objects(mc), dry, shim_cache_number(mc), shim_cache_name(mc), FRAME);
	if (!object)
		return 0;
	va = rt_take(1, 1, EV_ALLOC, 0, 0, FRAME);
	if (va && !rt_is_zero(object)) {
		/* Copy the object, which the tree may have asked to be zeroed or not; a new page is zero. */
		memcpy(va, object, 1UL << RT_PAGE_SHIFT);
		rt_record_contents(va, FRAME);
	}
	rt_stock_free(object);
	return va;
}

int kvm_mmu_memory_cache_nr_free_objects(void *mc)
{
	int has = real_kvm_mmu_memory_cache_nr_free_objects(mc);

	rt_emit(EV_MC_COUNT, has, 0, shim_cache_number(mc), shim_cache_name(mc), FRAME);
	return has;
}

void kvm_mmu_free_memory_cache(void *mc)
{
	int had = real_kvm_mmu_memory_cache_nr_free_objects(mc);

	rt_in_cache++;
	real_kvm_mmu_free_memory_cache(mc);
	rt_in_cache--;
	rt_emit(EV_MC_FREE, had, 0, shim_cache_number(mc), shim_cache_name(mc), FRAME);
	shim_cache_freed(mc);
}
