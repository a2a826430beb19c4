// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree's own dirty_ring.c, if its arm64 has dirty rings. The reset of entries is recorded before their pages
 * are write-protected. A push that publishes an entry too early is recorded when it returns.
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

#ifdef HAVE_RING_PUSH
#include <trace/events/kvm.h>	/* before names are redefined: trace points have the same ones */

/* The entry that is being pushed: its contents, and their state at the last barrier and when the flag was last named. */
static struct {
	struct kvm_dirty_gfn *entry;
	u32 slot;
	u64 offset;
	int ordered, named, was_filled, was_ordered;
} pushed;
enum { DIRTY_FLAG = KVM_DIRTY_GFN_F_DIRTY };

static int filled(void)
{
	return pushed.entry && pushed.entry->slot == pushed.slot && pushed.entry->offset == pushed.offset;
}
static void orders_stores(void)
{
	pushed.ordered = filled();
}
/* The tree's code names the flag where it stores it: what the entry holds by then is what a reader may find. */
static u32 publishes(void)
{
	pushed.named = 1;
	pushed.was_filled = filled();
	pushed.was_ordered = pushed.ordered;
	return DIRTY_FLAG;
}
#undef KVM_DIRTY_GFN_F_DIRTY
#define KVM_DIRTY_GFN_F_DIRTY publishes()
/* All barriers except those of loads: their options end in "ld". */
#define ORDERS(opt) do { if (#opt[sizeof(#opt) - 2] != 'd') orders_stores(); } while (0)
#undef dmb
#define dmb(opt) do { ORDERS(opt); SHIM_EV(EV_DMB, 0, 0, 0, #opt); } while (0)
#undef dsb
#define dsb(opt) do { ORDERS(opt); SHIM_EV(EV_DSB, 0, 0, 0, #opt); } while (0)
#undef __smp_store_release
#define __smp_store_release(p, v) do { orders_stores(); WRITE_ONCE(*(p), v); } while (0)

#define kvm_dirty_ring_push real_kvm_dirty_ring_push
void kvm_dirty_ring_push(struct kvm_vcpu *vcpu, u32 slot, u64 offset);
#endif
#include DIRTY_RING_C
#ifdef HAVE_RING_PUSH
#undef kvm_dirty_ring_push

void kvm_dirty_ring_push(struct kvm_vcpu *vcpu, u32 slot, u64 offset)
{
	struct kvm_dirty_ring *ring = &vcpu->dirty_ring;
	u64 what = (u64)shim_vm_of_mmu(&vcpu->kvm->arch.mmu) << 32 | (u16)slot;

	memset(&pushed, 0, sizeof(pushed));
	pushed.entry = &ring->dirty_gfns[ring->dirty_index & (ring->size - 1)];
	pushed.slot = slot;
	pushed.offset = offset;
	real_kvm_dirty_ring_push(vcpu, slot, offset);
	if (pushed.named && !(pushed.was_filled && pushed.was_ordered))
		SHIM_EV(EV_RING_EARLY, what, offset, pushed.was_filled, 0);
	pushed.entry = NULL;
}
#endif
#endif
