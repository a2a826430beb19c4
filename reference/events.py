# SPDX-License-Identifier: GPL-2.0-only
"""The events by which kernel code acts on the world around it, one method each.

The kernel layer calls each method on every observer that overrides it, after the effect has taken place. Two events are
not kernel code: `Observer.set_af` and `Observer.dirtied` are stores by the hardware. Table pages are identified by
number, entries by their index in the arena. Addresses and sizes are in bytes, frames are page frame numbers.
"""

from typing import Final

from .compiled.annotations import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Base class that sees every event. The methods do nothing; override those you need."""

    def walk(self, vmid: int, start: int, end: int) -> None:
        """``kvm_pgtable_walk()`` is about to walk [start, end), whole pages; *vmid* 0: the hypervisor's own tables."""

    def walk_table(self, table: int, level: int) -> None:
        """The software walker enters the table at index *table*."""

    def load(self, ptep: int, entry: int) -> None:
        """Kernel code of a tree has loaded an entry; called only while several actors run."""

    def turn(self, actor: int) -> None:
        """Events from here on belong to this actor, from 1; 0: to the only actor again."""

    def wait(self, lock: str, holder: int) -> None:
        """The actor waits for a lock that another one holds; parameters as in `reference.turns.Turns.wait`."""

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        """An entry was written, with release or without."""

    def plain_store(self, ptep: int, old: int, new: int) -> None:
        """The entry of the last `store` event was written without ``WRITE_ONCE``."""

    def exchanged(self, ptep: int, old: int, new: int) -> None:
        """The entry of the last `store` event, a store with release, was written by a compare-exchange that won."""

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        """A compare-exchange found another entry than the expected one and stored nothing: it orders nothing."""

    def get(self, page: int, count: int) -> None:
        """``get_page()``: *count* afterwards."""

    def put(self, page: int, count: int) -> None:
        """``put_page()``: *count* afterwards."""

    def free(self, page: int, count: int) -> None:
        """``free_page()``, which drops one reference: *count* afterwards."""

    def free_exact(self, page: int, count: int) -> None:
        """``free_pages_exact()``, once for each page."""

    def alloc(self, page: int) -> None:
        """One zeroed table page was allocated; -1: the allocation failed."""

    def alloc_exact(self, page: int, pages: int) -> None:
        """``alloc_pages_exact()``: *pages* in a row from *page*; -1: the allocation failed."""

    def contents(self, ptep: int, count: int, word: int) -> None:
        """New table memory is not zero: *count* entries from *ptep* on hold *word*."""

    def unwritten(self, ptep: int) -> None:
        """Kernel code has read an entry that nobody has written since its page was allocated; once for each page."""

    def page_count(self, page: int, count: int) -> None:
        """Kernel code called ``page_count()``."""

    def no_table(self, call: str, page: int) -> None:
        """The reference-counting function *call* got a page number that is no table page, and did nothing."""

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        """``__kvm_tlb_flush_vmid_ipa()``; level 0 is no hint."""

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        """``__kvm_tlb_flush_vmid_ipa_nsh()``: as `tlbi_ipa`, but only the TLB of `Kernel.cpu`."""

    def tlbi_vmid(self, vmid: int) -> None:
        """``__kvm_tlb_flush_vmid()``."""

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        """``__kvm_tlb_flush_vmid_range()``."""

    def flush_cpu_context(self, vmid: int, cpu: int) -> None:
        """``__kvm_flush_cpu_context()`` on one CPU."""

    def flush_vm_context(self) -> None:
        """``__kvm_flush_vm_context()``: a generation of VMIDs has ended."""

    def vmid_given(self, vmid: int, number: int) -> None:
        """``update_vmid()``: a VM is entered for the first time in a generation.

        :param vmid: the VM, as in all events
        :param number: its VMID from here on
        """

    def instruction(self, op: int, operand: int) -> None:
        """tlb.c executed an instruction or barrier (`reference.machine.instructions`), on `Assembly.cpu`.

        The instructions of one helper call precede its event; *operand* is 0 if there is none.
        """

    def set_af(self, ptep: int, old: int, new: int) -> None:
        """The hardware set the access flag of an entry that an access used."""

    def dirtied(self, ptep: int, old: int, new: int) -> None:
        """The hardware recorded the dirty state: it set write permission in a leaf with DBM that a write used."""

    def dsb(self, domain: str) -> None:
        """A data synchronization barrier."""

    def dmb(self, domain: str) -> None:
        """A data memory barrier other than ``smp_rmb()``: ``ishst`` for ``smp_wmb()``, ``ish`` for ``smp_mb()``."""

    def isb(self) -> None:
        """An instruction synchronization barrier."""

    def dcache(self, pa: int, size: int) -> None:
        """Data cache clean and invalidate to the point of coherency."""

    def icache(self, pa: int, size: int) -> None:
        """Instruction cache invalidation by address."""

    def icache_all(self) -> None:
        """Instruction cache invalidation of everything."""

    def warn(self, label: str) -> None:
        """A ``WARN_ON()`` fired: "in <function>" or a condition of the layer below."""

    def lock(self, name: str, vmid: int) -> None:
        """``mmu``, ``mmap``, ``srcu`` or ``vma`` was taken; *vmid*: the VM that owns it, 0 for the host's locks.

        ``mmap`` is the lock of the host's address space. ``vma`` is the lock of one of its areas; only trees have it.

        The mmu lock is a spinlock, from v5.18 on a rwlock: `Kernel.mmu_shared` is set when it was taken for reading.
        """

    def unlock(self, name: str, vmid: int) -> None:
        """The lock was released."""

    def rcu_read_lock(self, depth: int) -> None:
        """A read-side critical section of RCU began; *depth* is the nesting depth afterwards."""

    def rcu_read_unlock(self, depth: int) -> None:
        """A read-side critical section of RCU ended; *depth* is the nesting depth afterwards."""

    def call_rcu(self, number: int, page: int) -> None:
        """``call_rcu()``: callback *number* runs after a grace period; *page*: the table that it frees, or -1."""

    def rcu_callback(self, number: int) -> None:
        """The callback *number* is about to run: every reader that began before its `call_rcu` has left."""

    def resched(self) -> None:
        """``cond_resched_lock()``: the mmu lock of `Kernel.vmid` may be dropped here."""

    def resched_asked(self, function: str, answer: bool) -> None:
        """Kernel code asked whether another task waits for the lock: ``need_resched``, ``rwlock_is_contended`` ..."""

    def cond_resched(self) -> None:
        """``cond_resched()``: another task may run. A tree reports it under the mmu lock, and once after a drop."""

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        """``kvm_mmu_topup_memory_cache()``.

        :param cache: the number of the memory cache, here and below; the kernel layer has its name
        :param locked: under the mmu lock
        """

    def mc_pop(self, cache: int, left: int) -> None:
        """An object left a memory cache."""

    def mc_count(self, cache: int, objects: int) -> None:
        """``kvm_mmu_memory_cache_nr_free_objects()``: kernel code asked how many objects a memory cache has."""

    def mc_free(self, cache: int, objects: int) -> None:
        """A memory cache freed its objects, and loses its number."""

    def vma(self, hva: int, start: int, end: int) -> None:
        """``find_vma()``: the area found, or start -1."""

    def user_walk(self, start: int, end: int) -> None:
        """Kernel code of a tree is about to walk the user-space page tables at [start, end), with interrupts on."""

    def irqs_left(self, on: bool) -> None:
        """A call into a tree returned with interrupts in another state than at its start; *on*: they are on now."""

    def vma_read(self, start: int, end: int, own: bool) -> None:
        """Kernel code of a tree read a VMA, of [start, end), after it had dropped the mmap lock of the look-up.

        :param own: it held the VMA's own lock
        """

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        """Frame look-up; a negative *pfn* is one of the PFN error values."""

    def pin(self, pfn: int) -> None:
        """A look-up took a reference on a frame."""

    def get_pfn(self, pfn: int) -> None:
        """``kvm_get_pfn()``: one more reference."""

    def release(self, pfn: int) -> None:
        """``kvm_release_pfn_clean()``."""

    def set_accessed(self, pfn: int) -> None:
        """``kvm_set_pfn_accessed()``."""

    def set_dirty(self, pfn: int) -> None:
        """``kvm_set_pfn_dirty()``."""

    def thp(self, pfn: int, yes: bool) -> None:
        """Kernel code called ``kvm_is_transparent_hugepage()``, which returned *yes*."""

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        """``mark_page_dirty()``; *logged*: a bit was set."""

    def sample(self, sequence: int) -> None:
        """``kvm->mmu_notifier_seq`` was read, other than by a notifier or ``mmu_notifier_retry()``."""

    def acquired(self) -> None:
        """The last `sample` was an ``smp_load_acquire()``: later reads come after it."""

    def rmb(self) -> None:
        """``smp_rmb()``: earlier reads, notably of the notifier sequence, are ordered before later ones."""

    def retry(self, sampled: int, now: int, in_progress: int, result: bool) -> None:
        """``mmu_notifier_retry()``."""

    def seq(self, sequence: int, in_progress: int) -> None:
        """A notifier changed the sequence or the count."""

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        """New memory slots were installed: *slot* has these KVM_MEM_... bits, -1: deleted; *logged*: has a bitmap."""

    def log_taken(self, vmid: int, slot: int, gfn: int, mask: int, whole: bool) -> None:
        """The bits *mask* of a dirty bitmap, from page *gfn* on, were cleared and passed to user space.

        :param whole: an exchange of the whole word: a bit set just before would have been cleared as well
        """

    def log_stored(self, vmid: int, slot: int, gfn: int, pages: int) -> None:
        """A store that is not atomic to the dirty bitmap of an installed slot, for *pages* pages from *gfn* on."""

    def ring_early(self, vmid: int, gfn: int, filled: bool) -> None:
        """The entry of a dirty ring for *gfn* was published before it was filled, or without a barrier after that."""

    def log_beside_ring(self, vmid: int, gfn: int) -> None:
        """A vCPU that has a dirty ring set the bit of *gfn* in the dirty bitmap of an installed slot."""

    def no_struct_page(self, pfn: int, write: bool) -> None:
        """Kernel code accesses memory as the page structure of a device's frame, which has none; kernel trees only."""

    def root_linked(self, vmid: int, linked: bool) -> None:
        """``kvm->arch.mmu.pgt`` was set, or set to NULL."""

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        """The host broke copy-on-write: *pages* from *hva* move to *pfn*."""

    def host_update(self) -> None:
        """The host changed its own page tables."""

    def inject(self, what: str, address: int) -> None:
        """An abort goes into the guest: ``dabt``, ``pabt`` or ``vabt``."""

    def io(self, ipa: int) -> None:
        """``io_mem_abort()``: the access goes to emulation."""

    def sigbus(self, hva: int, shift: int) -> None:
        """User space gets a signal for a poisoned page."""

    def sea(self, ipa: int) -> None:
        """A synchronous external abort was reported."""

    def kvm_err(self) -> None:
        """``kvm_err()`` logged a message."""

    def kzalloc(self, ok: bool) -> None:
        """A small allocation."""

    def kfree(self) -> None:
        """A small allocation was freed."""

    def percpu(self, ok: bool) -> None:
        """``alloc_percpu()``."""

    def percpu_free(self) -> None:
        """``free_percpu()``."""

    def object(self, number: int, held: bool, counted: bool) -> None:
        """Kernel code of a tree allocated small memory (*held*) or freed it.

        :param number: of the allocation, from 1; 0: the allocation failed
        :param counted: it is stage-2 code, for which `kzalloc` and its like are events too
        """

    def tags_cleared(self, pfn: int, flagged: bool) -> None:
        """``mte_clear_page_tags()``: all tags of a frame are zero now; *flagged*: its page has PG_mte_tagged."""

    def accounted(self, pages: int) -> None:
        """``kvm_account_pgtable_pages()``: the memory statistics count this many more pages of tables (or fewer)."""

    def synchronize_srcu(self) -> None:
        """``synchronize_srcu()`` and the like: kernel code waits for readers of the slots."""

    def file_page(self, pfn: int, cleared: bool) -> None:
        """A guest_memfd has a new page with the data of its last owner (*cleared* false), or the page was cleared."""

    def file_loses(self, start: int, end: int) -> None:
        """A guest_memfd is about to lose the pages of host addresses [start, end)."""

    def unregistered(self, vmid: int) -> None:
        """``mmu_notifier_unregister()``: all notifiers of a VM have returned, and none runs from here on."""

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        """A step of KVM_PRE_FAULT_MEMORY begins: *size* bytes from *ipa* on are left."""

    def pre_faulted(self, vmid: int, ipa: int, size: int, ret: int) -> None:
        """A step of KVM_PRE_FAULT_MEMORY is over; *ret*: the bytes that it has done, or a negative errno."""


EVENT_NAMES: Final = [name for name in vars(Observer) if not name.startswith("_")]
