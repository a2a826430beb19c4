# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (virt/kvm/kvm_main.c, arch/arm64/kvm/hyp/nvhe/tlb.c, arch/arm64/include/asm).
"""The kernel layer below pgtable.c and mmu.c: pages, locks, barriers, TLB and cache maintenance.

Kernel names are kept; a name that begins with two underscores carries two
behind as well, since Python would mangle it otherwise. Every call that
touches the world is an event (see `reference.events`).
"""

from typing import Final

from .assembly import Assembly
from .capabilities import ARM64_HAS_TLB_RANGE, NO_VHE
from .compiled.annotations import mypyc_attr
from .events import Observer
from .last_places import LastPlaces
from .listeners import NOBODY, listeners
from .machine.arena import POISON, Arena
from .machine.granule import Granule
from .machine.hardware import Hardware
from .machine.instructions import DOMAINS
from .machine.sparse import SparseWords
from .machine.words import Words
from .steps import Steps
from .tlb import AnyTlb, TlbNvhe, TlbVhe
from .tlbflush import MAX_TLBI_RANGE_PAGES
from .turns import Turns

ENOENT: Final = 2
E2BIG: Final = 7
ENOEXEC: Final = 8
EAGAIN: Final = 11
ENOMEM: Final = 12
EFAULT: Final = 14
EEXIST: Final = 17
EINVAL: Final = 22
ERANGE: Final = 34
EHWPOISON: Final = 133

# The pointer that names nothing; other memory than tables has negative indices as well.
NULL: Final = -1

KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE: Final = 40


class kvm_mmu_memory_cache:
    """``struct kvm_mmu_memory_cache``: objects are counted until one is taken."""

    def __init__(self) -> None:
        self.nobjs = 0


class kvm_vmid:
    """``struct kvm_vmid``: the number of a VM in VTTBR_EL2, and the generation in which it is that VM's."""

    def __init__(self, vmid: int) -> None:
        self.vmid_gen = 1
        self.vmid = vmid


class kvm_s2_mmu:
    """``struct kvm_s2_mmu``: the tables of a VM.

    *vmid*: says for ever which VM it is, in events and reports; *hardware_vmid*: its number in TLBs, which changes
    """

    def __init__(self, vmid: int = 1) -> None:
        self.vmid = vmid
        self.hardware_vmid = kvm_vmid(vmid)


@mypyc_attr(allow_interpreted_subclasses=True)
class Kernel:
    """The kernel around the code under test, on one machine.

    :param granule: page size of host and guest
    :param hardware: the target of TLB and cache maintenance
    :param caps: ARM64_HAS_... bits
    :param tlb: tlb.c of the version; None: the original's, for VHE or without it as *caps* say
    """

    def __init__(self, granule: Granule, hardware: Hardware, caps: int = 0, tlb: type[AnyTlb] | None = None) -> None:
        self.granule = granule
        self.hardware = hardware
        self.arena: Arena = hardware.arena
        self.base = self.arena.base
        self.words: SparseWords = self.arena.words
        self.entries = granule.entries
        self.caps = caps
        self.counts: list[int] = []
        # The VM that kernel code runs for: whose locks it takes. Whoever calls for another VM says so here.
        self.vmid = 1
        # The CPU on which it runs.
        self.cpu = 0
        # The actor that runs, from 1, where several are at work, and who gives turns to them; 0, None: there is one.
        self.actor = 0
        self.turns: Turns | None = None
        # Where several are at work in a port: the places to which they come, and who holds which lock.
        self.steps: Steps | None = None
        # Locks held, in order; the mmu lock is the one that forbids sleeping.
        self.locks: list[str] = []
        # The mmu lock is held for reading only, and how often it was taken alone: by then all readers had left.
        self.mmu_shared = False
        self.mmu_holds = 0
        # A compare-exchange that wins is storing.
        self.exchanging = False
        # RCU: nested read-side critical sections; callbacks that were posted, and of which a grace period has passed.
        self.rcu_depth = 0
        self.rcu_posted = 0
        self.rcu_passed = 0
        # A grace period ends at the point of this number at which it could, in a compiled tree; 0: after the call.
        self.grace_at = 0
        # Another task waits for the mmu lock at one in so many questions whether one does, and at the question of
        # this number (0: at none); how many questions there were.
        self.resched_every = 0
        self.contended_at = 0
        self.questions = 0
        # Allocations that still succeed; -1: all of them.
        self.allocations_left = -1
        self.small_allocations_left = -1
        self.topup_gets = -1
        # For reports: the entry point that was called, the guest's fault that
        # it handles, and the walker callback that last walked tables for it.
        self.entry = ""
        self.cause = ""
        self.walker = ""
        # Of a compiled tree: function, file and line of the event, and the chain of calls.
        self.place = ""
        # Where something happened last in a compiled tree.
        self.last = LastPlaces()
        # Its argument, ``walker->arg``.
        self.walker_arg: object = None
        # Cost: entries that the software walker visited, of tables whose walk is over; that a tree's code read.
        self.visited = 0
        self.on = listeners()
        self.on_load: list[Observer] = self.on.load
        self.on_store: list[Observer] = self.on.store
        self.on_get: list[Observer] = self.on.get
        self.on_put: list[Observer] = self.on.put
        self.on_lock: list[Observer] = self.on.lock
        self.on_unlock: list[Observer] = self.on.unlock
        self.on_dsb: list[Observer] = self.on.dsb
        self.on_dcache: list[Observer] = self.on.dcache
        self.on_walk: list[Observer] = self.on.walk
        self.on_walk_table: list[Observer] = self.on.walk_table
        self.assembly = Assembly(hardware, caps, self.on.instruction)
        hardware.boot(not caps & NO_VHE)
        original = TlbNvhe if caps & NO_VHE else TlbVhe
        self.tlb: AnyTlb = (tlb or original)(self.assembly)

    def observe(self, observer: Observer) -> None:
        """Send events to *observer* too: those whose methods it overrides."""
        self.on.add(observer)

    def dismiss(self, observer: Observer) -> None:
        """Send no more events to *observer*; not to be called from one of its events."""
        self.on.remove(observer)

    def dismiss_all(self) -> None:
        """Send no more events to anybody: kernel code does not run any more."""
        self.on.leave()
        self.on = NOBODY

    def reached(self, point: str) -> None:
        """Kernel code is about to do something, which takes effect when this returns; others may come before."""
        if self.steps is not None:
            self.steps.reached(point)

    def passed(self, point: str) -> None:
        """It has done it; others may come now."""
        if self.steps is not None:
            self.steps.passed(point)

    def cpus_have_const_cap(self, cap: int) -> bool:
        return self.caps & cap != 0

    def WARN_ON(self, condition: bool, where: str) -> bool:
        """``WARN_ON()`` in the function *where*; returns the condition."""
        if condition:
            self.warn("in " + where)
        return condition

    def warn(self, label: str) -> None:
        for o in self.on.warn:
            o.warn(label)

    def WRITE_ONCE(self, ptep: int, pte: int) -> None:
        """``WRITE_ONCE(*ptep, pte)``

        :raises IndexError: it is no table memory: the kernel would crash or write to a guest
        """
        if ptep < 0:
            raise IndexError("not a table entry")
        if self.steps is not None:
            self.steps.reached("store")
        self.store(ptep, self.words[ptep], pte, False)
        if self.steps is not None:
            self.steps.passed("store")

    def smp_store_release(self, ptep: int, pte: int) -> None:
        """``smp_store_release(ptep, pte)``

        :raises IndexError: as `WRITE_ONCE`
        """
        if ptep < 0:
            raise IndexError("not a table entry")
        if self.steps is not None:
            self.steps.reached("store")
        self.store(ptep, self.words[ptep], pte, True)
        if self.steps is not None:
            self.steps.passed("store")

    def store(self, ptep: int, old: int, pte: int, release: bool) -> None:
        """Store to a table entry that is there, and holds *old*."""
        self.words.put(ptep, pte)
        for o in self.on_store:
            o.store(ptep, old, pte, release)

    def cmpxchg(self, ptep: int, old: int, new: int) -> int:
        """``cmpxchg(ptep, old, new)``: where it wins, a store with release, and more.

        :returns: the entry found; *old* where the exchange was made
        :raises IndexError: as `WRITE_ONCE`
        """
        if ptep < 0:
            raise IndexError("not a table entry")
        self.reached("cmpxchg")
        found = self.words[ptep]
        if found == old:
            self.exchanging = True
            self.store(ptep, old, new, True)
            self.exchanging = False
            for o in self.on.exchanged:
                o.exchanged(ptep, old, new)
        else:
            for o in self.on.exchange_lost:
                o.exchange_lost(ptep, found, new)
        self.passed("cmpxchg")
        return found

    def load(self, ptep: int) -> int:
        """Load a table entry while several actors are at work; others may come before the value is used."""
        pte = self.words[ptep]
        self.loaded(ptep, pte)
        if self.steps is not None:
            self.steps.loaded()
        return pte

    def loaded(self, ptep: int, pte: int) -> None:
        """An actor of several has loaded an entry."""
        for o in self.on_load:
            o.load(ptep, pte)

    def walk(self, vmid: int, start: int, end: int) -> None:
        for o in self.on_walk:
            o.walk(vmid, start, end)

    def watch_plain_stores(self) -> None:
        """Make ``mem[ptep] = pte`` an event from here on; call it before anything uses table memory."""
        self.words = self.arena.words = Words(POISON, self.plain_store)

    def plain_store(self, ptep: int, pte: int) -> None:
        """``*ptep = pte``: a store like any other, but that the compiler may split, repeat or move it.

        :raises IndexError: as `WRITE_ONCE`
        """
        if ptep < 0:
            raise IndexError("not a table entry")
        old = self.words[ptep]
        self.words.put(ptep, pte)
        for o in self.on_store:
            o.store(ptep, old, pte, False)
        for o in self.on.plain_store:
            o.plain_store(ptep, old, pte)

    def walk_table(self, table: int, level: int) -> None:
        for o in self.on_walk_table:
            o.walk_table(table, level)

    def dsb(self, domain: str) -> None:
        if domain in DOMAINS:
            self.assembly.enter(self.cpu)
            self.assembly.barrier(DOMAINS[domain])
        for o in self.on_dsb:
            o.dsb(domain)

    def isb(self) -> None:
        self.assembly.cpu = self.cpu
        self.assembly.synchronize()
        for o in self.on.isb:
            o.isb()

    def __pa__(self, va: int) -> int:
        """``__pa()``: a pointer is an index of 64-bit words, the map is linear."""
        return self.base + (va << 3)

    def __va__(self, pa: int) -> int:
        """``__va()``; of a guest frame a number that only `__pa__` understands."""
        return (pa - self.base) >> 3

    def virt_to_page(self, ptep: int) -> int:
        """``virt_to_page()``: the number of the table page; of other memory a number that no table page has.

        :raises IndexError: for NULL, where the kernel would crash
        """
        if ptep == NULL:
            raise IndexError("NULL pointer")
        return ptep // self.entries

    def _no_table(self, call: str, page: int) -> None:
        """Report a function that counts references and got a page that is no table: nothing of ours changes."""
        for o in self.on.no_table:
            o.no_table(call, page)

    def page_count(self, page: int) -> int:
        """``page_count()``; memory that is no table page counts as held once."""
        if page < 0 or page >= len(self.counts):
            self._no_table("page_count", page)
            return 1
        count = self.counts[page]
        for o in self.on.page_count:
            o.page_count(page, count)
        return count

    def get_page(self, page: int) -> None:
        if page < 0 or page >= len(self.counts):
            self._no_table("get_page", page)
            return
        count = self.counts[page] + 1
        self.counts[page] = count
        for o in self.on_get:
            o.get(page, count)

    def put_page(self, page: int) -> None:
        if page < 0 or page >= len(self.counts):
            self._no_table("put_page", page)
            return
        count = self.counts[page] - 1
        self.counts[page] = count
        if count == 0:
            self.arena.poison(page)
        for o in self.on_put:
            o.put(page, count)

    def free_page(self, va: int) -> None:
        """``free_page()``: drops one reference, frees at zero; of NULL nothing."""
        if va == NULL:
            return
        page = va // self.entries
        if page < 0 or page >= len(self.counts):
            self._no_table("free_page", page)
            return
        count = self.counts[page] - 1
        self.counts[page] = count
        if count == 0:
            self.arena.poison(page)
        for o in self.on.free:
            o.free(page, count)

    def _take_pages(self, pages: int) -> int:
        if self.allocations_left == 0:
            return -1
        if self.allocations_left > 0:
            self.allocations_left -= 1
        first = self.arena.pages
        self.arena.grow(pages)
        self.counts.extend([1] * pages)
        return first

    def get_zeroed_page(self) -> int:
        """``get_zeroed_page(GFP_KERNEL)``: index of its first word, or -1; may sleep."""
        if "mmu" in self.locks:
            self.warn("sleeping-call-under-lock")
        return self.zeroed_page()

    def zeroed_page(self) -> int:
        """Do as `get_zeroed_page`, from the memory cache or atomically."""
        page = self._take_pages(1)
        for o in self.on.alloc:
            o.alloc(page)
        return page * self.entries if page >= 0 else -1

    def alloc_pages_exact(self, size: int) -> int:
        """``alloc_pages_exact()``: index of the first word, or -1."""
        pages = size >> self.granule.page_shift
        page = self._take_pages(pages)
        for o in self.on.alloc_exact:
            o.alloc_exact(page, pages)
        return page * self.entries if page >= 0 else -1

    def free_pages_exact(self, va: int, size: int) -> None:
        """``free_pages_exact()``: drops one reference of each page; of NULL nothing."""
        if va == NULL:
            return
        first = va // self.entries
        for page in range(first, first + (size >> self.granule.page_shift)):
            if page < 0 or page >= len(self.counts):
                self._no_table("free_pages_exact", page)
                continue
            self.counts[page] -= 1
            count = self.counts[page]
            if count == 0:
                self.arena.poison(page)
            for o in self.on.free_exact:
                o.free_exact(page, count)

    def kzalloc(self) -> bool:
        """A small allocation; false where it fails."""
        ok = self._small()
        for o in self.on.kzalloc:
            o.kzalloc(ok)
        return ok

    def alloc_percpu(self) -> bool:
        ok = self._small()
        for o in self.on.percpu:
            o.percpu(ok)
        return ok

    def _small(self) -> bool:
        if self.small_allocations_left == 0:
            return False
        if self.small_allocations_left > 0:
            self.small_allocations_left -= 1
        return True

    def kfree(self) -> None:
        for o in self.on.kfree:
            o.kfree()

    def free_percpu(self) -> None:
        for o in self.on.percpu_free:
            o.percpu_free()

    def kvm_mmu_topup_memory_cache(self, mc: kvm_mmu_memory_cache, minimum: int) -> int:
        """Fill *mc* to its capacity if it holds fewer than *minimum* objects.

        May sleep. ``topup_gets`` limits how many objects it gets, once.

        :returns: 0 or -ENOMEM
        """
        had = mc.nobjs
        locked = "mmu" in self.locks
        ret = 0
        if had < minimum:
            while mc.nobjs < KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE:
                if self.topup_gets == 0:
                    ret = 0 if mc.nobjs >= minimum else -ENOMEM
                    break
                if self.topup_gets > 0:
                    self.topup_gets -= 1
                mc.nobjs += 1
            self.topup_gets = -1
        for o in self.on.topup:
            o.topup(minimum, had, mc.nobjs, ret, locked)
        return ret

    def kvm_mmu_free_memory_cache(self, mc: kvm_mmu_memory_cache) -> None:
        objects = mc.nobjs
        mc.nobjs = 0
        for o in self.on.mc_free:
            o.mc_free(objects)

    def kvm_mmu_memory_cache_alloc(self, mc: kvm_mmu_memory_cache) -> int:
        """Take an object; empty: a warning and an atomic allocation."""
        if mc.nobjs:
            mc.nobjs -= 1
        else:
            self.warn("cache-empty")
        for o in self.on.mc_pop:
            o.mc_pop(mc.nobjs)
        return self.zeroed_page()

    def lock(self, name: str, shared: bool = False) -> None:
        """``spin_lock(&kvm->mmu_lock)``, ``mmap_read_lock()``, ``srcu_read_lock()``.

        :param shared: of the mmu lock: ``read_lock(&kvm->mmu_lock)``, beside others that read
        """
        self.take(name, name == "mmu" and not shared)

    def mmap_write_lock(self) -> None:
        """``mmap_write_lock()``, as threads of the host take it."""
        self.take("mmap", True)

    def take(self, name: str, alone: bool) -> None:
        """Take a lock; where several actors are at work, others run until it is free.

        :param alone: nobody has it beside this one
        """
        is_mmu, is_mmap = name == "mmu", name == "mmap"
        vmid = 0 if is_mmap else self.vmid
        if is_mmu:
            self.reached("lock")
        if self.steps is not None:
            self.steps.take(name, vmid, alone)
        if self.locks and (is_mmu or is_mmap) and "mmu" in self.locks:
            self.warn("lock-already-held" if is_mmu else "sleeping-call-under-lock")
        self.locks.append(name)
        if is_mmu:
            self.mmu_shared = not alone
            self.mmu_holds += alone
        for o in self.on_lock:
            o.lock(name, vmid)
        if is_mmu:
            self.passed("lock")

    def unlock(self, name: str) -> None:
        is_mmu = name == "mmu"
        if is_mmu:
            self.reached("unlock")
        last = len(self.locks) - 1
        while last >= 0 and self.locks[last] != name:
            last -= 1
        if last >= 0:
            self.locks.pop(last)
            if is_mmu:
                self.mmu_shared = False
        else:
            self.warn("lock-not-held")
        vmid = 0 if name == "mmap" else self.vmid
        if self.steps is not None:
            self.steps.drop(name, vmid)
        for o in self.on_unlock:
            o.unlock(name, vmid)
        if is_mmu:
            self.passed("unlock")

    def mutex_lock(self, name: str) -> None:
        """``mutex_lock(&kvm->slots_lock)``: no event, for no checker has a rule about it."""
        if self.steps is not None:
            self.steps.take(name, self.vmid, True)

    def mutex_unlock(self, name: str) -> None:
        if self.steps is not None:
            self.steps.drop(name, self.vmid)

    def synchronize_srcu(self) -> None:
        """``synchronize_srcu_expedited(&kvm->srcu)``: waits for readers, those that came later too."""
        if self.steps is not None:
            self.steps.wait_for_readers("srcu", self.vmid)

    def rcu_read_lock(self) -> None:
        """``rcu_read_lock()``: what others cut off from here on stays until the end of the section."""
        self.rcu_depth += 1
        for o in self.on.rcu_read_lock:
            o.rcu_read_lock(self.rcu_depth)

    def rcu_read_unlock(self) -> None:
        self.rcu_depth -= 1
        for o in self.on.rcu_read_unlock:
            o.rcu_read_unlock(self.rcu_depth)
        self.rcu_depth = max(self.rcu_depth, 0)

    def call_rcu(self, page: int) -> int:
        """``call_rcu()``, mostly by the ``rcu_head`` of a table page.

        :param page: its number, or -1
        :returns: the number of the callback
        """
        number = self.rcu_posted
        self.rcu_posted += 1
        for o in self.on.call_rcu:
            o.call_rcu(number, page)
        return number

    def rcu_callback(self, number: int) -> None:
        """A grace period has passed: the callback of this number is about to run."""
        self.rcu_passed = max(self.rcu_passed, number + 1)
        for o in self.on.rcu_callback:
            o.rcu_callback(number)

    def assert_spin_locked(self) -> None:
        """``assert_spin_locked(&kvm->mmu_lock)``"""
        if "mmu" not in self.locks:
            self.warn("lock-not-held")

    def cond_resched_lock(self) -> None:
        """``cond_resched_lock(&kvm->mmu_lock)``: drops it, and takes it again, where another task waits."""
        self.offer_resched()
        if self.is_waited_for():
            self.unlock("mmu")
            self.lock("mmu")

    def is_waited_for(self) -> bool:
        """Tell whether another task waits for the mmu lock, as the program says."""
        self.questions += 1
        every = self.resched_every
        return self.questions == self.contended_at or (every != 0 and self.questions % every == 0)

    def need_resched(self) -> bool:
        return self.is_asked("need_resched")

    def spin_needbreak(self) -> bool:
        """``spin_needbreak(&kvm->mmu_lock)``"""
        return self.is_asked("spin_is_contended")

    def rwlock_needbreak(self) -> bool:
        """``rwlock_needbreak(&kvm->mmu_lock)``"""
        return self.is_asked("rwlock_is_contended")

    def is_asked(self, function: str) -> bool:
        """Answer a question of kernel code, which drops the lock itself if the answer is yes."""
        answer = self.is_waited_for()
        self.note_question(function, answer)
        return answer

    def note_question(self, function: str, answer: bool) -> None:
        """Kernel code was told whether another task waits."""
        for o in self.on.resched_asked:
            o.resched_asked(function, answer)

    def cond_resched(self) -> None:
        """Another task may run here."""
        for o in self.on.cond_resched:
            o.cond_resched()

    def offer_resched(self) -> None:
        """The mmu lock may be dropped here."""
        for o in self.on.resched:
            o.resched()

    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        """Hypercall: flush one address on all CPUs; level 0 is no hint."""
        self.reached("flush")
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_tlb_flush_vmid_ipa__(mmu, ipa, level)
        self.assembly.leave()
        for o in self.on.tlbi_ipa:
            o.tlbi_ipa(mmu.vmid, ipa, level)
        self.passed("flush")

    def __kvm_tlb_flush_vmid_ipa_nsh__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        """Hypercall of v6.6 and later: as `__kvm_tlb_flush_vmid_ipa__`, for this CPU alone."""
        self.reached("flush")
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_tlb_flush_vmid_ipa_nsh__(mmu, ipa, level)
        self.assembly.leave()
        for o in self.on.tlbi_ipa_local:
            o.tlbi_ipa_local(mmu.vmid, ipa, level)
        self.passed("flush")

    def __kvm_tlb_flush_vmid__(self, mmu: kvm_s2_mmu) -> None:
        """Hypercall: flush all that a VM has, on all CPUs."""
        self.reached("flush")
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_tlb_flush_vmid__(mmu)
        self.assembly.leave()
        for o in self.on.tlbi_vmid:
            o.tlbi_vmid(mmu.vmid)
        self.passed("flush")

    def __kvm_tlb_flush_vmid_range__(self, mmu: kvm_s2_mmu, ipa: int, pages: int) -> None:
        """Hypercall of v6.6 and later: as for one address, by range and with no hint.

        Callers ask for FEAT_TLBIRANGE (``system_supports_tlb_range()``) and for no more than `MAX_TLBI_RANGE_PAGES`.
        """
        size = pages << self.granule.page_shift
        if not self.caps & ARM64_HAS_TLB_RANGE:
            self.warn("undefined-instruction")
            return
        if pages > MAX_TLBI_RANGE_PAGES:
            self.warn("more-pages-than-a-range-has")
            return
        self.reached("flush")
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_tlb_flush_vmid_range__(mmu, ipa, pages)
        self.assembly.leave()
        for o in self.on.tlbi_range:
            o.tlbi_range(mmu.vmid, ipa & -self.granule.page_size, size)
        self.passed("flush")

    def __kvm_flush_cpu_context__(self, mmu: kvm_s2_mmu, cpu: int) -> None:
        """Hypercall on CPU *cpu*: drops what combines both stages, on that CPU; stage-2 entries stay."""
        self.assembly.enter(cpu)
        self.tlb.__kvm_flush_cpu_context__(mmu)
        self.assembly.leave()
        for o in self.on.flush_cpu_context:
            o.flush_cpu_context(mmu.vmid, cpu)

    def __kvm_flush_vm_context__(self) -> None:
        """Hypercall: flush all that any VM has, on all CPUs."""
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_flush_vm_context__()
        self.assembly.leave()
        for o in self.on.flush_vm_context:
            o.flush_vm_context()

    def hardware_sets_af(self, ptep: int, af: int) -> None:
        """Let an access of the hardware set bit *af* of an entry; this is no kernel code."""
        old = self.words[ptep]
        self.words.put(ptep, old | af)
        for o in self.on.set_af:
            o.set_af(ptep, old, old | af)

    def __flush_dcache_area__(self, va: int, size: int) -> None:
        """Clean and invalidate to the point of coherency, by kernel address."""
        pa = self.base + (va << 3)
        self.reached("clean")
        self.hardware.clean_and_invalidate(pa, size)
        for o in self.on_dcache:
            o.dcache(pa, size)
        self.passed("clean")

    def invalidate_icache_range(self, va: int, size: int) -> None:
        pa = self.base + (va << 3)
        self.reached("clean")
        self.hardware.invalidate_icache(pa, size)
        for o in self.on.icache:
            o.icache(pa, size)
        self.passed("clean")

    def __flush_icache_all__(self) -> None:
        self.hardware.invalidate_icache_all()
        for o in self.on.icache_all:
            o.icache_all()
