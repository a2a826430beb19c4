# SPDX-License-Identifier: GPL-2.0-only
"""Direct calls of pgtable.c on a VM's tables, each as a careful caller makes it.

The caller holds the mmu lock, fills the memory cache first, maintains caches
before it exposes frames, asks for no more than the host's pages and the dirty
log allow, and flushes the TLBs where the function leaves that to its caller.
"""

from reference.kvm import KVM_MEM_LOG_DIRTY_PAGES
from reference.machine.address_space import ABSENT, CACHED, DEVICE, WRITABLE
from reference.machine.descriptor import AF_BIT, VALID_BIT
from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    KVM_PGTABLE_PROT_X,
    kvm_pgtable,
)
from reference.services.errors import EAGAIN, EINVAL
from reference.services.structs import kvm_mmu_memory_cache

from ..checkers import CheckerSuite
from ..language import operations as ops
from ..language.direct_calls import function_called
from ..sides.guest import Guest, SlotLayout, walked_range
from ..sides.outcome import Outcome
from ..sides.side import Side
from .unhandled import unhandled


def prot_of(text: str) -> int:
    """Return the KVM_PGTABLE_PROT_... bits of ``r``, ``rw``, ``rx`` or ``rwx``."""
    return KVM_PGTABLE_PROT_R | (KVM_PGTABLE_PROT_W if "w" in text else 0) | (KVM_PGTABLE_PROT_X if "x" in text else 0)


class Frames:
    """Consecutive frames behind a range of host addresses: the first frame, the size in bytes, and their kind."""

    def __init__(self, pfn: int, size: int, device: bool, writable: bool) -> None:
        self.pfn = pfn
        self.size = size
        self.device = device
        self.writable = writable


class TableOperations:
    """Runs direct calls.

    :param side: the side that they run on
    :param checkers: know the leaf at each address
    """

    def __init__(self, side: Side, checkers: CheckerSuite) -> None:
        self.side = side
        self.checkers = checkers
        self.page_size = side.granule.page_size
        self.page_shift = side.granule.page_shift

    def run(self, op: ops.TableOperation, layout: SlotLayout) -> Outcome:
        """Make one call."""
        side = self.side
        guest = side.guests[layout.slot.vm]
        side.active = guest
        pgt = guest.kvm.pgt
        assert pgt is not None
        side.enter(function_called(op))
        ipa = layout.ipa + op.offset
        if isinstance(op, ops.TableMap):
            return self.map(op, layout, guest, pgt)
        side.kernel.lock("mmu")
        outcome = self.locked(op, layout, guest, pgt, ipa)
        side.kernel.unlock("mmu")
        if isinstance(op, ops.TableWrprotect):
            side.kernel.__kvm_tlb_flush_vmid__(guest.kvm.mmu)
        return outcome

    def locked(
        self, op: ops.LockedTableOperation, layout: SlotLayout, guest: Guest, pgt: kvm_pgtable, ipa: int
    ) -> Outcome:
        """Make a call that needs no memory, under the lock."""
        pgtable = self.side.pgtable
        ret = 0
        if isinstance(op, ops.TableUnmap):
            guest.notified.unmapping = True
            ret = pgtable.kvm_pgtable_stage2_unmap(pgt, ipa, op.size)
            guest.notified.unmapping = False
        elif isinstance(op, ops.TableWrprotect):
            ret = pgtable.kvm_pgtable_stage2_wrprotect(pgt, ipa, op.size)
        elif isinstance(op, ops.TableFlush):
            ret = pgtable.kvm_pgtable_stage2_flush(pgt, ipa, op.size)
        elif isinstance(op, ops.TableRelax):
            ret = self.relax(op, layout, guest, pgt, ipa)
        elif isinstance(op, ops.TableMkyoung):
            pgtable.kvm_pgtable_stage2_mkyoung(pgt, ipa)
        elif isinstance(op, ops.TableMkold):
            pte = pgtable.kvm_pgtable_stage2_mkold(pgt, ipa)
            return Outcome("ok", int(pte & VALID_BIT != 0 and pte & AF_BIT != 0))
        elif isinstance(op, ops.TableIsYoung):
            return Outcome("ok", int(pgtable.kvm_pgtable_stage2_is_young(pgt, ipa)))
        else:
            raise unhandled(op)
        # From v6.3 on, a call that finds nothing to relax returns this.
        if ret == -EAGAIN and isinstance(op, ops.TableRelax):
            ret = 0
        return Outcome("error", ret) if ret else Outcome("ok")

    def frames(self, start: int, end: int) -> Frames | None:
        """Return the consecutive frames from host address *start*, at most to *end*; None: there are none.

        The frames are either all writable or all read-only: ``user_mem_abort()`` of v5.13 and later (mmu.c) takes a
        block for a huge page of the host, whose frames are alike, and relaxes it as a whole.
        """
        host = self.side.host
        run = host.run_at(start)
        if run is not None and run.flags & ABSENT:
            host.populate(start, True)
        first: Frames | None = None
        for hva, stop, run in host.pieces(start, end):
            # KVM decides which memory type maps a device: a leaf of another type would stay.
            if run.flags & (ABSENT | CACHED) or (first is None and hva != start):
                break
            pfn = host.pfn_in(run, hva)
            device, writable = run.flags & DEVICE != 0, run.flags & WRITABLE != 0
            if not run.stride:
                # All small pages of zeroes share one frame.
                stop = hva + host.page_size
            if first is None:
                first = Frames(pfn, stop - hva, device, writable)
            elif (
                pfn == first.pfn + (first.size >> self.page_shift)
                and hva == start + first.size
                and writable == first.writable
            ):
                first.size += stop - hva
            else:
                break
        return first

    def allowed(self, prot: int, layout: SlotLayout, frames: Frames) -> int:
        """Return the part of *prot* that a caller may ask for. It is the callee that refuses code in device memory."""
        if not frames.writable or layout.readonly or layout.flags & KVM_MEM_LOG_DIRTY_PAGES:
            prot &= ~KVM_PGTABLE_PROT_W
        if frames.device:
            return prot | KVM_PGTABLE_PROT_DEVICE
        return prot

    def maintain(self, frames: Frames, executable: bool) -> None:
        """Maintain the data side, then the instruction side, of frames about to be exposed."""
        kernel = self.side.kernel
        if frames.device:
            return
        va = kernel.__va__(frames.pfn << self.page_shift)
        if not self.side.fwb:
            kernel.__flush_dcache_area__(va, frames.size)
        if executable:
            kernel.invalidate_icache_range(va, frames.size)

    def map(self, op: ops.TableMap, layout: SlotLayout, guest: Guest, pgt: kvm_pgtable) -> Outcome:
        """Map the host's frames as far as they are consecutive."""
        if not layout.live:
            # An earlier creation failed, and no caller maps a slot that does not exist.
            return Outcome("ok", "no such slot")
        kernel = self.side.kernel
        addr = layout.ipa + op.offset
        start, end = walked_range(addr, op.size, self.page_size)
        hva = layout.hva + start - layout.ipa
        frames = self.frames(hva, hva + end - start)
        if frames is None:
            return Outcome("ok", "no frame")
        prot = self.allowed(prot_of(op.prot), layout, frames)
        # The call has its own cache, so that its failure does not depend on leftovers.
        cache = kvm_mmu_memory_cache()
        if op.fail is not None:
            kernel.topup_gets = op.fail - 1
        ret = kernel.kvm_mmu_topup_memory_cache(cache, self.tables_for(start, start + frames.size, pgt.start_level))
        kernel.topup_gets = -1
        # Without enough tables the call gets no cache, like that of ``kvm_set_spte_gfn()``: it fails where it needs a
        # table.
        ret = self.map_frames(op, frames, prot, addr, pgt, None if ret else cache)
        kernel.kvm_mmu_free_memory_cache(cache)
        if ret == -EINVAL and frames.device and prot & KVM_PGTABLE_PROT_X:
            return Outcome("ok", "refused")
        return Outcome("error", ret) if ret not in (0, -EAGAIN) else Outcome("ok", ret)

    def map_frames(
        self,
        op: ops.TableMap,
        frames: Frames,
        prot: int,
        addr: int,
        pgt: kvm_pgtable,
        cache: kvm_mmu_memory_cache | None,
    ) -> int:
        """Make the call itself, at guest address *addr*, under the lock."""
        kernel = self.side.kernel
        kernel.lock("mmu")
        self.maintain(frames, prot & KVM_PGTABLE_PROT_X != 0)
        size = min(op.size, frames.size)
        phys = (frames.pfn << self.page_shift) + (addr & (self.page_size - 1))
        ret = self.side.pgtable.kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, cache)
        kernel.unlock("mmu")
        return ret

    def tables_for(self, start: int, end: int, start_level: int) -> int:
        """Return the number of tables that may be needed to map [start, end) by pages."""
        tables = 0
        for level in range(start_level, 3):
            shift = self.side.granule.level_shift(level)
            tables += ((end - 1) >> shift) - (start >> shift) + 1
        return tables

    def relax(self, op: ops.TableRelax, layout: SlotLayout, guest: Guest, pgt: kvm_pgtable, ipa: int) -> int:
        """Relax the leaf at *ipa*. All pages that it maps must allow the requested rights."""
        level, entry = self.checkers.shadows[guest.number].lookup(ipa)
        size = self.side.granule.level_size(level) if level >= 0 else self.page_size
        hva = layout.hva + (ipa & -size) - layout.ipa
        frames = self.frames(hva, hva + size)
        prot = KVM_PGTABLE_PROT_R
        if level >= 0 and entry & VALID_BIT and frames is not None and frames.size == size:
            prot = self.allowed(prot_of(op.prot), layout, frames) & ~KVM_PGTABLE_PROT_DEVICE
            if frames.device:
                prot &= ~KVM_PGTABLE_PROT_X
            if prot & KVM_PGTABLE_PROT_X:
                self.maintain(frames, True)
        guest.relaxed_to = prot
        return self.side.pgtable.kvm_pgtable_stage2_relax_perms(pgt, ipa, prot)
