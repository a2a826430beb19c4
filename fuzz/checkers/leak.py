# SPDX-License-Identifier: GPL-2.0-only
"""leak: after the VM is gone nothing is left of it: tables, memory caches, small allocations."""

from ..sides.side import Side
from .checker import Checker


class Leak(Checker):
    """Balances what was taken against what was given back, and judges once, at the end."""

    name = "leak"

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self.cached = 0
        self.empty = False
        self.small = 0
        self.percpu_areas = 0
        # The table pages of the hypervisor.
        self.hyp: set[int] = set()

    def alloc(self, page: int) -> None:
        if page >= 0 and self.kernel.entry.startswith("kvm_pgtable_hyp_"):
            self.hyp.add(page)

    def topup(self, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        self.cached += has - had

    def warn(self, label: str) -> None:
        # The object that follows comes from the page allocator.
        self.empty = label == "cache-empty"

    def mc_pop(self, left: int) -> None:
        self.cached -= not self.empty
        self.empty = False

    def mc_free(self, objects: int) -> None:
        self.cached -= objects

    def kzalloc(self, ok: bool) -> None:
        self.small += ok

    def kfree(self) -> None:
        self.small -= 1

    def percpu(self, ok: bool) -> None:
        self.percpu_areas += ok

    def percpu_free(self) -> None:
        self.percpu_areas -= 1

    def destroyed(self) -> None:
        end = "kvm_free_stage2_pgd"
        left = [page for page, count in enumerate(self.kernel.counts) if count > 0]
        hyp = [page for page in left if page in self.hyp]
        left = [page for page in left if page not in self.hyp]
        if left:
            self.report("table pages left", -1, f"table pages {left} are still allocated", function=end)
        if hyp:
            what = f"table pages {hyp} are still allocated"
            self.report("table pages left", -1, what, function="kvm_pgtable_hyp_destroy")
        if self.cached:
            self.report("memory cache left", -1, f"{self.cached} objects are still in memory caches", function=end)
        if self.small or self.percpu_areas:
            what = f"{self.small} small and {self.percpu_areas} per-CPU allocations are not freed"
            self.report("allocations left", -1, what, function=end)
