# SPDX-License-Identifier: GPL-2.0-only
"""Drives the port of pgtable.c with the operations of a golden sequence."""

from typing import Any, Final

from reference.capabilities import ARM64_HAS_STAGE2_FWB
from reference.kernel import Kernel
from reference.machine.granule import Granule
from reference.machine.hardware import Hardware
from reference.pgtable import Pgtable, kvm_pgtable
from reference.services.structs import kvm_mmu_memory_cache, kvm_s2_mmu

from .recorder import Recorder


class StubKernel(Kernel):
    """Uses the page allocator as the memory cache, like the harness that produced the streams."""

    def kvm_mmu_memory_cache_alloc(self, mc: kvm_mmu_memory_cache) -> int:
        return self.zeroed_page()


class PgtableReplay:
    """One golden sequence and one port.

    :param sequence: a line of tests/data/golden/*.jsonl.gz
    :param pgtable: the port's class
    """

    def __init__(self, sequence: dict[str, Any], pgtable: type[Pgtable]) -> None:
        self.sequence = sequence
        granule = Granule(sequence["granule"].bit_length() - 1)
        caps = ARM64_HAS_STAGE2_FWB if sequence.get("fwb") else 0
        self.kernel = StubKernel(granule, Hardware(granule), caps)
        self.recorder = Recorder(self.kernel, warn_labels=False)
        self.kernel.observe(self.recorder)
        self.port = pgtable(self.kernel)
        self.pgt = kvm_pgtable()

    def operation(self, op: dict[str, Any]) -> dict[str, Any]:
        """Run one operation and return what the stream would contain for it: ret, events."""
        port, pgt, name = self.port, self.pgt, op["op"]
        number = {key: int(op[key], 16) for key in ("addr", "size", "phys") if key in op}
        ret: Any = None
        if name == "init":
            ret = port.kvm_pgtable_stage2_init(pgt, int(self.sequence["vtcr"], 16), kvm_s2_mmu())
        elif name == "map":
            fails_after = op["alloc_fails_after"] if op["memcache"] else None
            self.kernel.allocations_left = -1 if fails_after is None else fails_after
            cache = kvm_mmu_memory_cache() if op["memcache"] else None
            ret = port.kvm_pgtable_stage2_map(pgt, number["addr"], number["size"], number["phys"], op["prot"], cache)
            self.kernel.allocations_left = -1
        elif name in ("unmap", "wrprotect", "flush"):
            function = getattr(port, "kvm_pgtable_stage2_" + name)
            ret = function(pgt, number["addr"], number["size"])
        elif name in ("mkyoung", "mkold"):
            ret = getattr(port, "kvm_pgtable_stage2_" + name)(pgt, number["addr"])
            ret = self.recorder.entry(ret)
        elif name == "is_young":
            ret = int(port.kvm_pgtable_stage2_is_young(pgt, number["addr"]))
        elif name == "relax_perms":
            ret = port.kvm_pgtable_stage2_relax_perms(pgt, number["addr"], op["prot"])
        elif name == "destroy":
            port.kvm_pgtable_stage2_destroy(pgt)
        elif name == "hyp_init":
            ret = port.kvm_pgtable_hyp_init(pgt, self.sequence["va_bits"])
        elif name == "hyp_map":
            ret = port.kvm_pgtable_hyp_map(pgt, number["addr"], number["size"], number["phys"], op["prot"])
        elif name == "hyp_destroy":
            port.kvm_pgtable_hyp_destroy(pgt)
        else:
            raise AssertionError(f"the stream has an operation this replay does not know: {name}")
        out: dict[str, Any] = {"events": self.recorder.take()}
        if "ret" in op:
            out["ret"] = ret
        return out

    def pages_left(self) -> list[int]:
        return [page for page, count in enumerate(self.kernel.counts) if count]


SOURCES: Final = {"4d177ce1d536": "original", "2f4f87021980": "rfc-v1-1", "308c36b9cd21": "rfc-v1-3"}
