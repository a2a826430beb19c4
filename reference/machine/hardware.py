# SPDX-License-Identifier: GPL-2.0-only
"""The hardware as kernel code drives it: TLB and cache maintenance."""

from ..compiled.annotations import mypyc_attr
from .arena import Arena
from .granule import Granule


@mypyc_attr(allow_interpreted_subclasses=True)
class Hardware:
    """Table memory, and maintenance that finds nothing to maintain.

    `reference.machine.computer.Computer` is the one with TLBs and caches.
    """

    def __init__(self, granule: Granule) -> None:
        self.granule = granule
        self.arena = Arena(granule)

    def tlbi_ipas2e1is(self, vmid: int, ipa: int, hint: int) -> None:
        """TLBI IPAS2E1IS with TTL *hint* (0: none), then VMALLE1IS."""

    def tlbi_ipas2e1(self, cpu: int, vmid: int, ipa: int, hint: int) -> None:
        """TLBI IPAS2E1 with TTL *hint* on *cpu*, then VMALLE1: no other CPU is concerned."""

    def tlbi_vmalls12e1is(self, vmid: int) -> None:
        """TLBI VMALLS12E1IS."""

    def tlbi_ripas2e1is(self, vmid: int, ipa: int, size: int) -> None:
        """TLBI RIPAS2E1IS over *size* bytes without hint, then VMALLE1IS."""

    def clean_and_invalidate(self, pa: int, size: int) -> None:
        """DC CIVAC over *size* bytes of physical memory."""

    def invalidate_icache(self, pa: int, size: int) -> None:
        """IC IVAU over *size* bytes of physical memory."""

    def invalidate_icache_all(self) -> None:
        """IC IALLUIS."""
