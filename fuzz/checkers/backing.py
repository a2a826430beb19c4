# SPDX-License-Identifier: GPL-2.0-only
"""Pages that a leaf may map: the host pages of its slot, with the rights that slot and dirty log leave."""

from typing import Final

from reference.kvm import kvm_memory_slot
from reference.machine.address_space import CACHED, DEVICE, UNCACHED, WRITABLE, PageRun, has_frames
from reference.machine.descriptor import (
    AF_BIT,
    CONTIGUOUS_BIT,
    DBM_BIT,
    RIGHTS_BITS,
    SOFTWARE_BITS,
    TYPE_BIT,
    VALID_BIT,
    WRITE_BIT,
    XN_BIT,
    address_bits,
    memattr,
)

from ..sides.guest import Guest, SlotLayout
from .fields import STAGE2_BITS, execute_permission, memory_type, set_bits, shareability, write_permission

# Fields that a KVM leaf may set. SH must be inner shareable; `unlike_group` judges leaves with the Contiguous bit.
SHAREABILITY: Final = 3 << 8
# MemAttr: nGnRnE and nGnRE; Normal Write-Back, without and with FWB.
STRICT_DEVICE: Final = (0x0, 0x1)
WRITE_BACK: Final = 0xF
WRITE_BACK_FORCED: Final = 0x6
# MemAttr: Normal Non-cacheable, without and with FWB.
NON_CACHEABLE: Final = 0x5
# A dirty log word in which every page is dirty.
ALL_DIRTY: Final = (1 << 64) - 1
# Possible faults of a leaf's fields.
ILLEGAL: Final = "illegal field"
WRITABLE_LEAF: Final = ("writable, the host's page is not", "writable in a read-only slot")
DBM: Final = "DBM, bit 51, is 1"
UNLOGGED: Final = "writable and not in the dirty log"
DEVICE_TYPE: Final = ("device frame mapped with gathering", "device frame mapped as normal memory")
DEVICE_CODE: Final = "device frame executable"
WITH_CACHES: Final = "device frame mapped with caches"
NOT_CACHED: Final = "normal frame not mapped write-back"
FIELDS: Final = (
    VALID_BIT | TYPE_BIT | 0xF << 2 | RIGHTS_BITS | SHAREABILITY | AF_BIT | DBM_BIT | CONTIGUOUS_BIT | SOFTWARE_BITS
)


class Backing:
    """Compares leaves of one VM with the current slots and host pages.

    :param guest: the VM
    """

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.granule = guest.granule
        self.shifts = guest.granule.shifts
        # The last leaf of a pass (`next_fault_of`), if it was right: its level, entry and end. *last_slot* and the
        # host's run of pages after that leaf extend up to *known*; 0: not computed yet.
        self.last_level = -1
        self.last_slot: SlotLayout | None = None
        self.last_entry = 0
        self.last_end = 0
        self.known = 0

    def fields_of(self, wrong: str, entry: int) -> str:
        """Return the fields that make a leaf wrong, with the allowed values; "" if its address or frame is wrong.

        :param wrong: the text that `fault_of` returned
        """
        if wrong == ILLEGAL:
            found = list(set_bits(entry & ~(FIELDS | self.granule.address_mask), STAGE2_BITS))
            if not self.granule.lpa2 and entry & SHAREABILITY != SHAREABILITY:
                found.append(shareability(entry))
            return "; ".join(found)
        if wrong in WRITABLE_LEAF:
            return write_permission(entry) if entry & WRITE_BIT else f"{DBM}, allowed: 0"
        if wrong in DEVICE_TYPE:
            return memory_type(entry, STRICT_DEVICE)
        if wrong == DEVICE_CODE:
            return execute_permission(entry)
        if wrong == WITH_CACHES:
            return memory_type(entry, (*STRICT_DEVICE, NON_CACHEABLE))
        if wrong == NOT_CACHED:
            return memory_type(entry, [WRITE_BACK_FORCED if self.guest.fwb else WRITE_BACK])
        return ""

    def begin(self) -> None:
        """Begin a pass over leaves, during which host and slots do not change."""
        self.last_level = -1

    def next_fault_of(self, level: int, ipa: int, entry: int) -> tuple[str, int]:
        """Do the same as `fault_of` for the next leaf of a pass.

        A leaf that continues the previous leaf, by address and frame, is right up to the end of the host's run of
        pages: only the dirty log can differ.
        """
        size = 1 << self.shifts[level]
        if level == self.last_level and ipa == self.last_end and entry == self.last_entry + size:
            if not self.known:
                self.known = self.run_end(ipa - size)
            layout = self.last_slot
            # Live slots do not overlap; a slot that is about to be removed gives way to them.
            if layout is not None and ipa + size <= self.known and (layout.live or self.guest.layout_of(ipa) is layout):
                self.last_entry = entry
                self.last_end = ipa + size
                return self.write_of(layout, ipa, size, entry) if self.writes(entry) else ("", 0)
        wrong, page = self.fault_of(level, ipa, entry)
        self.known = 0
        # A leaf may be right only by the old place of a slot that moves: nothing follows for the next leaf.
        self.last_level = -1 if wrong or self.guest.leaving else level
        self.last_entry = entry
        self.last_end = ipa + size
        return wrong, page

    def run_end(self, ipa: int) -> int:
        """Return the address up to which one slot and one run of distinct host pages continue from *ipa*; 1: none."""
        layout = self.last_slot = self.guest.layout_of(ipa)
        if layout is None:
            return 1
        by = layout.hva - layout.ipa
        run = self.guest.host.run_at(ipa + by)
        if run is None or not run.stride:
            return 1
        return self.guest.host.end_of(run, ipa + by, layout.hva + layout.size) - by

    def fault_of(self, level: int, ipa: int, entry: int) -> tuple[str, int]:
        """Return what is wrong with a leaf and the first page where it is wrong; "" if nothing is."""
        size = 1 << self.shifts[level]
        pa = address_bits(entry, self.granule)
        if entry & ~(FIELDS | self.granule.address_mask):
            return ILLEGAL, ipa
        # With FEAT_LPA2 all memory is inner shareable, and the SH field is part of the address.
        if entry & SHAREABILITY != SHAREABILITY and not self.granule.lpa2:
            return ILLEGAL, ipa
        if pa & (size - 1):
            return "output address not aligned", ipa
        layout = self.guest.layout_of(ipa)
        wrong, page = self.fault_in(layout, level, ipa, entry)
        if wrong and (leaving := self.guest.leaving_at(ipa)) is not None and leaving is not layout:
            # The slot moves to a place that overlaps its old place, which stays mapped until it is unmapped.
            if not self.fault_in(leaving, level, ipa, entry)[0]:
                return "", 0
        return wrong, page

    def fault_in(self, layout: SlotLayout | None, level: int, ipa: int, entry: int) -> tuple[str, int]:
        """Return what is wrong with a leaf of a slot, as in `fault_of`."""
        size = 1 << self.shifts[level]
        pa = address_bits(entry, self.granule)
        if layout is None or ipa + size > layout.ipa + layout.size:
            return "leaf outside of any slot", ipa
        hva = layout.hva + ipa - layout.ipa
        host = self.guest.host
        done = hva
        while done < hva + size:
            page = ipa + done - hva
            run = host.run_at(done)
            if run is None or not has_frames(run) or host.pfn_in(run, done) << host.page_shift != pa + done - hva:
                return "wrong frame", page
            wrong = self.rights_of(entry, run)
            if wrong:
                return wrong, page
            # All small zero pages are one frame.
            done = host.end_of(run, done, hva + size) if run.stride else done + host.page_size
        if self.writes(entry):
            return self.write_of(layout, ipa, size, entry)
        return "", 0

    def rights_of(self, entry: int, run: PageRun) -> str:
        """Return what is wrong with memory type and permissions, given the host's mapping."""
        if self.writes(entry) and not run.flags & WRITABLE:
            return WRITABLE_LEAF[0]
        attr, write_back = memattr(entry), WRITE_BACK_FORCED if self.guest.fwb else WRITE_BACK
        if not run.flags & DEVICE:
            return "" if attr == write_back else NOT_CACHED
        if run.flags & CACHED and attr == write_back and self.guest.side.caches_devices:
            return ""
        # Kernels that do not check how the driver maps a frame treat every such frame as device memory.
        if attr not in STRICT_DEVICE and not (run.flags & UNCACHED and attr == NON_CACHEABLE):
            if attr < 4:
                return DEVICE_TYPE[0]
            return WITH_CACHES if run.flags & UNCACHED else DEVICE_TYPE[1]
        return "" if entry & XN_BIT else DEVICE_CODE

    def writes(self, entry: int) -> bool:
        """Return whether the guest may write through a leaf."""
        return self.guest.regime.allows_writes(entry)

    def write_of(self, layout: SlotLayout, ipa: int, size: int, entry: int) -> tuple[str, int]:
        """Return what is wrong with a leaf that the guest may write through, given slot and dirty log.

        If the hardware manages the dirty state, a leaf with DBM need not be in the log: it holds the state itself
        (`DirtyState`).
        """
        slot = self.guest.kvm_host.id_to_memslot(self.guest.kvm, layout.id)
        if slot is None:
            return "leaf outside of any slot", ipa
        if layout.readonly:
            return WRITABLE_LEAF[1], ipa
        if self.guest.regime.dirty and entry & DBM_BIT:
            return "", 0
        page = self.first_clean(slot, ipa >> self.granule.page_shift, size >> self.granule.page_shift)
        if page >= 0:
            return UNLOGGED, page << self.granule.page_shift
        return "", 0

    def first_clean(self, slot: kvm_memory_slot, gfn: int, pages: int) -> int:
        """Return the first page of a range whose writes would go unreported; -1: none, or not logged."""
        bitmap = slot.dirty_bitmap
        if bitmap is None:
            return -1
        page = gfn - slot.base_gfn
        end = page + pages
        while page < end:
            word = bitmap[page >> 6]
            if word != ALL_DIRTY:
                # Clean pages from this one on; pages beyond the word count as clean.
                clean = ~word >> (page & 63)
                first = page + (clean & -clean).bit_length() - 1
                if first < min((page | 63) + 1, end):
                    return first + slot.base_gfn
            page = (page | 63) + 1
        return -1
