// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree's own dirty_ring.c, if its arm64 has dirty rings. The reset of entries is recorded before their pages
 * are write-protected.
 */
#include "probe.h"
#include "glue.h"
#include <linux/kvm_host.h>

#ifdef HAVE_DIRTY_RING
static void protect(struct kvm *kvm, struct kvm_memory_slot *slot, gfn_t offset, unsigned long mask)
{
	u64 what = (u64)shim_vm_of_mmu(&kvm->arch.mmu) << 32 | (u64)slot->id;

	SHIM_EV(EV_LOG_TAKEN, what, slot->base_gfn + offset, mask, 0);
	kvm_arch_mmu_enable_log_dirty_pt_masked(kvm, slot, offset, mask);
}
#define kvm_arch_mmu_enable_log_dirty_pt_masked protect
#include DIRTY_RING_C
#endif
