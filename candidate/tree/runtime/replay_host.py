# SPDX-License-Identifier: GPL-2.0-only
"""The part of a replay that concerns the host: memory caches, frames, small allocations, exits, warnings."""

from typing import Final

from reference.kvm import memslot_is_readonly
from reference.services.structs import kvm_mmu_memory_cache

from . import records as r
from .replay_vms import VmReplay

# Records hold signed words, like entries. This mask makes an address unsigned.
_ADDRESS: Final = (1 << 64) - 1
# KVM_PFN_ERR_MASK: the errors of a lookup are the first values from here on; "no slot" has the sign bit.
_ERRORS: Final = 0x7FF << 52


class HostReplay(VmReplay):
    """Replays the events of one side, except those of tables."""

    def memory_cache(self, number: int, name: int) -> kvm_mmu_memory_cache:
        """Return a memory cache by its number in records, and the number of its name in records."""
        if number == r.CACHE_OF_CALL and self.own.cache is not None:
            return self.own.cache
        cache = self.caches.get(number)
        if cache is None:
            cache = self.caches[number] = kvm_mmu_memory_cache(self.name(name) if name else "")
        return cache

    def replay_host_memory(self, kind: int, name: int, a: int, b: int, c: int) -> None:
        """Replay an event of memory caches, areas, frames or rescheduling."""
        k = self.kernel
        if kind == r.RESCHED:
            self.select_vm(a)
            self.visited(c >> 1)
            # If the code drops the lock, separate records report it.
            if not b:
                k.offer_resched()
            elif b < len(r.QUESTIONS):
                k.report_query(r.QUESTIONS[b], c & 1 != 0)
            else:
                k.cond_resched()
        elif kind == r.TOPUP:
            cache = self.memory_cache(c & 0xFFFFFFFF, name)
            cache.nobjs = b >> 32
            k.topped_up(cache, a, b & 0xFFFFFFFF, -12 if c >> 32 else 0, "mmu" in k.locks)
        elif kind == r.MC_POP:
            if b:
                k.warn("cache-empty")
            cache = self.memory_cache(c, name)
            cache.nobjs = a
            k.popped(cache)
        elif kind == r.MC_FREE:
            cache = self.memory_cache(c, name)
            cache.nobjs = 0
            k.cache_freed(cache, a)
            self.caches.pop(c, None)
        elif kind == r.VMA:
            for o in k.on.vma:
                o.vma(a, b, c)
        elif kind == r.PIN:
            self.add_pin(a)
            for o in k.on.pin:
                o.pin(a)
        elif kind == r.GFN:
            pfn = b if 0 <= b < _ERRORS else -4 if b < 0 else {1: -1, 2: -3}.get(b & 3, -2)
            slot = self.host.gfn_to_memslot(self.vms[k.vmid - 1], a)
            writable = c & 2 != 0 and pfn >= 0 and slot is not None and not memslot_is_readonly(slot)
            k.slots_locked = c & 4 != 0
            for o in k.on.gfn_to_pfn:
                o.gfn_to_pfn(a, pfn, c & 1 != 0, writable)
            k.slots_locked = False
        elif kind == r.GET_PFN:
            self.add_pin(a)
            for o in k.on.get_pfn:
                o.get_pfn(a)
        elif kind == r.RELEASE_PFN:
            pfn = self.drop_pin(a)
            for o in k.on.release:
                o.release(pfn)
        elif kind == r.ACCESSED:
            pfn = self.pinned(a)
            for o in k.on.set_accessed:
                o.set_accessed(pfn)
        elif kind == r.DIRTY:
            pfn = self.pinned(a)
            for o in k.on.set_dirty:
                o.set_dirty(pfn)
        elif kind == r.THP:
            for o in k.on.thp:
                o.thp(a, b != 0)
        elif kind == r.MARK:
            k.slots_locked = b != 0
            self.host.mark_page_dirty(self.vms[k.vmid - 1], a)
            k.slots_locked = False

    def add_pin(self, pfn: int) -> None:
        """Add a reference to a frame."""
        pins = self.host.pins
        pins[pfn] = pins.get(pfn, 0) + 1
        self.host.mm.hold(pfn)
        frames = self.host.mm.frames_around(pfn)
        if frames > 1:
            self.own.huge_pins[pfn] = frames

    def pinned(self, pfn: int) -> int:
        """Return the frame that has a reference, if *pfn* stands for a huge page: any of its frames that has one.

        Folios have the first frame of a huge page, whichever of its frames was looked up.
        """
        pins = self.host.pins
        if pfn in pins or not pins:
            return pfn
        now = self.host.mm.frames_around(pfn)
        for other in pins:
            frames = max(now, self.own.huge_pins.get(other, 1))
            if frames > 1 and other & -frames == pfn & -frames:
                return other
        return pfn

    def drop_pin(self, pfn: int) -> int:
        """Drop a reference, and return the frame that had it."""
        pins = self.host.pins
        pfn = self.pinned(pfn)
        self.host.mm.drop_hold(pfn)
        left = pins.pop(pfn, 0) - 1
        if left > 0:
            pins[pfn] = left
        else:
            self.own.huge_pins.pop(pfn, None)
        return pfn

    def replay_other(self, kind: int, name: int, a: int, b: int, c: int) -> None:
        """Replay exits, small allocations, warnings, and the remaining kinds of records."""
        k = self.kernel
        if kind == r.WALK:
            self.replay_walk(a, b, c)
            return
        if kind == r.MC_COUNT:
            k.objects_counted(self.memory_cache(c, name), a)
            return
        if kind == r.USER_WALK:
            for o in k.on.user_walk:
                o.user_walk(a, a + b)
            return
        if kind == r.IRQS_LEFT:
            for o in k.on.irqs_left:
                o.irqs_left(a != 0)
            return
        if kind == r.ACQUIRE:
            for o in k.on.acquired:
                o.acquired()
            return
        if kind == r.VMA_READ:
            for o in k.on.vma_read:
                o.vma_read(a, b, c != 0)
            return
        if kind == r.TAGS:
            self.host.mte_clear_page_tags(a, b != 0)
            return
        if kind == r.OTHER_LOCK:
            k.warn(r.WRONG_LOCKS[a], self.place(b).where if b else "")
            return
        if kind == r.ACCOUNT:
            for o in k.on.accounted:
                o.accounted(a)
            return
        if kind == r.LOG_STORED:
            for o in k.on.log_stored:
                o.log_stored(self.vms[a >> 32].mmu.vmid, a & 0xFFFFFFFF, b, c)
            return
        if kind == r.RING_EARLY:
            slot = self.host.id_to_memslot(self.vms[a >> 32], a & 0xFFFFFFFF)
            for o in k.on.ring_early:
                o.ring_early(self.vms[a >> 32].mmu.vmid, b + (0 if slot is None else slot.base_gfn), c != 0)
            return
        if kind == r.LOG_BESIDE:
            for o in k.on.log_beside_ring:
                o.log_beside_ring(self.vms[a].mmu.vmid, b)
            return
        if kind == r.NO_STRUCT_PAGE:
            for o in k.on.no_struct_page:
                o.no_struct_page(a, b != 0)
            return
        if kind == r.SRCU_SYNC:
            for o in k.on.synchronize_srcu:
                o.synchronize_srcu()
            return
        if kind == r.UNREGISTERED:
            for o in k.on.unregistered:
                o.unregistered(self.vms[a].mmu.vmid)
            return
        if kind == r.PRE_FAULT:
            self.select_vm(a)
            for o in k.on.pre_fault:
                o.pre_fault(k.vmid, b, c)
            return
        if kind == r.PRE_FAULTED:
            for o in k.on.pre_faulted:
                o.pre_faulted(k.vmid, a, b, c)
            return
        if kind == r.FILE_LOSES:
            for o in k.on.file_loses:
                o.file_loses(a, b)
            return
        if kind == r.FILE_PAGE:
            for o in k.on.file_page:
                o.file_page(a, b != 0)
            return
        if kind == r.SLEEP:
            if a:
                k.warn("sleeping-call-atomic", f"{self.name(name)} may sleep, and {r.ATOMIC[a]}")
            else:
                k.might_sleep()
            return
        if kind == r.INJECT:
            self.host.inject(self.name(name), 0 if self.name(name) == "vabt" else a & _ADDRESS if a != -1 else -1)
        elif kind == r.IO:
            self.host.io_mem_abort(a & _ADDRESS)
        elif kind == r.SIGBUS:
            self.host.send_sig_mceerr(a & _ADDRESS, b)
        elif kind == r.WARN:
            text = self.name(name)
            held = "lock-not-held" if text.startswith("lockdep_assert_held") else ""
            k.warn(held or "in " + self.place(k.chain).function, text)
        elif kind in (r.KZALLOC, r.PERCPU, r.KFREE, r.PERCPU_FREE):
            counted, allocated = self.place(k.chain).stage2, kind in (r.KZALLOC, r.PERCPU)
            if counted:
                k.allocates_atomically = c != 0
                self.replay_small(kind, b != 0)
                k.allocates_atomically = False
            number = b if allocated else a
            # A failed allocation has no number. Neither has an object that was allocated without a record.
            if number or (allocated and not counted):
                for o in k.on.object:
                    o.object(number, allocated, counted)

    def replay_walk(self, vmid: int, address: int, size: int) -> None:
        """Replay ``kvm_pgtable_walk()``, which walks whole pages; the place of the record is the callback."""
        page = self.kernel.granule.page_size
        start = address & -page
        if vmid > len(self.vms):
            vmid = self.mmu_of(vmid - 1).vmid
        self.kernel.walk(vmid, start, (start + size + page - 1) & -page)

    def replay_small(self, kind: int, ok: bool) -> None:
        """Replay a small allocation or release by the files under test."""
        k = self.kernel
        if kind == r.KZALLOC:
            for o in k.on.kzalloc:
                o.kzalloc(ok)
        elif kind == r.PERCPU:
            for o in k.on.percpu:
                o.percpu(ok)
        elif kind == r.KFREE:
            k.kfree()
        else:
            k.free_percpu()
