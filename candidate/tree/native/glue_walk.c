// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records every table walk. The tree's kvm_pgtable_walk() is weak and has a second name (plan.py), so its callers, also those in
 * pgtable.c, call the function here. Its types differ between trees, the calling convention does not.
 */
#include "glue.h"

long real_kvm_pgtable_walk(void *pgt, shim_u64 addr, shim_u64 size, void *walker, shim_u64, shim_u64)
	__attribute__((weak));

long kvm_pgtable_walk(void *pgt, shim_u64 addr, shim_u64 size, void *walker, shim_u64 more, shim_u64 rest)
{
	int vmid = shim_vmid_of_walk(pgt);
	/* The place of the record is the callback, the first member of a walker, as if the callback made the call. */
	char *callback = *(char **)walker;
	void *frame[2] = { __builtin_frame_address(0), callback + 1 };

	if (vmid >= 0)
		rt_walk(vmid, addr, size, frame);
	else if (shim_irqs_on && shim_walks_user_tables(pgt))
		rt_emit(EV_USER_WALK, addr, size, 0, 0, __builtin_frame_address(0));
	return real_kvm_pgtable_walk(pgt, addr, size, walker, more, rest);
}
