# SPDX-License-Identifier: GPL-2.0-only
"""The classes that replace the ports' pgtable.c, mmu.c and kvm_main.c, by calls into a tree's process."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from reference.compiled.annotations import mypyc_attr
from reference.kernel import Kernel
from reference.kvm import HCR_TVM, kvm, kvm_vcpu
from reference.kvm_host import KvmHost
from reference.kvm_main import KvmMain
from reference.machine.address_space import FOR_CLEAR
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable
from reference.services.structs import kvm_mmu_memory_cache, kvm_s2_mmu
from reference.syndrome import FSC_ACCESS, ESR_ELx_FSC_TYPE
from reference.vtcr import VTCR_EL2_HDBSS

from . import records as r
from .errors import TreeRefusedError
from .tree import TreeSide

# Maximum number of pages that the host ages in one call of the process, whose time is limited.
_AGED: Final = 4096


# A method of a class below would be called through Python, because the class of each tree derives from it.
def state_of(vcpu: kvm_vcpu) -> int:
    """Return the state that a vCPU loads: bit 0: caches are enabled; bit 1: HCR_EL2.TVM is set."""
    return (1 if vcpu.cache_enabled else 0) | (2 if vcpu.hcr & HCR_TVM else 0)


@mypyc_attr(allow_interpreted_subclasses=True)
class TreePgtable(Pgtable):
    """pgtable.c of a tree: direct calls only, since the tree's mmu.c calls it inside the process."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.tree = TreeSide(self.library, kernel, self.root)

    @staticmethod
    def root() -> Path:
        """Return the top folder of the tree."""
        raise NotImplementedError

    @staticmethod
    def library(granule: int) -> Path:
        """Return the library to run, for a log2 of the page size in bytes.

        :raises TreeRefusedError: it cannot be built for this page size
        """
        raise NotImplementedError

    def dismantle(self) -> None:
        super().dismantle()
        self.tree.close()

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        replay = self.tree.start()
        replay.own.cache = mc
        ret = self.tree.table("map", pgt, addr, size, phys, prot, 0 if mc is None else mc.nobjs)
        replay.own.cache = None
        return ret

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return self.tree.table("unmap", pgt, addr, size)

    def kvm_pgtable_stage2_wrprotect(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return self.tree.table("wrprotect", pgt, addr, size)

    def kvm_pgtable_stage2_flush(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        return self.tree.table("flush", pgt, addr, size)

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        return self.tree.table("relax_perms", pgt, addr, 0, 0, prot)

    def kvm_pgtable_stage2_mkyoung(self, pgt: kvm_pgtable, addr: int) -> int:
        return self.tree.table("mkyoung", pgt, addr)

    def kvm_pgtable_stage2_mkold(self, pgt: kvm_pgtable, addr: int) -> int:
        # Callers only test whether the entry is valid and has its access flag.
        return 1 | 1 << 10 if self.tree.table("mkold", pgt, addr) else 0

    def kvm_pgtable_stage2_is_young(self, pgt: kvm_pgtable, addr: int) -> bool:
        return self.tree.table("is_young", pgt, addr) != 0

    def kvm_pgtable_hyp_init(self, pgt: kvm_pgtable, va_bits: int) -> int:
        ret = self.tree.call(r.OP_HYP_INIT, va_bits)
        pgt.mmu = kvm_s2_mmu(0)
        return ret

    def kvm_pgtable_hyp_map(self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int) -> int:
        return self.tree.call(r.OP_HYP_MAP, addr, size, phys, prot)

    def kvm_pgtable_hyp_destroy(self, pgt: kvm_pgtable) -> None:
        self.tree.call(r.OP_HYP_DESTROY)


@mypyc_attr(allow_interpreted_subclasses=True)
class TreeMmu(Mmu):
    """mmu.c of a tree."""

    def __init__(self, host: KvmHost, pgtable: TreePgtable) -> None:
        super().__init__(host, pgtable)
        self.tree = pgtable.tree
        self.tree.attach(host)

    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        tree = self.tree
        replay = tree.start()
        number = tree.number(kvm)
        if number >= r.MAX_VMS:
            raise TreeRefusedError(f"more than {r.MAX_VMS} VMs")
        if kvm not in replay.vms:
            replay.vms.append(kvm)
        if kvm.nested_mmu is not None:
            replay.instructions.nested = kvm.nested_mmu
        bits = kvm.phys_size.bit_length() - 1
        rings = kvm.dirty_ring_size | (1 if kvm.dirty_ring_size and kvm.dirty_ring_with_bitmap else 0)
        manual = kvm.manual_dirty_log_protect
        cpus = kvm.created_vcpus
        ret = tree.call(r.OP_CREATE, number, bits, cpus, self.k.caps, manual, kvm.split_page_chunk_size, rings)
        if not ret and kvm.root is not None:
            process = tree.process
            assert process is not None
            kvm.root.start_level, kvm.root.ia_bits = process.info(1), process.info(2)
            kvm.composed_vtcr, kvm.pgd_phys = process.info(3), process.info(4)
            if kvm.nested_mmu is not None:
                kvm.nested_mmu.vtcr, kvm.nested_mmu.pgd_phys = process.info(5), process.info(6)
            if kvm.composed_vtcr & VTCR_EL2_HDBSS:
                raise TreeRefusedError("the hardware's buffer of dirty pages (VTCR_EL2.HDBSS)")
        return ret

    def kvm_arch_flush_shadow_all(self, kvm: kvm) -> None:
        self.tree.call(r.OP_RELEASE, self.tree.number(kvm))

    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        tree = self.tree
        number = tree.begin_faults(vcpu)
        process = tree.process
        assert process is not None
        # An access flag fault needs no page of the host.
        ahead = (0, 0) if vcpu.esr & ESR_ELx_FSC_TYPE == FSC_ACCESS else tree.ahead(vcpu.kvm, vcpu.fault_ipa)
        state = state_of(vcpu)
        ret = tree.call(
            r.OP_FAULT, number, vcpu.vcpu_id, vcpu.fault_ipa, vcpu.esr, vcpu.hfar, state, ahead[0], ahead[1]
        )
        vcpu.skipped_instruction = process.info(1) != 0
        vcpu.memory_fault = (process.info(3), process.info(4)) if process.info(2) else None
        return ret

    def kvm_toggle_cache(self, vcpu: kvm_vcpu, was_enabled: bool) -> None:
        self.tree.call(
            r.OP_TOGGLE_CACHE, self.tree.number(vcpu.kvm), vcpu.vcpu_id, state_of(vcpu), 1 if was_enabled else 0
        )
        self.trapped(vcpu)

    def kvm_set_way_flush(self, vcpu: kvm_vcpu) -> None:
        self.tree.call(r.OP_SET_WAY, self.tree.number(vcpu.kvm), vcpu.vcpu_id, state_of(vcpu))
        self.trapped(vcpu)

    def trapped(self, vcpu: kvm_vcpu) -> None:
        """Set the vCPU's trap on cache controls (HCR_EL2.TVM) as the call left it."""
        assert self.tree.process is not None
        vcpu.hcr = vcpu.hcr & ~HCR_TVM | (HCR_TVM if self.tree.process.info(0) else 0)

    def stage2_unmap_vm(self, kvm: kvm) -> None:
        self.tree.call(r.OP_UNMAP_VM, self.tree.number(kvm))


@mypyc_attr(allow_interpreted_subclasses=True)
class TreeMain(KvmMain):
    """kvm_main.c of a tree, for one VM."""

    RUNS_ELSEWHERE: ClassVar[bool] = True

    def __init__(self, kvm: kvm, mmu: TreeMmu) -> None:
        super().__init__(kvm, mmu)
        self.tree = mmu.tree
        self.number = self.tree.number(kvm)
        # The invalidations in progress, by actor: start, end, reason.
        self.ranges: dict[int, list[tuple[int, int, int]]] = {}
        self.event = FOR_CLEAR
        # Number of pages that the next invalidation copies, and their first new frame.
        self.copies = self.first_copy = 0

    def copying(self, hva: int, pages: int, pfn: int) -> None:
        # Each page has three answers, and the room for answers is limited.
        self.copies, self.first_copy = min(pages, r.ANSWERS // 3), pfn

    def reason(self, event: int) -> None:
        self.event = event

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        event = self.event
        self.ranges.setdefault(self.k.actor, []).append((start, end, event))
        if self.copies:
            # One request covers all steps of all pages.
            pages, self.copies = self.copies, 0
            self.tree.call(r.OP_COPY, self.number, start, end - start, pages, self.first_copy)
        else:
            ret = self.tree.call(r.OP_INVALIDATE_START, self.number, start, end, 1 if blockable else 0, event)
            # ``mn_hlist_invalidate_range_start()``: a notifier that has an end callback must not fail, even if it
            # may not block.
            self.k.WARN_ON(ret != 0, "mmu_notifier_invalidate_range_start")

    def invalidate_range_end(self) -> None:
        start, end, event = self.ranges[self.k.actor].pop()
        self.tree.call(r.OP_INVALIDATE_END, self.number, start, end, 1 if self.k.must_not_block else 0, event)

    def changed(self) -> None:
        start, end, _ = self.ranges[self.k.actor][-1]
        self.tree.aside(r.OP_ZAP, start, end)

    def lock_mmap(self, shared: bool) -> None:
        self.tree.call(r.OP_MMAP_LOCK, self.number, 0 if shared else 1, 1)

    def unlock_mmap(self, shared: bool) -> None:
        self.tree.call(r.OP_MMAP_LOCK, self.number, 0 if shared else 1, 0)

    def change_pte(self, hva: int, pfn: int) -> None:
        self.tree.call(r.OP_CHANGE_PTE, self.number, hva, 0, pfn)

    def kvm_destroy_vm(self) -> None:
        self.tree.call(r.OP_END, self.number)
        super().kvm_destroy_vm()

    def kvm_destroy_nested(self) -> None:
        self.tree.call(r.OP_DESTROY_NESTED, self.number)

    def notify_late(self, start: int, end: int, pfn: int) -> None:
        self.tree.call(r.OP_LATE, self.number, start, end, pfn)

    def clear_flush_young(self, start: int, end: int) -> int:
        return self.tree.call(r.OP_FLUSH_YOUNG, self.number, start, end)

    def clear_young(self, start: int, end: int) -> int:
        return self.tree.call(r.OP_CLEAR_YOUNG, self.number, start, end)

    def age(self, pages: Sequence[tuple[int, int]], flush: bool) -> int:
        young = 0
        # Adjacent pages of one size are aged by one call.
        first = size = count = 0
        for hva, bytes_ in pages:
            if count == _AGED or bytes_ != size or hva != first + count * size:
                young |= self.tree.age_run(self.number, first, size, count, flush)
                first, size, count = hva, bytes_, 0
            count += 1
        return young | self.tree.age_run(self.number, first, size, count, flush)

    def test_young(self, hva: int) -> int:
        return self.tree.call(r.OP_TEST_YOUNG, self.number, hva)

    def __kvm_set_memory_region__(
        self, id: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> int:
        replay = self.tree.start()
        if memory_size:
            replay.sizes[(self.number, id)] = memory_size >> self.mmu.PAGE_SHIFT, userspace_addr
        return self.tree.call(r.OP_SLOT, self.number, id, flags, guest_phys_addr, memory_size, userspace_addr)

    def kvm_vcpu_pre_fault_memory(self, vcpu: kvm_vcpu, gpa: int, size: int) -> tuple[int, int, int]:
        tree = self.tree
        number = tree.begin_faults(vcpu)
        process = tree.process
        assert process is not None
        ret = tree.call(r.OP_PRE_FAULT, number, vcpu.vcpu_id, gpa, size, state_of(vcpu))
        return ret, process.info(2), process.info(1)

    def kvm_gmem_punch_hole(self, id: int, offset: int, size: int) -> int:
        return self.tree.call(r.OP_PUNCH_HOLE, self.number, id, offset, size)

    def kvm_gmem_error_folio(self, id: int, offset: int) -> int:
        return self.tree.call(r.OP_MEMFD_FAILURE, self.number, id, offset)

    def kvm_gmem_release(self, id: int, size: int) -> int:
        return self.tree.call(r.OP_CLOSE_FILE, self.number, id, size)

    def kvm_dirty_ring_check_request(self, vcpu_id: int) -> bool:
        return self.tree.call(r.OP_RING_FULL, self.number, vcpu_id) != 0

    def harvest_dirty_rings(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        count = r.LOG_WORDS
        while count == r.LOG_WORDS:
            count = self.tree.call(r.OP_RING_HARVEST, self.number)
            found += [(entry >> 40, entry & (1 << 40) - 1) for entry in self.tree.log(count)]
        return found

    def kvm_vm_ioctl_reset_dirty_pages(self) -> int:
        return self.tree.call(r.OP_RING_RESET, self.number)

    def kvm_get_dirty_log_protect(self, id: int) -> tuple[int, list[int]]:
        slot = self.mmu.h.id_to_memslot(self.kvm, id)
        words = 0 if slot is None else (slot.npages + 63) >> 6
        if words > r.LOG_WORDS:
            raise TreeRefusedError(f"a dirty log of more than {r.LOG_WORDS} words")
        ret = self.tree.call(r.OP_GET_LOG, self.number, id)
        return (ret, []) if ret else (0, self.tree.log(words))

    def kvm_clear_dirty_log_protect(self, id: int, first_page: int, num_pages: int, bitmap: list[int]) -> int:
        self.tree.write(r.LOG_AT, b"".join([bits.to_bytes(8, "little") for bits in bitmap[: r.LOG_WORDS]]))
        return self.tree.call(r.OP_CLEAR_LOG, self.number, id, first_page, num_pages)
