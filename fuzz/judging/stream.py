# SPDX-License-Identifier: GPL-2.0-only
"""A running digest of all events of a side: two sides with equal digests have done the same."""

from reference.kernel import Kernel

from ..sides.pulse import PULSE
from .digest import Digest


class Stream(Digest):
    """Digests the events of one side; each event has a number of its own.

    :param kernel: the side's kernel, before anything has run on it
    """

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        kernel.observe(self)

    def walk(self, vmid: int, start: int, end: int) -> None:
        self.note_more(1, vmid, start, end, 0, 0)
        if PULSE.on:
            PULSE.place(self.kernel.entry, self.kernel.walker)

    def walk_table(self, table: int, level: int) -> None:
        self.note(2, table, level)

    def load(self, ptep: int, entry: int) -> None:
        self.note(3, ptep, entry)

    def turn(self, actor: int) -> None:
        self.note(4, actor, 0)

    def wait(self, lock: str, holder: int) -> None:
        self.note(5, hash(lock), holder)

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.note_more(6, ptep, old, new, release, 0)

    def plain_store(self, ptep: int, old: int, new: int) -> None:
        self.note_more(7, ptep, old, new, 0, 0)

    def exchanged(self, ptep: int, old: int, new: int) -> None:
        self.note_more(8, ptep, old, new, 0, 0)

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        self.note_more(9, ptep, found, new, 0, 0)

    def get(self, page: int, count: int) -> None:
        self.note(10, page, count)

    def put(self, page: int, count: int) -> None:
        self.note(11, page, count)

    def free(self, page: int, count: int) -> None:
        self.note(12, page, count)

    def free_exact(self, page: int, count: int) -> None:
        self.note(13, page, count)

    def alloc(self, page: int) -> None:
        self.note(14, page, 0)

    def alloc_exact(self, page: int, pages: int) -> None:
        self.note(15, page, pages)

    def contents(self, ptep: int, count: int, word: int) -> None:
        self.note_more(81, ptep, count, word, 0, 0)

    def unwritten(self, ptep: int) -> None:
        self.note(82, ptep, 0)

    def page_count(self, page: int, count: int) -> None:
        self.note(16, page, count)

    def no_table(self, call: str, page: int) -> None:
        self.note(17, hash(call), page)

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.note_more(18, vmid, ipa, level, 0, 0)

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        self.note_more(19, vmid, ipa, level, 0, 0)

    def tlbi_vmid(self, vmid: int) -> None:
        self.note(20, vmid, 0)

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.note_more(21, vmid, ipa, size, 0, 0)

    def flush_cpu_context(self, vmid: int, cpu: int) -> None:
        self.note(22, vmid, cpu)

    def flush_vm_context(self) -> None:
        self.note(71, 0, 0)

    def vmid_given(self, vmid: int, number: int) -> None:
        self.note(72, vmid, number)

    def instruction(self, op: int, operand: int) -> None:
        self.note(70, op, operand)

    def set_af(self, ptep: int, old: int, new: int) -> None:
        self.note_more(23, ptep, old, new, 0, 0)

    def dirtied(self, ptep: int, old: int, new: int) -> None:
        self.note_more(94, ptep, old, new, 0, 0)

    def dsb(self, domain: str) -> None:
        self.note(24, hash(domain), 0)

    def dmb(self, domain: str) -> None:
        self.note(83, hash(domain), 0)

    def isb(self) -> None:
        self.note(25, 0, 0)

    def dcache(self, pa: int, size: int) -> None:
        self.note(26, pa, size)

    def icache(self, pa: int, size: int) -> None:
        self.note(27, pa, size)

    def icache_all(self) -> None:
        self.note(28, 0, 0)

    def warn(self, label: str) -> None:
        self.note(29, hash(label), 0)

    def lock(self, name: str, vmid: int) -> None:
        self.note(30, hash(name), vmid)

    def unlock(self, name: str, vmid: int) -> None:
        self.note(31, hash(name), vmid)

    def rcu_read_lock(self, depth: int) -> None:
        self.note(32, depth, 0)

    def rcu_read_unlock(self, depth: int) -> None:
        self.note(33, depth, 0)

    def call_rcu(self, number: int, page: int) -> None:
        self.note(34, number, page)

    def rcu_callback(self, number: int) -> None:
        self.note(35, number, 0)

    def resched(self) -> None:
        self.note(36, 0, 0)

    def resched_asked(self, function: str, answer: bool) -> None:
        self.note(37, hash(function), answer)

    def cond_resched(self) -> None:
        self.note(38, 0, 0)

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        self.note_more(39, minimum, had, has, ret * 2 + locked, cache)

    def mc_pop(self, cache: int, left: int) -> None:
        self.note(40, left, cache)

    def mc_count(self, cache: int, objects: int) -> None:
        self.note(41, objects, cache)

    def mc_free(self, cache: int, objects: int) -> None:
        self.note(42, objects, cache)

    def vma(self, hva: int, start: int, end: int) -> None:
        self.note_more(43, hva, start, end, 0, 0)

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        self.note_more(44, gfn, pfn, write, writable, 0)

    def pin(self, pfn: int) -> None:
        self.note(45, pfn, 0)

    def get_pfn(self, pfn: int) -> None:
        self.note(46, pfn, 0)

    def release(self, pfn: int) -> None:
        self.note(47, pfn, 0)

    def set_accessed(self, pfn: int) -> None:
        self.note(48, pfn, 0)

    def set_dirty(self, pfn: int) -> None:
        self.note(49, pfn, 0)

    def thp(self, pfn: int, yes: bool) -> None:
        self.note(50, pfn, yes)

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        self.note_more(51, gfn, slot, logged, 0, 0)

    def sample(self, sequence: int) -> None:
        self.note(52, sequence, 0)

    def acquired(self) -> None:
        self.note(84, 0, 0)

    def rmb(self) -> None:
        self.note(53, 0, 0)

    def retry(self, sampled: int, now: int, in_progress: int, result: bool) -> None:
        self.note_more(54, sampled, now, in_progress, result, 0)

    def seq(self, sequence: int, in_progress: int) -> None:
        self.note(55, sequence, in_progress)

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        self.note_more(56, vmid, slot, flags, logged, 0)

    def log_taken(self, vmid: int, slot: int, gfn: int, mask: int, whole: bool) -> None:
        self.note_more(57, vmid, slot, gfn, mask, whole)

    def log_stored(self, vmid: int, slot: int, gfn: int, pages: int) -> None:
        self.note_more(85, vmid, slot, gfn, pages, 0)

    def ring_early(self, vmid: int, gfn: int, filled: bool) -> None:
        self.note_more(86, vmid, gfn, filled, 0, 0)

    def no_struct_page(self, pfn: int, write: bool) -> None:
        self.note(91, pfn, write)

    def log_beside_ring(self, vmid: int, gfn: int) -> None:
        self.note(88, vmid, gfn)

    def root_linked(self, vmid: int, linked: bool) -> None:
        self.note(58, vmid, linked)

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        self.note_more(59, hva, pages, pfn, 0, 0)

    def host_update(self) -> None:
        self.note(60, 0, 0)

    def inject(self, what: str, address: int) -> None:
        self.note(61, hash(what), address)

    def io(self, ipa: int) -> None:
        self.note(62, ipa, 0)

    def sigbus(self, hva: int, shift: int) -> None:
        self.note(63, hva, shift)

    def sea(self, ipa: int) -> None:
        self.note(64, ipa, 0)

    def kvm_err(self) -> None:
        self.note(65, 0, 0)

    def kzalloc(self, ok: bool) -> None:
        self.note(66, ok, 0)

    def kfree(self) -> None:
        self.note(67, 0, 0)

    def percpu(self, ok: bool) -> None:
        self.note(68, ok, 0)

    def percpu_free(self) -> None:
        self.note(69, 0, 0)

    def vma_read(self, start: int, end: int, own: bool) -> None:
        self.note(80 if own else 75, start, end)

    def user_walk(self, start: int, end: int) -> None:
        self.note(76, start, end)

    def irqs_left(self, on: bool) -> None:
        self.note(77, on, 0)

    def object(self, number: int, held: bool, counted: bool) -> None:
        self.note_more(87, number, held, counted, 0, 0)

    def tags_cleared(self, pfn: int, flagged: bool) -> None:
        self.note(73, pfn, flagged)

    def accounted(self, pages: int) -> None:
        self.note(74, pages, 0)

    def synchronize_srcu(self) -> None:
        self.note(78, 0, 0)

    def file_page(self, pfn: int, cleared: bool) -> None:
        self.note(79, pfn, cleared)

    def file_loses(self, start: int, end: int) -> None:
        self.note(89, start, end)

    def unregistered(self, vmid: int) -> None:
        self.note(90, vmid, 0)

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        self.note_more(92, vmid, ipa, size, 0, 0)

    def pre_faulted(self, vmid: int, ipa: int, size: int, ret: int) -> None:
        self.note_more(93, vmid, ipa, size, ret, 0)
