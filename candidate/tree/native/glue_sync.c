// SPDX-License-Identifier: GPL-2.0-only
/* kvm_arch_sync_dirty_log() of the tree's arm.c, which is not compiled as a whole. In Linux the function is empty. */
#include <linux/kvm_host.h>
#include <asm/kvm_mmu.h>
#include <asm/kvm_pgtable.h>
#include <generated/sync-dirty-log.h>

#ifndef HAVE_SYNC_DIRTY_LOG
__weak void kvm_arch_sync_dirty_log(struct kvm *kvm, struct kvm_memory_slot *memslot) { }
#endif
