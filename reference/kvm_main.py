# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12: virt/kvm/kvm_main.c.
"""The part of kvm_main.c that calls mmu.c: MMU notifiers, memory slots, the dirty log."""

from collections.abc import Sequence
from typing import ClassVar

from .compiled.annotations import mypyc_attr
from .kvm import (
    KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
    KVM_MEMSLOT_INVALID,
    first_bitmap,
    kvm,
    kvm_memory_slot,
    kvm_vcpu,
)
from .machine.address_space import HostTraits, NotifierReceiver
from .mmu import KVM_MR_CREATE, KVM_MR_DELETE, KVM_MR_FLAGS_ONLY, KVM_MR_MOVE, Mmu
from .services.errors import EEXIST, EINVAL, ENOENT


@mypyc_attr(allow_interpreted_subclasses=True)
class KvmMain(NotifierReceiver):
    """One VM's part of kvm_main.c, which receives the notifications of the host's address space.

    :param kvm: the VM
    :param mmu: the mmu.c under test
    """

    # The parts of KVM that a tree has and some trees lack, under the names that users know.
    FEATURES: ClassVar[tuple[str, ...]] = ()
    # Capabilities that versions may have.
    SPLITS_EAGERLY: ClassVar[bool] = False
    HAS_DIRTY_RINGS: ClassVar[bool] = False
    HAS_GUEST_MEMFD: ClassVar[bool] = False
    # User space may have pages mapped before the guest touches them (KVM_PRE_FAULT_MEMORY).
    PRE_FAULTS: ClassVar[bool] = False
    # The code runs in another process, which decides itself where actors may give way and keeps track of their locks.
    RUNS_ELSEWHERE: ClassVar[bool] = False
    # Physical addresses of 52 bits with 4K and 16K pages; all versions have them with 64K pages.
    HAS_LPA2: ClassVar[bool] = False
    # VMs may have MTE; memory mapped by hugetlb may have tags.
    HAS_MTE: ClassVar[bool] = False
    TAGS_HUGETLB: ClassVar[bool] = False
    # The kernel knows CPUs on which the size of a live mapping may change without a break (FEAT_BBM).
    HAS_BBM: ClassVar[bool] = False
    # vCPUs may have EL2.
    HAS_NESTED: ClassVar[bool] = False
    # The tables of a VM are freed range by range across its address space, which takes long if the space is large.
    FREES_BY_RANGE: ClassVar[bool] = False
    # Making a page old requires no flush: the host may see it as old while CPUs use it
    # (CONFIG_KVM_ELIDE_TLB_FLUSH_IF_YOUNG).
    ELIDES_AGED_FLUSH: ClassVar[bool] = False
    # Pages are aged under RCU, without the mmu lock (CONFIG_KVM_MMU_LOCKLESS_AGING).
    AGES_WITHOUT_LOCK: ClassVar[bool] = False
    # The memory management of the host kernel that the version belongs to.
    HOST: ClassVar[HostTraits] = HostTraits()

    def __init__(self, kvm: kvm, mmu: Mmu) -> None:
        self.kvm = kvm
        self.mmu = mmu
        self.k = mmu.k
        kvm.attach(self.k)

    def _seq(self) -> None:
        for o in self.k.on.seq:
            o.seq(self.kvm.sequence, self.kvm.mmu_notifier_count)

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        """``kvm_mmu_notifier_invalidate_range_start()``"""
        self.k.lock("srcu")
        self.k.lock("mmu")
        # Before the unlock, so that no fault maps from here on.
        self.kvm.mmu_notifier_count += 1
        self._seq()
        if self.mmu.kvm_unmap_hva_range(self.kvm, start, end, blockable):
            self.mmu.kvm_flush_remote_tlbs(self.kvm)
        self.k.unlock("mmu")
        self.k.unlock("srcu")

    def invalidate_range_end(self) -> None:
        """``kvm_mmu_notifier_invalidate_range_end()``"""
        self.k.lock("mmu")
        self.kvm.sequence += 1
        self.kvm.mmu_notifier_count -= 1
        self._seq()
        self.k.unlock("mmu")

    def changed(self) -> None:
        """The host has changed its pages, within an invalidation of this actor; no action needed here."""

    def lock_mmap(self, shared: bool) -> None:
        """Take the mmap lock for a host thread; waits until it is free."""
        if shared:
            self.k.lock("mmap")
        else:
            self.k.mmap_write_lock()

    def unlock_mmap(self, shared: bool) -> None:
        """Drop the mmap lock that `lock_mmap` took."""
        self.k.unlock("mmap")

    def downgrade_mmap(self) -> None:
        """``mmap_write_downgrade()``: from here on the lock is held for reading; no other actor takes it in between."""
        self.unlock_mmap(False)
        self.lock_mmap(True)

    def change_pte(self, hva: int, pfn: int) -> None:
        """``kvm_mmu_notifier_change_pte()``: the sequence changes, the count does not."""
        self.k.lock("srcu")
        self.k.lock("mmu")
        self.kvm.sequence += 1
        self._seq()
        if self.mmu.kvm_set_spte_hva(self.kvm, hva, pfn):
            self.mmu.kvm_flush_remote_tlbs(self.kvm)
        self.k.unlock("mmu")
        self.k.unlock("srcu")

    def kvm_destroy_vm(self) -> None:
        """``kvm_destroy_vm()`` after the release of the notifier: drop the slots."""
        self.kvm.memslots = []

    def kvm_destroy_nested(self) -> None:
        """``kvm_destroy_nested()``, if ``kvm_destroy_vm()`` does not run: ports have nothing to free."""

    def notify_late(self, start: int, end: int, pfn: int) -> None:
        """Deliver notifications that another CPU began before ``mmu_notifier_release()``: nothing is left to unmap.

        :param start: start of a range of host addresses, up to *end*
        :param pfn: the frame there
        """
        self.invalidate_range_start(start, end, True)
        self.change_pte(start, pfn)
        self.invalidate_range_end()
        self.clear_flush_young(start, end)
        self.test_young(start)

    def clear_flush_young(self, start: int, end: int) -> int:
        """``kvm_mmu_notifier_clear_flush_young()``"""
        self.k.lock("srcu")
        self.k.lock("mmu")
        young = self.mmu.kvm_age_hva(self.kvm, start, end)
        if young:
            self.mmu.kvm_flush_remote_tlbs(self.kvm)
        self.k.unlock("mmu")
        self.k.unlock("srcu")
        return young

    def clear_young(self, start: int, end: int) -> int:
        """``kvm_mmu_notifier_clear_young()``: deliberately no flush."""
        self.k.lock("srcu")
        self.k.lock("mmu")
        young = self.mmu.kvm_age_hva(self.kvm, start, end)
        self.k.unlock("mmu")
        self.k.unlock("srcu")
        return young

    def age(self, pages: Sequence[tuple[int, int]], flush: bool) -> int:
        """Let the host age its pages one by one, without other actors in between.

        :param pages: address and size in bytes of each
        :param flush: use `clear_flush_young`
        :returns: nonzero if at least one page was young
        """
        young = 0
        for hva, size in pages:
            young |= self.clear_flush_young(hva, hva + size) if flush else self.clear_young(hva, hva + size)
        return young

    def test_young(self, hva: int) -> int:
        """``kvm_mmu_notifier_test_young()``"""
        self.k.lock("srcu")
        self.k.lock("mmu")
        young = self.mmu.kvm_test_age_hva(self.kvm, hva)
        self.k.unlock("mmu")
        self.k.unlock("srcu")
        return young

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        for o in self.k.on.cow:
            o.cow(hva, pages, pfn)

    def host_update(self) -> None:
        for o in self.k.on.host_update:
            o.host_update()

    def update_memslots(self, memslot: kvm_memory_slot, change: int) -> None:
        """Install the slots, sorted by guest address, highest first."""
        slots = [slot for slot in self.kvm.memslots if slot.id != memslot.id]
        if change != KVM_MR_DELETE:
            slots.append(memslot)
        slots.sort(key=lambda slot: -slot.base_gfn)
        self.kvm.memslots = slots
        flags = -1 if change == KVM_MR_DELETE else memslot.flags
        for o in self.k.on.slots_installed:
            o.slots_installed(self.kvm.mmu.vmid, memslot.id, flags, flags != -1 and memslot.dirty_bitmap is not None)
        # ``install_new_memslots()``: faults in flight still use the old slots.
        self.k.synchronize_srcu()

    def kvm_set_memslot(self, old: kvm_memory_slot | None, new: kvm_memory_slot, change: int) -> int:
        if old is not None and change in (KVM_MR_DELETE, KVM_MR_MOVE):
            # No fault maps into the slot from here on; then its mappings are removed.
            slot = kvm_memory_slot(
                old.id, old.base_gfn, old.npages, old.flags | KVM_MEMSLOT_INVALID, old.userspace_addr
            )
            slot.dirty_bitmap = old.dirty_bitmap
            self.update_memslots(slot, KVM_MR_FLAGS_ONLY)
            self.mmu.kvm_arch_flush_shadow_memslot(self.kvm, slot)

        ret = self.mmu.kvm_arch_prepare_memory_region(self.kvm, new, change)
        if ret:
            if old is not None and change in (KVM_MR_DELETE, KVM_MR_MOVE):
                self.update_memslots(old, KVM_MR_FLAGS_ONLY)
            return ret

        self.update_memslots(new, change)
        self.mmu.kvm_arch_commit_memory_region(self.kvm, new.id, new.flags, change)
        return 0

    def kvm_set_memory_region(
        self, id: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> int:
        """KVM_SET_USER_MEMORY_REGION: call `__kvm_set_memory_region__` under ``kvm->slots_lock``."""
        self.k.mutex_lock("slots")
        ret = self.__kvm_set_memory_region__(id, flags, guest_phys_addr, memory_size, userspace_addr)
        self.k.mutex_unlock("slots")
        return ret

    def __kvm_set_memory_region__(
        self, id: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> int:
        """Create, move, change or (*memory_size* 0) delete a slot.

        :returns: 0, -EINVAL, -EEXIST (overlap), or the architecture's error
        """
        page_mask = self.mmu.PAGE_SIZE - 1
        if flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY):
            return -EINVAL
        if memory_size & page_mask or guest_phys_addr & page_mask or userspace_addr & page_mask:
            return -EINVAL

        old = self.mmu.h.id_to_memslot(self.kvm, id)
        if not memory_size:
            if old is None:
                return -EINVAL
            return self.kvm_set_memslot(old, kvm_memory_slot(id, 0, 0, 0, 0), KVM_MR_DELETE)

        new = kvm_memory_slot(
            id, guest_phys_addr >> self.mmu.PAGE_SHIFT, memory_size >> self.mmu.PAGE_SHIFT, flags, userspace_addr
        )
        if old is None:
            change = KVM_MR_CREATE
        else:
            if (
                new.userspace_addr != old.userspace_addr
                or new.npages != old.npages
                or (new.flags ^ old.flags) & KVM_MEM_READONLY
            ):
                return -EINVAL
            if new.base_gfn != old.base_gfn:
                change = KVM_MR_MOVE
            elif new.flags != old.flags:
                change = KVM_MR_FLAGS_ONLY
            else:
                return 0
            new.dirty_bitmap = old.dirty_bitmap

        if change in (KVM_MR_CREATE, KVM_MR_MOVE):
            for slot in self.kvm.memslots:
                if slot.id != id and (
                    new.base_gfn + new.npages > slot.base_gfn and new.base_gfn < slot.base_gfn + slot.npages
                ):
                    return -EEXIST

        if not new.flags & KVM_MEM_LOG_DIRTY_PAGES:
            new.dirty_bitmap = None
        elif new.dirty_bitmap is None:
            new.dirty_bitmap = first_bitmap(self.kvm, new.npages)

        return self.kvm_set_memslot(old, new, change)

    def kvm_vcpu_pre_fault_memory(self, vcpu: kvm_vcpu, gpa: int, size: int) -> tuple[int, int, int]:
        """Map pages as if the vCPU read them, unless a version has no such call.

        :returns: 0 or a negative errno, the address and the number of the bytes that are left
        """
        return -EINVAL, gpa, size

    def kvm_gmem_punch_hole(self, id: int, offset: int, size: int) -> int:
        """``fallocate(FALLOC_FL_PUNCH_HOLE)`` on the guest_memfd of a slot, in bytes.

        :returns: 0 or a negative errno
        """
        return -EINVAL

    def kvm_gmem_error_folio(self, id: int, offset: int) -> int:
        """``memory_failure()`` of a page of the guest_memfd of a slot, *offset* bytes from its start.

        :returns: 0 or a negative errno
        """
        return -EINVAL

    def kvm_gmem_release(self, id: int, size: int) -> int:
        """Close the guest_memfd of a slot of *size* bytes: the last reference to the file is dropped.

        :returns: 0 or a negative errno
        """
        return -EINVAL

    def kvm_dirty_ring_check_request(self, vcpu_id: int) -> bool:
        """Return whether the dirty ring of a vCPU is so full that the vCPU does not run."""
        return False

    def harvest_dirty_rings(self) -> list[tuple[int, int]]:
        """Return the entries that user space takes from the mapped rings of all vCPUs.

        :returns: slot number and page within the slot, for each entry
        """
        return []

    def kvm_vm_ioctl_reset_dirty_pages(self) -> int:
        """KVM_RESET_DIRTY_RINGS.

        :returns: number of harvested entries, or -EINVAL if there are no rings
        """
        return -EINVAL

    def take_bits(self, memslot: kvm_memory_slot, word: int, mask: int, whole: bool = False) -> None:
        """Clear bits of a dirty bitmap that are returned to user space, now or by an earlier call.

        :param whole: by ``xchg()``, so *mask* has all bits of the word; otherwise by ``atomic_long_fetch_andnot()``
        """
        assert memslot.dirty_bitmap is not None
        memslot.dirty_bitmap[word] &= ~mask
        for o in self.k.on.log_taken:
            o.log_taken(self.kvm.mmu.vmid, memslot.id, memslot.base_gfn + word * 64, mask, whole)

    def store_bits(self, memslot: kvm_memory_slot, word: int, bits: int) -> None:
        """Store a word of a dirty bitmap by a plain store. The original has none: bits set meanwhile are lost."""
        assert memslot.dirty_bitmap is not None
        memslot.dirty_bitmap[word] = bits
        for o in self.k.on.log_stored:
            o.log_stored(self.kvm.mmu.vmid, memslot.id, memslot.base_gfn + word * 64, 64)

    def kvm_vm_ioctl_get_dirty_log(self, id: int) -> tuple[int, list[int]]:
        """KVM_GET_DIRTY_LOG: call `kvm_get_dirty_log_protect` under ``kvm->slots_lock``."""
        self.k.mutex_lock("slots")
        ret, bitmap = self.kvm_get_dirty_log_protect(id)
        self.k.mutex_unlock("slots")
        return ret, bitmap

    def kvm_get_dirty_log_protect(self, id: int) -> tuple[int, list[int]]:
        """Return the dirty log of a slot, and clear it unless manual protection is enabled.

        :returns: 0 or -ENOENT, and the bitmap, 64 pages a word
        """
        memslot = self.mmu.h.id_to_memslot(self.kvm, id)
        if memslot is None or memslot.dirty_bitmap is None:
            return -ENOENT, []

        dirty_bitmap = memslot.dirty_bitmap
        if self.kvm.manual_dirty_log_protect & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE:
            return 0, dirty_bitmap[:]

        flush = False
        snapshot = [0] * len(dirty_bitmap)
        self.k.lock("mmu")
        for i in range(len(dirty_bitmap)):
            mask = dirty_bitmap[i]
            if not mask:
                continue

            flush = True
            self.take_bits(memslot, i, mask, True)
            snapshot[i] = mask
            self.mmu.kvm_arch_mmu_enable_log_dirty_pt_masked(self.kvm, memslot, i * 64, mask)
        self.k.unlock("mmu")

        if flush:
            self.mmu.kvm_flush_remote_tlbs(self.kvm)
        return 0, snapshot

    def kvm_vm_ioctl_clear_dirty_log(self, id: int, first_page: int, num_pages: int, bitmap: list[int]) -> int:
        """KVM_CLEAR_DIRTY_LOG: call `kvm_clear_dirty_log_protect` under ``kvm->slots_lock``."""
        self.k.mutex_lock("slots")
        ret = self.kvm_clear_dirty_log_protect(id, first_page, num_pages, bitmap)
        self.k.mutex_unlock("slots")
        return ret

    def kvm_clear_dirty_log_protect(self, id: int, first_page: int, num_pages: int, bitmap: list[int]) -> int:
        """Clear the dirty log of a slot: *bitmap* holds the pages from *first_page* on.

        :returns: 0, -EINVAL, -ENOENT
        """
        if first_page & 63:
            return -EINVAL
        memslot = self.mmu.h.id_to_memslot(self.kvm, id)
        if memslot is None or memslot.dirty_bitmap is None:
            return -ENOENT
        pages_left = memslot.npages - first_page
        if first_page > memslot.npages or num_pages > pages_left or (num_pages < pages_left and num_pages & 63):
            return -EINVAL

        flush = False
        self.k.lock("mmu")
        for i in range((num_pages + 63) >> 6):
            word = (first_page >> 6) + i
            mask = bitmap[i] & memslot.dirty_bitmap[word]
            if mask:
                flush = True
                # An AND with no bits left is a whole word too.
                self.take_bits(memslot, word, mask, bitmap[i] == (1 << 64) - 1)
                self.mmu.kvm_arch_mmu_enable_log_dirty_pt_masked(self.kvm, memslot, word * 64, mask)
        self.k.unlock("mmu")

        if flush:
            self.mmu.kvm_flush_remote_tlbs(self.kvm)
        return 0
