# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (virt/kvm/kvm_main.c, arch/arm64/include/asm).
"""Table pages with their references, other allocations, and the memory caches of KVM."""

from typing import Final

from ..compiled.annotations import mypyc_attr
from .entries import Entries
from .errors import ENOMEM, NULL
from .structs import kvm_mmu_memory_cache

KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE: Final = 40


@mypyc_attr(allow_interpreted_subclasses=True)
class Pages(Entries):
    """Addresses, references, allocation and freeing of table pages; small allocations; memory caches."""

    def __pa__(self, va: int) -> int:
        """``__pa()``: a pointer is an index of 64-bit words, the map is linear."""
        return self.base + (va << 3)

    def __va__(self, pa: int) -> int:
        """``__va()``; for a guest frame a number that only `__pa__` understands."""
        return (pa - self.base) >> 3

    def virt_to_page(self, ptep: int) -> int:
        """``virt_to_page()``: the number of the table page; for other memory a number that no table page has.

        :raises IndexError: for NULL, where the kernel would crash
        """
        if ptep == NULL:
            raise IndexError("NULL pointer")
        return ptep // self.entries

    def _no_table(self, call: str, page: int) -> None:
        """Report that a reference-counting function got a page that is no table; no count of ours changes."""
        for o in self.on.no_table:
            o.no_table(call, page)

    def page_count(self, page: int) -> int:
        """``page_count()``; memory that is no table page has count 1."""
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
        """``free_page()``: drops one reference, frees at zero; does nothing for NULL."""
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
        self.might_sleep()
        return self.zeroed_page()

    def might_sleep(self) -> None:
        """``might_sleep()``: warn if the context is atomic."""
        if "mmu" in self.locks:
            self.warn("sleeping-call-under-lock")
        elif self.rcu_depth > 0:
            self.warn("sleeping-call-by-reader")
        elif self.must_not_block:
            self.warn("sleeping-call-in-notifier")

    def zeroed_page(self) -> int:
        """Allocate as `get_zeroed_page`, but from the memory cache or atomically."""
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
        """``free_pages_exact()``: drops one reference of each page; does nothing for NULL."""
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
        """Make a small allocation; return whether it succeeded."""
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

        May sleep. ``topup_gets`` limits the number of objects that one call adds.

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
        self.topped_up(mc, minimum, had, ret, locked)
        return ret

    def number_of(self, mc: kvm_mmu_memory_cache) -> int:
        """Return the number of a memory cache in events. Numbers follow the order of the first events."""
        if not mc.number:
            self.caches += 1
            mc.number = self.caches
        return mc.number

    def topped_up(self, mc: kvm_mmu_memory_cache, minimum: int, had: int, ret: int, locked: bool) -> None:
        """Report a top-up; see `reference.events.Observer.topup`."""
        number = self.number_of(mc)
        self.cache = mc.name
        for o in self.on.topup:
            o.topup(number, minimum, had, mc.nobjs, ret, locked)

    def popped(self, mc: kvm_mmu_memory_cache) -> None:
        """Report that an object left a memory cache."""
        number = self.number_of(mc)
        self.cache = mc.name
        for o in self.on.mc_pop:
            o.mc_pop(number, mc.nobjs)

    def objects_counted(self, mc: kvm_mmu_memory_cache, objects: int) -> None:
        """Report that kernel code asked for the number of objects in a memory cache, and which number it got."""
        number = self.number_of(mc)
        self.cache = mc.name
        for o in self.on.mc_count:
            o.mc_count(number, objects)

    def cache_freed(self, mc: kvm_mmu_memory_cache, objects: int) -> None:
        """Report that a memory cache freed this many objects. The cache loses its number."""
        number = self.number_of(mc)
        self.cache = mc.name
        for o in self.on.mc_free:
            o.mc_free(number, objects)
        mc.number = 0

    def kvm_mmu_free_memory_cache(self, mc: kvm_mmu_memory_cache) -> None:
        objects = mc.nobjs
        mc.nobjs = 0
        self.cache_freed(mc, objects)

    def kvm_mmu_memory_cache_alloc(self, mc: kvm_mmu_memory_cache) -> int:
        """Take an object; if the cache is empty, warn and allocate atomically."""
        if mc.nobjs:
            mc.nobjs -= 1
        else:
            self.warn("cache-empty")
        self.popped(mc)
        return self.zeroed_page()
