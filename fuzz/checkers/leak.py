# SPDX-License-Identifier: GPL-2.0-only
"""leak: after the VM is gone, none of its tables, memory caches and small allocations are left."""

from typing import Final

from ..sides.guest import Guest
from ..sides.side import Side
from .checker import Checker, Peers
from .rule import Clause, Rule
from .severity import Severity

# The function that frees everything that stage 2 has of a VM, and the one that frees the rest.
END: Final = "kvm_free_stage2_pgd"
END_OF_VM: Final = "kvm_destroy_vm"


class Cache:
    """The objects in a memory cache, its name, and the place in a tree where it was filled last."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects = 0
        self.filled = ""


class Balance:
    """The unfreed allocations of a VM: objects in memory caches, by number; small and per-CPU allocations."""

    def __init__(self) -> None:
        self.caches: dict[int, Cache] = {}
        self.small = 0
        self.percpu_areas = 0


class SmallObject:
    """A small allocation of a tree that is not freed.

    :param vm: the VM for which kernel code ran
    :param counted: made by stage-2 code; otherwise for slots and their like
    :param where: the place of the allocation
    """

    def __init__(self, vm: int, counted: bool, where: str) -> None:
        self.vm = vm
        self.counted = counted
        self.where = where


class Leak(Checker):
    """Balances allocations against frees per VM, and judges when one VM or all VMs are gone.

    A page belongs to the VM for which kernel code ran when it was allocated.
    """

    rule = Rule(
        "leak",
        (
            Clause(
                "no table, memory cache or small allocation is left when the VM is gone, and nothing that its slots had"
            ),
            Clause(
                "where tables are counted (`NR_SECONDARY_PAGETABLE`), each is counted once, until it is freed",
                "*: table pages counted wrongly*",
            ),
        ),
        "each VM that ends would leave memory that the host never gets back, or that /proc/meminfo shows forever",
        Severity.ACCOUNTING,
        rank=3,
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.balances = [Balance() for _ in side.guests]
        # Small allocations of a tree, by number.
        self.objects: dict[int, SmallObject] = {}
        self.empty = False
        # Table pages of the hypervisor; of each VM by number, if there are several; pages already reported.
        self.hyp: set[int] = set()
        self.pages: list[set[int]] = [set() for _ in side.guests]
        self.several = len(side.guests) > 1
        self.reported: set[int] = set()
        # Numbers of VM table pages: allocated, added to the memory statistics, removed from them.
        self.taken = self.added = self.removed = 0

    @property
    def balance(self) -> Balance:
        """The balance of the VM for which kernel code runs."""
        return self.balances[self.side.active.number]

    def alloc(self, page: int) -> None:
        if page < 0:
            return
        if self.kernel.entry.startswith("kvm_pgtable_hyp_"):
            self.hyp.add(page)
            return
        self.taken += 1
        if self.several:
            self.pages[self.side.active.number].add(page)

    def alloc_exact(self, page: int, pages: int) -> None:
        if page < 0:
            return
        self.taken += pages
        if self.several:
            self.pages[self.side.active.number].update(range(page, page + pages))

    def accounted(self, pages: int) -> None:
        if pages > 0:
            self.added += pages
        else:
            self.removed -= pages

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        filled = self.cache(cache)
        filled.objects += has - had
        if has > had:
            filled.filled = self.kernel.place

    def cache(self, number: int) -> Cache:
        """Return the memory cache of the current event, by its number."""
        caches = self.balance.caches
        found = caches.get(number)
        if found is None:
            found = caches[number] = Cache(self.kernel.cache)
        return found

    def warn(self, label: str) -> None:
        # The next object comes from the page allocator.
        self.empty = label == "cache-empty"

    def mc_pop(self, cache: int, left: int) -> None:
        self.cache(cache).objects -= not self.empty
        self.empty = False

    def mc_free(self, cache: int, objects: int) -> None:
        freed = self.cache(cache)
        freed.objects -= objects
        if not freed.objects:
            # The cache loses its number.
            del self.balance.caches[cache]

    def kzalloc(self, ok: bool) -> None:
        self.balance.small += ok

    def kfree(self) -> None:
        self.balance.small -= 1

    def percpu(self, ok: bool) -> None:
        self.balance.percpu_areas += ok

    def percpu_free(self) -> None:
        self.balance.percpu_areas -= 1

    def object(self, number: int, held: bool, counted: bool) -> None:
        if not number:
            return
        if held:
            self.objects[number] = SmallObject(self.side.active.number, counted, self.kernel.place)
        else:
            self.objects.pop(number, None)

    def vm_ended(self, guest: Guest) -> None:
        """Judge what is left of a VM that has ended while others continue."""
        mine = self.pages[guest.number]
        left = [page for page in sorted(mine) if self.kernel.counts[page] > 0]
        self.judge(left, [guest.number], f"of VM {guest.number}: ")
        # Do not count these pages again at the final check.
        self.reported.update(left)
        self.balances[guest.number] = Balance()
        self.objects = {number: each for number, each in self.objects.items() if each.vm != guest.number}

    def destroyed(self) -> None:
        held = [page for page, count in enumerate(self.kernel.counts) if count > 0]
        self.judge([page for page in held if page not in self.reported], list(range(len(self.balances))), "")
        if self.side.standard.mmu.ACCOUNTS_TABLES:
            self.judge_accounts([page for page in held if page not in self.hyp])

    def judge_accounts(self, left: list[int]) -> None:
        """Report wrong memory statistics.

        :param left: the pages that are left
        """
        held, any_page = len(left), self.kernel.any_pages - self.hyp
        # Pages that kernel code got from the page allocator itself may or may not be tables.
        missed, kept = self.taken - self.added, held - (self.added - self.removed)
        if not 0 <= missed <= len(any_page) or not 0 <= kept <= len(any_page.intersection(left)):
            reason = f"VMs had {self.taken} table pages: kvm_account_pgtable_pages() added {self.added} to "
            reason += f"NR_SECONDARY_PAGETABLE (SecPageTables in /proc/meminfo) and subtracted {self.removed}; "
            reason += f"{held} are still allocated"
            self.report("table pages counted wrongly", -1, reason, function=END)

    def judge(self, pages: list[int], vms: list[int], whose: str) -> None:
        """Report what is left, if anything.

        :param vms: the numbers of the VMs that are gone
        :param whose: the VM concerned, if others continue
        """
        hyp = [page for page in pages if page in self.hyp]
        pages = [page for page in pages if page not in self.hyp]
        if pages:
            self.pages_left(pages, whose, END)
        if hyp:
            self.pages_left(hyp, "", "kvm_pgtable_hyp_destroy")
        balances = [self.balances[vm] for vm in vms]
        caches = [cache for each in balances for cache in each.caches.values() if cache.objects]
        for name in sorted({cache.name for cache in caches}):
            self.judge_caches([cache for cache in caches if cache.name == name], name, whose)
        small = sum([each.small for each in balances])
        percpu = sum([each.percpu_areas for each in balances])
        kept = [each for each in self.objects.values() if each.vm in vms]
        if small or percpu:
            what = f"{whose}{small} small and {percpu} per-CPU allocations are not freed"
            where = first_place([each for each in kept if each.counted])
            self.report("allocations left", -1, what, function=END, where=where)
        freed = [vm for vm in vms if self.side.guests[vm].freed]
        others = [each for each in kept if not each.counted and each.vm in freed]
        if others:
            what = f"{whose}{len(others)} {'allocation' if len(others) == 1 else 'allocations'} "
            what += f"for slots, dirty logs or the VM itself {'is' if len(others) == 1 else 'are'} not freed"
            self.report("allocations left", -1, what, function=END_OF_VM, where=first_place(others))

    def judge_caches(self, caches: list[Cache], name: str, whose: str) -> None:
        """Report the objects that are left in memory caches of one name."""
        cached = sum([each.objects for each in caches])
        objects = "1 object is" if cached == 1 else f"{cached} objects are"
        filled = next((each.filled for each in caches if each.filled), "")
        if len(caches) == 1:
            what, last = name or "a memory cache of a call", "where it was filled last"
        else:
            what = f"{len(caches)} memory caches" + (f", each a {name}" if name else " of calls")
            last = "where the first of them was filled last"
        where = f"{filled}, {last}" if filled else ""
        self.report("memory cache left", -1, f"{whose}{objects} still in {what}", function=END, where=where)

    def pages_left(self, pages: list[int], whose: str, function: str) -> None:
        """Report table pages that are left; *function*: the function that should have freed them."""
        where = of_the_first(self.kernel.last.allocated(pages[0]))
        what = f"{whose}table pages {pages} are still allocated"
        self.report("table pages left", -1, what, function=function, where=where)


def first_place(objects: list[SmallObject]) -> str:
    """Return where the first of some objects was allocated; "": unknown."""
    return of_the_first(objects[0].where) if objects else ""


def of_the_first(place: str) -> str:
    """Return the place where the first of several things was allocated, as a phrase; "" if there is no place."""
    return f"{place}, where the first of them was allocated" if place else ""
