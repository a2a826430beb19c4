# SPDX-License-Identifier: GPL-2.0-only
"""Every event of one side as a line for people, with decoded entries.

`fuzz.reports.sidebyside` places the lines of two sides next to each other.
"""

from typing import Final

from reference.machine.descriptor import size_text
from reference.machine.instructions import text
from reference.machine.walk import ACCESS_NAMES, FAULT_NAMES, NONE, Walk
from reference.services.errors import errno_text

from ..checkers.hyp import HypTable
from .trace_lines import TraceLines

# Prefix of a line after which the events are those of another vCPU of a par block.
TURN: Final = "-- turn of "
# Functions of mmu.c and kvm_main.c that later kernels renamed or removed.
IN_WORDS: Final[dict[str, str]] = {
    "gfn_to_pfn": "look up the frame of",
    "kvm_get_pfn": "pin again: frame",
    "kvm_release_pfn_clean": "unpin frame",
    "kvm_set_pfn_accessed": "mark accessed frame",
    "kvm_set_pfn_dirty": "mark dirty frame",
    "mmu_notifier_retry": "check for a retry",
}


class Trace(TraceLines):
    """An observer that records the events of one side; it judges nothing."""

    def called(self, function: str, rest: str) -> None:
        """Record a call of a function of `IN_WORDS`: a port's by name; a tree's, which may be renamed, in words."""
        words = f"{IN_WORDS[function]}{rest}"
        self.add(words if self.side.version.is_tree else f"{function}{rest}", words)

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        result = "ok" if walk.fault == NONE else f"{FAULT_NAMES[walk.fault]} fault"
        entry = self.entry_text(walk.entry, walk.level)
        self.add(f"cpu{cpu} {ACCESS_NAMES[access]} {self.place(ipa)}: {result} at L{walk.level}, {entry}")

    def walk(self, vmid: int, start: int, end: int) -> None:
        whose = self.place(start) if vmid else f"hyp {start:#x}"
        self.add(f"{self.side.kernel.walker}: walk of {size_text(end - start)} at {whose}")

    def turn(self, actor: int) -> None:
        if actor:
            self.add(f"{TURN}{self.executor.par.actors[actor - 1].name}")

    def wait(self, lock: str, holder: int) -> None:
        who = f", which {self.executor.par.actors[holder - 1].name} holds" if holder else ""
        what = f"the {lock} lock" if lock else "a lock" if holder else "another actor"
        self.add(f"waits for {what}{who}")

    def load(self, ptep: int, entry: int) -> None:
        table = self.known_table(ptep // self.granule.entries)
        level = 3 if table is None else table.level
        self.add(f"{self.entry_place(ptep)}: loaded, {self.entry_text(entry, level, isinstance(table, HypTable))}")

    def walk_table(self, table: int, level: int) -> None:
        self.add(f"walk into {self.page_text(table // self.granule.entries)}")

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        table = self.known_table(ptep // self.granule.entries)
        how = ", release" if release else ""
        where = self.entry_place(ptep)
        if table is None:
            self.add(f"{where}: {old:#x} -> {new:#x}{how}")
            return
        level = table.level
        hyp = isinstance(table, HypTable)
        self.add(f"{where}: {self.entry_text(old, level, hyp)} -> {self.entry_text(new, level, hyp)}{how}")

    def plain_store(self, ptep: int, old: int, new: int) -> None:
        self.add(f"{self.entry_place(ptep)}: plain store")

    def exchanged(self, ptep: int, old: int, new: int) -> None:
        self.add(f"{self.entry_place(ptep)}: compare-exchange")

    def exchange_lost(self, ptep: int, found: int, new: int) -> None:
        table = self.known_table(ptep // self.granule.entries)
        level = 3 if table is None else table.level
        both = [self.entry_text(entry, level, isinstance(table, HypTable)) for entry in (found, new)]
        self.add(f"{self.entry_place(ptep)}: compare-exchange lost, {both[0]} stays, not {both[1]}")

    def entry_place(self, ptep: int) -> str:
        """Return an entry by level and address; if its table is not known, by page."""
        page, index = divmod(ptep, self.granule.entries)
        table = self.known_table(page)
        if table is None:
            return f"table page {page} entry {index}"
        address = table.base + index * self.granule.level_size(table.level)
        if isinstance(table, HypTable):
            return f"L{table.level} hyp {address:#x}"
        return f"L{table.level} {self.place(address)}"

    def get(self, page: int, count: int) -> None:
        self.add(f"get_page: {count}, {self.page_text(page)}")

    def put(self, page: int, count: int) -> None:
        self.add(f"put_page: {count}{' (freed)' if count == 0 else ''}, {self.page_text(page)}")

    def free(self, page: int, count: int) -> None:
        self.add(f"free_page: {count}{' (freed)' if count == 0 else ''}, {self.page_text(page)}")

    def free_exact(self, page: int, count: int) -> None:
        self.add(f"free_pages_exact: {count}, {self.page_text(page)}")

    def alloc(self, page: int) -> None:
        self.add(f"get_zeroed_page: table page {page}" if page >= 0 else "get_zeroed_page: none")

    def alloc_exact(self, page: int, pages: int) -> None:
        self.add(f"alloc_pages_exact: {pages} from table page {page}" if page >= 0 else "alloc_pages_exact: none")

    def contents(self, ptep: int, count: int, word: int) -> None:
        self.add(f"{self.entry_place(ptep)}: {count} entries that hold {word:#x}, not allocated as zero")

    def unwritten(self, ptep: int) -> None:
        self.add(f"{self.entry_place(ptep)}: read before it was written")

    def page_count(self, page: int, count: int) -> None:
        self.add(f"page_count: {count}, {self.page_text(page)}")

    def no_table(self, call: str, page: int) -> None:
        self.add(f"{call}: {self.kernel.base + (page << self.granule.page_shift):#x} is no table page")

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.flush(f"TLB flush {self.place(ipa)}, {f'hint L{level}' if level else 'no hint'}")

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        cpu = self.side.kernel.cpu
        self.flush(f"TLB flush {self.place(ipa)}, {f'hint L{level}' if level else 'no hint'}, of CPU {cpu} only")

    def tlbi_vmid(self, vmid: int) -> None:
        self.flush(f"TLB flush of VMID {vmid}")

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.flush(f"TLB flush of {size_text(size)} at {self.place(ipa)}")

    def flush_cpu_context(self, vmid: int, cpu: int) -> None:
        self.flush(f"flush of the context of VMID {vmid} on CPU {cpu}")

    def flush_vm_context(self) -> None:
        self.flush("TLB flush of all VMIDs")

    def vmid_given(self, vmid: int, number: int) -> None:
        self.add(f"VM {vmid - 1} has VMID {number} from here on")

    def flush(self, call: str) -> None:
        """Record a helper call of tlb.c, with its instructions below it."""
        self.add(call)
        for each in self.below:
            self.add(f"  {each}")
        self.below.clear()

    def instruction(self, op: int, operand: int) -> None:
        """Keep an instruction for the lines below its helper call, which is recorded after it."""
        if self.instructions:
            self.below.append(text(op, operand))

    def set_af(self, ptep: int, old: int, new: int) -> None:
        self.add(f"{self.entry_place(ptep)}: the hardware sets the access flag")

    def dirtied(self, ptep: int, old: int, new: int) -> None:
        self.add(f"{self.entry_place(ptep)}: the hardware makes the leaf writable (dirty state)")

    def dsb(self, domain: str) -> None:
        self.add(f"dsb {domain}")

    def dmb(self, domain: str) -> None:
        self.add(f"dmb {domain}")

    def isb(self) -> None:
        self.add("isb")

    def dcache(self, pa: int, size: int) -> None:
        self.add(f"D-cache clean {size_text(size)} at {pa:#x}")

    def icache(self, pa: int, size: int) -> None:
        self.add(f"I-cache invalidate {size_text(size)} at {pa:#x}")

    def icache_all(self) -> None:
        self.add("I-cache invalidate all")

    def warn(self, label: str) -> None:
        self.add(f"WARN {label}")

    def lock(self, name: str, vmid: int) -> None:
        shared = ", shared" if name == "mmu" and self.side.kernel.mmu_shared else ""
        self.add(f"lock {self.lock_text(name, vmid)}{shared}")

    def unlock(self, name: str, vmid: int) -> None:
        self.add(f"unlock {self.lock_text(name, vmid)}")

    def lock_text(self, name: str, vmid: int) -> str:
        """Return the text of a lock, with its owner if there are several VMs."""
        return f"{name} of VM {vmid - 1}" if vmid and len(self.side.running) > 1 else name

    def rcu_read_lock(self, depth: int) -> None:
        self.add("rcu_read_lock" + (f", {depth} deep" if depth > 1 else ""))

    def rcu_read_unlock(self, depth: int) -> None:
        self.add("rcu_read_unlock" + (f", still {depth} deep" if depth > 0 else ""))

    def call_rcu(self, number: int, page: int) -> None:
        self.add(f"call_rcu: callback {number}" + (f", {self.page_text(page)}" if page >= 0 else ""))

    def rcu_callback(self, number: int) -> None:
        self.add(f"a grace period has passed: callback {number} runs")

    def resched(self) -> None:
        self.add("cond_resched_lock")

    def resched_asked(self, function: str, answer: bool) -> None:
        self.add(f"{function}: {'yes' if answer else 'no'}")

    def cond_resched(self) -> None:
        self.add("cond_resched")

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        under = " under mmu lock" if locked else ""
        self.add(f"topup of memory cache {cache} to {minimum}{under}: {had} -> {has} pages, returns {errno_text(ret)}")

    def mc_pop(self, cache: int, left: int) -> None:
        self.add(f"memory cache {cache}: one taken, {left} left")

    def mc_count(self, cache: int, objects: int) -> None:
        self.add(f"memory cache {cache}: count {objects}")

    def mc_free(self, cache: int, objects: int) -> None:
        self.add(f"memory cache {cache}: {objects} returned")

    def vma(self, hva: int, start: int, end: int) -> None:
        self.add(f"find_vma {self.host_place(hva)}: " + ("none" if start == -1 else f"{start:#x} to {end:#x}"))

    def user_walk(self, start: int, end: int) -> None:
        self.add(f"user page tables walked at {start:#x}, with interrupts on")

    def irqs_left(self, on: bool) -> None:
        self.add(f"interrupts are {'on' if on else 'off'} on return")

    def vma_read(self, start: int, end: int, own: bool) -> None:
        lock = "its own lock" if own else "the mmap lock of its look-up"
        self.add(f"VMA of {start:#x} to {end:#x} read, and {lock} is dropped")

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        frame = f"frame {pfn:#x}" if pfn >= 0 else f"error {pfn:#x}"
        asked, got = " for write" if write else "", ", writable" if writable else ""
        self.called("gfn_to_pfn", f" {self.place(gfn << self.granule.page_shift)}{asked}: {frame}{got}")

    def pin(self, pfn: int) -> None:
        self.add(f"pin frame {pfn:#x}")

    def get_pfn(self, pfn: int) -> None:
        self.called("kvm_get_pfn", f" {pfn:#x}")

    def release(self, pfn: int) -> None:
        self.called("kvm_release_pfn_clean", f" {pfn:#x}")

    def tags_cleared(self, pfn: int, flagged: bool) -> None:
        self.add(f"clear the tags of frame {pfn:#x}{', flagged already' if flagged else ''}")

    def file_page(self, pfn: int, cleared: bool) -> None:
        self.add(f"{'clear' if cleared else 'new page of a guest_memfd:'} frame {pfn:#x}")

    def file_loses(self, start: int, end: int) -> None:
        self.add(f"guest_memfd loses host addresses [{start:#x}, {end:#x})")

    def unregistered(self, vmid: int) -> None:
        self.add("unregister the notifier")

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        self.add(f"pre-fault {ipa:#x}, {size:#x} bytes left")

    def pre_faulted(self, vmid: int, ipa: int, size: int, ret: int) -> None:
        self.add(f"pre-faulted {ret:#x} bytes" if ret > 0 else f"pre-faulting returns {errno_text(ret)}")

    def set_accessed(self, pfn: int) -> None:
        self.called("kvm_set_pfn_accessed", f" {pfn:#x}")

    def set_dirty(self, pfn: int) -> None:
        self.called("kvm_set_pfn_dirty", f" {pfn:#x}")

    def thp(self, pfn: int, yes: bool) -> None:
        self.add(f"frame {pfn:#x} is {'' if yes else 'not '}in a transparent huge page")

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        self.add(f"mark_page_dirty {self.place(gfn << self.granule.page_shift)}{', logged' if logged else ''}")

    def sample(self, sequence: int) -> None:
        self.add(f"notifier sequence sampled: {sequence}")

    def acquired(self) -> None:
        self.add("by smp_load_acquire")

    def rmb(self) -> None:
        self.add("smp_rmb")

    def retry(self, sampled: int, now: int, in_progress: int, result: bool) -> None:
        what = "retry" if result else "continue"
        self.called("mmu_notifier_retry", f": {what} (sequence {sampled}, now {now}, {in_progress} in progress)")

    def seq(self, sequence: int, in_progress: int) -> None:
        self.add(f"notifier: sequence {sequence}, {in_progress} in progress")

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        what = "without it" if flags < 0 else f"flags {flags:#x}, {'with a' if logged else 'no'} dirty bitmap"
        self.add(f"slots of VMID {vmid} installed: slot {slot}, {what}")

    def log_taken(self, vmid: int, slot: int, gfn: int, mask: int, whole: bool) -> None:
        where = self.place(gfn << self.granule.page_shift)
        self.add(f"dirty log of slot {slot}, {mask.bit_count()} page(s) from {where} on: bits taken")

    def log_stored(self, vmid: int, slot: int, gfn: int, pages: int) -> None:
        where = self.place(gfn << self.granule.page_shift)
        self.add(f"dirty log of slot {slot}, {pages} page(s) from {where} on: a store that is not atomic")

    def ring_early(self, vmid: int, gfn: int, filled: bool) -> None:
        what = "without a barrier" if filled else "before it was filled"
        self.add(f"dirty ring entry of {self.place(gfn << self.granule.page_shift)}: published {what}")

    def no_struct_page(self, pfn: int, write: bool) -> None:
        self.add(f"page structure of device frame {pfn:#x} {'written' if write else 'read'}")

    def log_beside_ring(self, vmid: int, gfn: int) -> None:
        self.add(f"dirty log: {self.place(gfn << self.granule.page_shift)} in the bitmap, by a vCPU with a dirty ring")

    def root_linked(self, vmid: int, linked: bool) -> None:
        self.add(f"root of VMID {vmid} {'linked' if linked else 'unlinked'}")

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        self.add(f"copy-on-write {self.host_place(hva)}: {pages} page(s) now at frame {pfn:#x}")

    def host_update(self) -> None:
        self.add("host page tables updated")

    def inject(self, what: str, address: int) -> None:
        self.add(f"inject {what}" + (f" at {address:#x}" if address >= 0 else ", address size"))

    def io(self, ipa: int) -> None:
        self.add(f"io_mem_abort {self.place(ipa)}")

    def sigbus(self, hva: int, shift: int) -> None:
        self.add(f"SIGBUS {self.host_place(hva)}, a page of {size_text(1 << shift)}")

    def sea(self, ipa: int) -> None:
        self.add(f"synchronous external abort {self.place(ipa)}")

    def kvm_err(self) -> None:
        self.add("kvm_err")

    def synchronize_srcu(self) -> None:
        self.add("synchronize_srcu")

    def accounted(self, pages: int) -> None:
        self.add(f"statistics of memory: {pages:+d} table pages")

    def object(self, number: int, held: bool, counted: bool) -> None:
        if not counted:
            which = f"object {number}" if number else "no object"
            self.add(f"small memory: {which} {'allocated' if held else 'freed'}")

    def kzalloc(self, ok: bool) -> None:
        self.add(f"kzalloc: {'ok' if ok else 'none'}")

    def kfree(self) -> None:
        self.add("kfree")

    def percpu(self, ok: bool) -> None:
        self.add(f"alloc_percpu: {'ok' if ok else 'none'}")

    def percpu_free(self) -> None:
        self.add("free_percpu")
