# SPDX-License-Identifier: GPL-2.0-only
"""leak: after the VM is gone nothing is left of it: tables, memory caches, pinned frames."""

from .base import Checker


class Leak(Checker):
    """Judges once, at the end."""

    name = "leak"

    def destroyed(self) -> None:
        left = [page for page, count in enumerate(self.kernel.counts) if count > 0]
        if left:
            self.report(
                "table pages left", -1, f"table pages {left} are still allocated", function="kvm_free_stage2_pgd"
            )
        objects = sum(vcpu.mmu_page_cache.nobjs for vcpu in self.side.vcpus)
        if objects:
            self.report(
                "memory cache left", -1, f"{objects} objects are still in memory caches", function="kvm_free_stage2_pgd"
            )
        pins = self.side.kvm_host.pins
        if pins:
            frames = ", ".join(f"{pfn:#x} ({count})" for pfn, count in sorted(pins.items()))
            self.report("frames still pinned", -1, f"references left on frames {frames}", function="user_mem_abort")
