# SPDX-License-Identifier: GPL-2.0-only
"""Drives the ports of mmu.c and pgtable.c with the operations of a golden VM sequence."""

from collections.abc import Callable
from typing import Any, Final

from candidate import Candidate
from reference.capabilities import ARM64_HAS_CACHE_DIC, ARM64_HAS_STAGE2_FWB, ICACHE_ALIASING, ICACHE_VPIPT, NO_VHE
from reference.kernel import Kernel
from reference.kvm import HCR_TVM, kvm, kvm_vcpu
from reference.kvm_host import KvmHost
from reference.kvm_main import KvmMain
from reference.machine import address_space, walk
from reference.machine.address_space import AddressSpace, PageRun, Vma
from reference.machine.granule import Granule
from reference.machine.hardware import Hardware
from reference.mmu import Mmu
from reference.syndrome import (
    FSC_ACCESS,
    FSC_FAULT,
    FSC_PERM,
    ESR_ELx_CM,
    ESR_ELx_EC_DABT_LOW,
    ESR_ELx_EC_IABT_LOW,
    ESR_ELx_EC_SHIFT,
    ESR_ELx_IL,
    ESR_ELx_ISV,
    ESR_ELx_S1PTW,
    ESR_ELx_WNR,
)

from .recorder import Recorder

FLAGS: Final = {
    "writable": address_space.WRITABLE,
    "thp": address_space.THP,
    "device": address_space.DEVICE,
    "poison": address_space.POISON,
    "absent": address_space.ABSENT,
}
CAPS: Final = {
    "fwb": ARM64_HAS_STAGE2_FWB,
    "dic": ARM64_HAS_CACHE_DIC,
    "icache_aliasing": ICACHE_ALIASING,
    "icache_vpipt": ICACHE_VPIPT,
}
ACCESS: Final = {"write": walk.WRITE, "s1ptw_write": walk.WRITE, "exec": walk.FETCH}
FSC: Final = {"translation": FSC_FAULT, "access": FSC_ACCESS, "permission": FSC_PERM}
ISS: Final = {
    "read": ESR_ELx_ISV,
    "write": ESR_ELx_ISV | ESR_ELx_WNR,
    "exec": 0,
    "s1ptw_read": ESR_ELx_S1PTW,
    "s1ptw_write": ESR_ELx_S1PTW | ESR_ELx_WNR,
    "cm": ESR_ELx_CM | ESR_ELx_WNR,
}


class InterruptedHost(KvmHost):
    """Calls *meanwhile* between the look-up of a frame and its use."""

    meanwhile: Callable[[], None] | None = None

    def gfn_to_pfn_prot(self, kvm: kvm, gfn: int, write_fault: bool) -> tuple[int, bool]:
        result = super().gfn_to_pfn_prot(kvm, gfn, write_fault)
        if self.meanwhile is not None:
            self.meanwhile()
        return result


class VmReplay:
    """One golden VM sequence and one candidate.

    :param sequence: a line of tests/data/golden/vm/*.jsonl.gz
    """

    def __init__(self, sequence: dict[str, Any], version: Candidate) -> None:
        granule = Granule(sequence["granule"].bit_length() - 1)
        caps = sum(bit for name, bit in CAPS.items() if sequence["caps"][name])
        caps |= 0 if sequence["caps"]["vhe"] else NO_VHE
        self.kernel = Kernel(granule, Hardware(granule), caps)
        self.recorder = Recorder(self.kernel, warn_labels=True)
        self.kernel.observe(self.recorder)
        self.mm = AddressSpace(granule.page_shift, granule.level_shift(2), int(sequence["first_cow_pfn"], 16))
        for vma in sequence["vmas"]:
            self.mm.vmas.append(
                Vma(
                    int(vma["start"], 16),
                    int(vma["end"], 16),
                    bool(vma["pfnmap"]),
                    vma["huge_shift"],
                    int(vma["pgoff"], 16),
                )
            )
        self.back(sequence["backing"])
        self.host = InterruptedHost(self.kernel, self.mm)
        self.pgtable = version.pgtable(self.kernel)
        self.mmu: Mmu = version.mmu(self.host, self.pgtable)
        self.vm = kvm(int(sequence["vtcr"], 16), self.pgtable.VTCR_EL2_TGRAN_SL0_BASE)
        self.vm.manual_dirty_log_protect = sequence["manual_dirty_log"]
        self.main = KvmMain(self.vm, self.mmu)
        self.mm.receiver = self.main
        fwb = bool(sequence["caps"]["fwb"])
        self.vcpus = [kvm_vcpu(self.vm, 0, fwb), kvm_vcpu(self.vm, 1, fwb)]
        self.sequence = sequence

    def back(self, runs: list[dict[str, Any]]) -> None:
        for run in runs:
            flags = sum(FLAGS[name] for name in run["flags"])
            pfn = int(run.get("pfn", "0"), 16)
            self.mm.runs.append(PageRun(int(run["hva"], 16), run["npages"], pfn, flags))
            if flags & address_space.DEVICE:
                self.mm.devices.append((pfn, run["npages"]))

    def update(self, op: dict[str, Any]) -> None:
        self.main.host_update()
        self.back(op.get("backing", []))

    def operation(self, op: dict[str, Any]) -> dict[str, Any]:
        """Run one operation and return what the stream would contain for it."""
        out: dict[str, Any] = getattr(self, "op_" + op["op"])(op)
        if "events" in op:
            out["events"] = self.recorder.take()
        return out

    def op_init(self, op: dict[str, Any]) -> dict[str, Any]:
        self.kernel.small_allocations_left = op.get("small_alloc_fails_at", -1)
        self.kernel.allocations_left = 0 if op.get("table_alloc") == "fails" else -1
        ret = self.mmu.kvm_init_stage2_mmu(self.vm)
        self.kernel.small_allocations_left = self.kernel.allocations_left = -1
        return {"ret": ret}

    op_init_again = op_init

    def op_destroy(self, op: dict[str, Any]) -> dict[str, Any]:
        for vcpu in self.vcpus:
            self.kernel.kvm_mmu_free_memory_cache(vcpu.mmu_page_cache)
        self.mmu.kvm_free_stage2_pgd(self.vm)
        return {}

    def op_set_region(self, op: dict[str, Any]) -> dict[str, Any]:
        self.kernel.topup_gets = op.get("topup_gets", -1)
        ret = self.main.__kvm_set_memory_region__(
            op["slot"], op["flags"], int(op["gpa"], 16), int(op["size"], 16), int(op["hva"], 16)
        )
        self.kernel.topup_gets = -1
        return {"ret": ret}

    def op_invalidate(self, op: dict[str, Any]) -> dict[str, Any]:
        self.main.invalidate_range_start(int(op["start"], 16), int(op["end"], 16), bool(op["blockable"]))
        self.update(op)
        self.main.invalidate_range_end()
        return {}

    def op_invalidate_begin(self, op: dict[str, Any]) -> dict[str, Any]:
        self.main.invalidate_range_start(int(op["start"], 16), int(op["end"], 16), bool(op["blockable"]))
        return {}

    def op_invalidate_end(self, op: dict[str, Any]) -> dict[str, Any]:
        self.main.invalidate_range_end()
        return {}

    def op_change_pte(self, op: dict[str, Any]) -> dict[str, Any]:
        if op["bracketed"]:
            self.main.invalidate_range_start(int(op["start"], 16), int(op["end"], 16), True)
        self.update(op)
        self.main.change_pte(int(op["hva"], 16), int(op["pfn"], 16))
        if op["bracketed"]:
            self.main.invalidate_range_end()
        return {"ret": 0}

    def op_host_map(self, op: dict[str, Any]) -> dict[str, Any]:
        self.update(op)
        return {}

    def op_age(self, op: dict[str, Any]) -> dict[str, Any]:
        age = self.main.clear_flush_young if op["flush"] else self.main.clear_young
        return {"ret": age(int(op["start"], 16), int(op["end"], 16))}

    def op_test_age(self, op: dict[str, Any]) -> dict[str, Any]:
        return {"ret": self.main.test_young(int(op["hva"], 16))}

    def op_get_dirty_log(self, op: dict[str, Any]) -> dict[str, Any]:
        ret, bitmap = self.main.kvm_get_dirty_log_protect(op["slot"])
        if ret:
            return {"ret": ret}
        dirty: list[list[int]] = []
        for page in range(len(bitmap) * 64):
            if bitmap[page >> 6] >> (page & 63) & 1:
                if dirty and sum(dirty[-1]) == page:
                    dirty[-1][1] += 1
                else:
                    dirty.append([page, 1])
        return {"ret": ret, "dirty": dirty}

    def op_clear_dirty_log(self, op: dict[str, Any]) -> dict[str, Any]:
        slot = self.host.id_to_memslot(self.vm, op["slot"])
        assert slot is not None
        first = op["word"] * 64
        pages = min(64, slot.npages - first)
        ret = self.main.kvm_clear_dirty_log_protect(op["slot"], first, pages, [int(op["mask"], 16)])
        # In the stream, ret is whether the call flushed.
        flushed = any(event[0] == "tlbi_vmid" for event in self.recorder.events)
        return {"ret": int(flushed) if ret == 0 else ret}

    def op_wp_region(self, op: dict[str, Any]) -> dict[str, Any]:
        self.mmu.kvm_mmu_wp_memory_region(self.vm, op["slot"])
        return {"ret": 0}

    def op_set_way_flush(self, op: dict[str, Any]) -> dict[str, Any]:
        vcpu = self.vcpus[op["vcpu"]]
        self.mmu.kvm_set_way_flush(vcpu)
        return {"trapping": int(vcpu.hcr & HCR_TVM != 0)}

    def op_toggle_cache(self, op: dict[str, Any]) -> dict[str, Any]:
        vcpu = self.vcpus[op["vcpu"]]
        vcpu.cache_enabled = bool(op["now"])
        self.mmu.kvm_toggle_cache(vcpu, bool(op["was"]))
        return {"trapping": int(vcpu.hcr & HCR_TVM != 0)}

    def op_unmap_vm(self, op: dict[str, Any]) -> dict[str, Any]:
        self.mmu.stage2_unmap_vm(self.vm)
        return {}

    def op_ioremap(self, op: dict[str, Any]) -> dict[str, Any]:
        gets = op.get("topup_gets")
        self.kernel.topup_gets = -1 if gets is None else gets
        ret = self.mmu.kvm_phys_addr_ioremap(
            self.vm, int(op["gpa"], 16), int(op["pa"], 16), int(op["size"], 16), bool(op["writable"])
        )
        self.kernel.topup_gets = -1
        return {"ret": ret}

    def walk(self, ipa: int, kind: str) -> list[Any]:
        """Return [status, level, descriptor] as a CPU would report it."""
        pgt = self.vm.pgt
        assert pgt is not None
        regime = walk.Regime(self.kernel.granule, pgt.ia_bits, pgt.start_level, pgt.pgd)
        result = walk.walk(self.kernel.arena, regime, ipa, ACCESS.get(kind, walk.READ))
        entry = None if result.fault == walk.TRANSLATION else self.recorder.entry(result.entry)
        return [walk.FAULT_NAMES[result.fault], result.level, entry]

    def syndrome(self, kind: str, status: str, level: int) -> int:
        if kind == "sea":
            return ESR_ELx_EC_DABT_LOW << ESR_ELx_EC_SHIFT | ESR_ELx_IL | 0x10
        if kind == "tlb_conflict":
            return ESR_ELx_EC_DABT_LOW << ESR_ELx_EC_SHIFT | ESR_ELx_IL | 0x30
        ec = ESR_ELx_EC_IABT_LOW if kind == "exec" else ESR_ELx_EC_DABT_LOW
        return ec << ESR_ELx_EC_SHIFT | ESR_ELx_IL | ISS[kind] | FSC[status] | level

    def op_access(self, op: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        ipa, kind = int(op["ipa"], 16), op["kind"]
        vcpu = self.vcpus[op["vcpu"]]
        if "before" in op:
            for other in self.vcpus:
                self.kernel.kvm_mmu_free_memory_cache(other.mmu_page_cache)
            out["before"] = self.recorder.take()
        # A first walk that succeeds causes no fault, but 'meanwhile' still runs.
        attempts: list[dict[str, Any]] = []
        for number, expected in enumerate(op["attempts"] or [None]):
            reported = self.walk(ipa, kind)
            if kind in ("sea", "tlb_conflict"):
                reported = [kind, 0, None]
            if "forced_syndrome" in op:
                reported = [*op["forced_syndrome"], None]
            if number == 0 and "meanwhile" in op:
                out["meanwhile"] = {**op["meanwhile"], **self.operation(op["meanwhile"])}
            if expected is None:
                if reported[0] != "none":
                    attempts.append({"walk": reported})
                break
            attempts.append(self.attempt(op, vcpu, ipa, kind, reported, number == 0))
        out["attempts"] = attempts
        out["after"] = self.walk(ipa, kind)
        return out

    def attempt(
        self, op: dict[str, Any], vcpu: kvm_vcpu, ipa: int, kind: str, reported: list[Any], first: bool
    ) -> dict[str, Any]:
        if reported[0] not in FSC and kind not in ("sea", "tlb_conflict"):
            return {"walk": reported}
        vcpu.esr = self.syndrome(kind, reported[0], reported[1])
        vcpu.fault_ipa = ipa
        vcpu.hfar = 0xFFFF800010000000 + ipa % 4096
        vcpu.skipped_instruction = False
        if first and "topup_gets" in op:
            self.kernel.topup_gets = op["topup_gets"]
        self.host.meanwhile = self.invalidate if first and op.get("invalidation_during_lookup") else None
        ret = self.mmu.kvm_handle_guest_abort(vcpu)
        self.kernel.topup_gets = -1
        got = {
            "walk": reported,
            "esr": hex(vcpu.esr),
            "ret": ret,
            "events": self.recorder.take(),
            "cache_left": vcpu.mmu_page_cache.nobjs,
        }
        if vcpu.skipped_instruction:
            got["skipped_instruction"] = 1
        if self.host.pins:
            got["pins_left"] = {hex(pfn): count for pfn, count in sorted(self.host.pins.items())}
            self.host.pins.clear()
        if self.kernel.locks:
            got["locks_left"] = list(self.kernel.locks)
            self.kernel.locks.clear()
        return got

    def invalidate(self) -> None:
        self.main.invalidate_range_start(0, self.kernel.granule.page_size, True)
        self.main.invalidate_range_end()

    def leaves(self) -> list[list[Any]]:
        """Return [ipa, level, descriptor] of every leaf, as the hardware would find them."""
        pgt = self.vm.pgt
        assert pgt is not None
        granule = self.kernel.granule
        found: list[list[Any]] = []
        roots = self.pgtable.kvm_pgd_pages(pgt.ia_bits, pgt.start_level)

        def visit(table: int, entries: int, level: int, base: int) -> None:
            for index in range(entries):
                entry = self.kernel.words[table + index]
                if entry & 1:
                    ipa = base + (index << granule.level_shift(level))
                    if self.pgtable.kvm_pte_table(entry, level):
                        visit(self.pgtable.kvm_pte_follow(entry), granule.entries, level + 1, ipa)
                    else:
                        found.append([hex(ipa), level, self.recorder.entry(entry)])

        visit(pgt.pgd, roots * granule.entries, pgt.start_level, 0)
        return found

    def pages_left(self) -> list[int]:
        return [page for page, count in enumerate(self.kernel.counts) if count]
