# SPDX-License-Identifier: GPL-2.0-only
"""The part of a replay that does not concern tables: memory caches, frames, notifiers, slots, dirty logs, exits."""

from typing import Final

from reference.events import Observer
from reference.kernel import Kernel
from reference.kvm import first_bitmap, kvm, kvm_memory_slot, memslot_is_readonly
from reference.kvm_host import KvmHost
from reference.per_actor import PerActor, PerActorStates
from reference.pgtable import kvm_pgtable
from reference.services.structs import kvm_mmu_memory_cache

from ..building.units import is_stage2
from . import records as r
from .code_places import CodePlace, CodePlaces
from .history import History
from .process import Process
from .tlb import TreeTlb

# Records hold signed words, like entries. This mask makes an address unsigned.
_ADDRESS: Final = (1 << 64) - 1
# KVM_PFN_ERR_MASK: the errors of a lookup are the first values from here on; "no slot" has the sign bit.
_ERRORS: Final = 0x7FF << 52


class CallReplay(PerActor):
    """State of the call in progress."""

    def __init__(self) -> None:
        # The memory cache that the call uses.
        self.cache: kvm_mmu_memory_cache | None = None
        # The walker callback that ran before an RCU callback.
        self.interrupted = ""
        self.sampled = -1
        self.counted = -1
        # Frames that were pinned as parts of a huge page, and its size in frames. That counts even if the host's
        # mapping changes.
        self.huge_pins: dict[int, int] = {}

    def copy(self) -> "CallReplay":
        mine = CallReplay()
        mine.cache, mine.interrupted = self.cache, self.interrupted
        mine.sampled, mine.counted = self.sampled, self.counted
        mine.huge_pins = self.huge_pins.copy()
        return mine


class ReplayTurns(Observer):
    """Switches a replay to the state of the actor whose turn begins.

    :param replay: the replay to switch
    """

    def __init__(self, replay: "HostReplay") -> None:
        self.replay = replay

    def turn(self, actor: int) -> None:
        self.replay.own = self.replay.per_actor.of(actor)


class HostReplay:
    """Replays the events of one side, except those of tables.

    :param kernel: its observers receive the events
    :param host: has the frames that are looked up
    :param process: the source of the records
    :param places: the code places of its library
    """

    def __init__(self, kernel: Kernel, host: KvmHost, process: Process, places: CodePlaces) -> None:
        self.kernel = kernel
        self.host = host
        self.process = process
        self.places = places
        self.vms: list[kvm] = []
        tlb = kernel.tlb
        assert isinstance(tlb, TreeTlb)
        tlb.vms = self.vms
        self.tlb = tlb
        # Number of pages and host address of the slot being set, by VM and slot number.
        self.sizes: dict[tuple[int, int], tuple[int, int]] = {}
        # Numbers of chains and names stay valid for the lifetime of the process.
        self.placed = process.places
        # The chain of the last record.
        self.chain = 0
        # The state of the actor that runs.
        self.own = CallReplay()
        self.per_actor = PerActorStates(self.own)
        kernel.observe(ReplayTurns(self))
        self.history = History(kernel.entries, process.places)
        kernel.last = self.history

    def place(self, chain: int) -> CodePlace:
        """Return the code place that a chain number stands for."""
        placed = self.placed
        found = placed[chain] if chain < len(placed) else None
        if found is None:
            found = self.places.place(self.process.chain(chain) if chain else ())
            placed += [None] * (chain + 1 - len(placed))
            placed[chain] = found
        return found

    def name(self, number: int) -> str:
        """Return the text of a record by its number."""
        names = self.process.texts
        if number >= len(names):
            names = self.process.texts = self.process.name_list()
        return names[number] if number < len(names) else "?"

    def select_vm(self, vm: int) -> None:
        """Make this VM the one that the following records belong to; -1 changes nothing."""
        if vm >= 0:
            self.kernel.vmid = vm + 1

    def visited(self, entries: int) -> None:
        """Set how many entries the code has read so far; -1: not known yet."""
        if entries >= 0:
            self.kernel.visited = entries

    def replay_host_memory(self, kind: int, a: int, b: int, c: int) -> None:
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
            has = c & 0xFFFFFFFF
            if self.own.cache is not None:
                self.own.cache.nobjs = has
            for o in k.on.topup:
                o.topup(a, b, has, -12 if c >> 32 else 0, "mmu" in k.locks)
        elif kind == r.MC_POP:
            if b:
                k.warn("cache-empty")
            if self.own.cache is not None:
                self.own.cache.nobjs = a
            for o in k.on.mc_pop:
                o.mc_pop(a)
        elif kind == r.MC_FREE:
            for o in k.on.mc_free:
                o.mc_free(a)
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

    def replay_notifier(self, kind: int, a: int, b: int, c: int) -> None:
        """Replay an event of the notifier sequence, memory slots, dirty logs or the root."""
        k = self.kernel
        if kind == r.SEQ_READ:
            counted, self.own.counted = self.own.counted, -1
            if counted == 0 or (counted > 0 and "mmu" in k.locks):
                self.replay_retry(b, counted, b != self.own.sampled)
            else:
                self.own.sampled = b
                for o in k.on.sample:
                    o.sample(b)
        elif kind == r.COUNT_READ:
            # mmu_notifier_retry() reads the count, and only if that is 0 the sequence. mmu_invalidate_retry_gfn()
            # also reads the sequence if the invalidation in progress does not cover the page.
            if b:
                self.replay_retry(self.vms[a].sequence, b, True)
            self.own.counted = b
        elif kind == r.SEQ:
            number = a & 0xFF
            self.select_vm(number)
            vm = self.vms[number]
            vm.sequence, vm.mmu_notifier_count = b, c
            vm.active_notifiers = (a >> 8) - 1
            for o in k.on.seq:
                o.seq(b, c)
        elif kind == r.SLOTS:
            self.replay_slots(a >> 32, a & 0xFFFFFFFF, b, c)
        elif kind == r.LOG_TAKEN:
            self.replay_log_taken(a >> 32, a & 0x7FFFFFFF, b, c & (1 << 64) - 1, a >> 31 & 1 != 0)
        elif kind == r.ROOT:
            self.replay_root(a, b != 0, c)

    def replay_root(self, vm: int, linked: bool, pgd: int) -> None:
        """Replay the setting of ``kvm->arch.mmu.pgt``; the VM notifies its observers."""
        pgt = None
        if linked:
            pgt = kvm_pgtable()
            pgt.mmu = self.vms[vm].mmu
            pgt.pgd = pgd
        self.vms[vm].pgt = pgt

    def replay_retry(self, now: int, in_progress: int, result: bool) -> None:
        """Report a call of ``mmu_notifier_retry()`` to the observers."""
        for o in self.kernel.on.retry:
            o.retry(self.own.sampled, now, in_progress, result)

    def replay_slots(self, vm: int, number: int, base_gfn: int, what: int) -> None:
        """Replay the installation of new memory slots, which include the slot being set.

        :param what: bits 31:0: flags of the slot; bit 32: it has a dirty bitmap; bit 33: the slot exists
        """
        machine = self.vms[vm]
        old = self.host.id_to_memslot(machine, number)
        left = [slot for slot in machine.memslots if slot.id != number]
        flags = -1
        logged = what >> 32 & 1 != 0
        if what >> 33 & 1:
            flags = what & 0xFFFFFFFF
            pages, hva = self.sizes[(vm, number)]
            slot = kvm_memory_slot(number, base_gfn, pages, flags, hva)
            if logged:
                known = None if old is None else old.dirty_bitmap
                slot.dirty_bitmap = first_bitmap(machine, pages) if known is None else known
            left.append(slot)
            left.sort(key=lambda slot: -slot.base_gfn)
        machine.memslots = left
        for o in self.kernel.on.slots_installed:
            o.slots_installed(machine.mmu.vmid, number, flags, flags != -1 and logged)

    def replay_log_taken(self, vm: int, number: int, gfn: int, mask: int, whole: bool) -> None:
        """Replay the clearing of dirty bitmap bits that user space has read.

        :param whole: see `Observer.log_taken`
        """
        machine = self.vms[vm]
        slot = self.host.id_to_memslot(machine, number)
        if slot is not None and slot.dirty_bitmap is not None:
            # A mask from a dirty ring may begin at any page, so it may span two words.
            word, bit = divmod(gfn - slot.base_gfn, 64)
            slot.dirty_bitmap[word] &= ~(mask << bit)
            if mask >> 64 - bit:
                slot.dirty_bitmap[word + 1] &= ~(mask >> 64 - bit)
        for o in self.kernel.on.log_taken:
            o.log_taken(machine.mmu.vmid, number, gfn, mask, whole)

    def replay_other(self, kind: int, name: int, a: int, b: int, c: int) -> None:
        """Replay exits, small allocations, warnings, and the remaining kinds of records."""
        k = self.kernel
        if kind == r.WALK:
            self.replay_walk(a, b, c)
            return
        if kind == r.MC_COUNT:
            for o in k.on.mc_count:
                o.mc_count(a)
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
            k.condition = self.place(b).where if b else ""
            k.warn(r.WRONG_LOCKS[a])
            k.condition = ""
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
        if kind == r.SRCU_SYNC:
            for o in k.on.synchronize_srcu:
                o.synchronize_srcu()
            return
        if kind == r.FILE_PAGE:
            for o in k.on.file_page:
                o.file_page(a, b != 0)
            return
        if kind == r.SLEEP:
            if a:
                k.condition = f"{self.name(name)} may sleep, and {r.ATOMIC[a]}"
                k.warn("sleeping-call-atomic")
                k.condition = ""
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
            k.condition = text
            k.warn(held or "in " + self.place(self.chain).function)
            k.condition = ""
        elif kind in (r.KZALLOC, r.PERCPU, r.KFREE, r.PERCPU_FREE):
            counted, allocated = is_stage2(self.place(self.chain).unit), kind in (r.KZALLOC, r.PERCPU)
            if counted:
                k.allocates_atomically = c != 0
                self.replay_small(kind, b != 0)
                k.allocates_atomically = False
            number = b if allocated else a
            if number:
                for o in k.on.object:
                    o.object(number, allocated, counted)

    def replay_walk(self, vmid: int, address: int, size: int) -> None:
        """Replay ``kvm_pgtable_walk()``, which walks whole pages; the place of the record is the callback."""
        page = self.kernel.granule.page_size
        start = address & -page
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
