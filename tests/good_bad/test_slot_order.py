# SPDX-License-Identifier: GPL-2.0-only
"""fault-order: a deleted or moved slot is marked invalid, its readers are waited for, it is unmapped, then replaced."""

import pytest

from candidate import Candidate
from fuzz.language.text import parse
from reference.kvm import KVM_MEMSLOT_INVALID, kvm_memory_slot
from reference.kvm_main import KvmMain
from reference.mmu import KVM_MR_DELETE, KVM_MR_FLAGS_ONLY, KVM_MR_MOVE, Mmu
from reference.pgtable import Pgtable

from .case import Case, all_found, each, violations

GOES = (KVM_MR_DELETE, KVM_MR_MOVE)
PAGES = "vm cpus=1 fwb=on\nslot a ipa=1G size=4M backing=anon\ncpu0 write a+0\ncpu0 read a+2M\n"
BLOCK = "vm cpus=1\nslot a ipa=1G size=4M backing=thp\ncpu0 write a+0\n"
SECOND = "vm cpus=1 vms=2\nslot a size=4K backing=anon\nslot b ipa=1G size=4K backing=anon vm=1\ncpu1 write b+0\n"
DELETE, MOVE = "slot a delete\n", "slot a move 3G\n"
NAME = "fault-order: kvm_set_memory_region: slot unmapped before "
VALID, READ = NAME + "it was marked invalid", NAME + "its readers were waited for"
REPLACED = "fault-order: kvm_set_memory_region: slot replaced before it was unmapped"


def invalid(old: kvm_memory_slot) -> kvm_memory_slot:
    """Return a copy of the slot that is marked invalid."""
    flags = old.flags | KVM_MEMSLOT_INVALID
    slot = kvm_memory_slot(old.id, old.base_gfn, old.npages, flags, old.userspace_addr)
    slot.dirty_bitmap = old.dirty_bitmap
    return slot


def first_half(slot: kvm_memory_slot) -> kvm_memory_slot:
    """Return a slot at the first half of this one."""
    return kvm_memory_slot(slot.id, slot.base_gfn, slot.npages // 2, slot.flags, slot.userspace_addr)


class UnmapsFirst(KvmMain):
    """Unmaps a deleted or moved slot before it marks the slot invalid."""

    def kvm_set_memslot(self, old: kvm_memory_slot | None, new: kvm_memory_slot, change: int) -> int:
        if old is not None and change in GOES:
            self.mmu.kvm_arch_flush_shadow_memslot(self.kvm, old)
        return self.finish(old, new, change)

    def finish(self, old: kvm_memory_slot | None, new: kvm_memory_slot, change: int) -> int:
        """Do the remaining steps of the change."""
        if old is not None and change in GOES:
            self.update_memslots(invalid(old), KVM_MR_FLAGS_ONLY)
        ret = self.mmu.kvm_arch_prepare_memory_region(self.kvm, new, change)
        self.update_memslots(new, change)
        return ret


class UnmapsTwice(UnmapsFirst):
    """Legal: unmaps early, and unmaps again whatever faults have mapped since."""

    def finish(self, old: kvm_memory_slot | None, new: kvm_memory_slot, change: int) -> int:
        return KvmMain.kvm_set_memslot(self, old, new, change)


class UnmapsHalfAgain(UnmapsFirst):
    """Unmaps the first half of the slot again."""

    def finish(self, old: kvm_memory_slot | None, new: kvm_memory_slot, change: int) -> int:
        if old is not None and change in GOES:
            self.update_memslots(invalid(old), KVM_MR_FLAGS_ONLY)
            self.mmu.kvm_arch_flush_shadow_memslot(self.kvm, first_half(old))
        return super().finish(None, new, change)


class WaitsLate(UnmapsFirst):
    """Marks the slot invalid, unmaps it, and waits for readers only afterwards."""

    def kvm_set_memslot(self, old: kvm_memory_slot | None, new: kvm_memory_slot, change: int) -> int:
        if old is not None and change in GOES:
            slot = invalid(old)
            self.kvm.memslots = [slot if each.id == old.id else each for each in self.kvm.memslots]
            for observer in self.k.on.slots_installed:
                observer.slots_installed(self.kvm.mmu.vmid, old.id, slot.flags, slot.dirty_bitmap is not None)
            self.mmu.kvm_arch_flush_shadow_memslot(self.kvm, slot)
            self.k.synchronize_srcu()
        return super().finish(None, new, change)


class ReplacesAtOnce(UnmapsFirst):
    """Removes or moves the slot, for notifiers too, before it unmaps the old place."""

    def kvm_set_memslot(self, old: kvm_memory_slot | None, new: kvm_memory_slot, change: int) -> int:
        if old is None or change not in GOES:
            return super().finish(None, new, change)
        self.update_memslots(new, change)
        self.mmu.kvm_arch_flush_shadow_memslot(self.kvm, old)
        return self.mmu.kvm_arch_prepare_memory_region(self.kvm, new, change)


class UnmapsMoveAtTheEnd(KvmMain):
    """Marks a moving slot invalid, moves it, and unmaps the old place at the end."""

    def kvm_set_memslot(self, old: kvm_memory_slot | None, new: kvm_memory_slot, change: int) -> int:
        if old is None or change != KVM_MR_MOVE:
            return super().kvm_set_memslot(old, new, change)
        slot = invalid(old)
        self.update_memslots(slot, KVM_MR_FLAGS_ONLY)
        self.unmap_early(slot)
        self.update_memslots(new, change)
        self.mmu.kvm_arch_flush_shadow_memslot(self.kvm, old)
        return 0

    def unmap_early(self, slot: kvm_memory_slot) -> None:
        """Unmap what must not be left to the end."""


class UnmapsHalfAtTheEnd(UnmapsMoveAtTheEnd):
    """Unmaps the second half of a moving slot only after the move."""

    def unmap_early(self, slot: kvm_memory_slot) -> None:
        self.mmu.kvm_arch_flush_shadow_memslot(self.kvm, first_half(slot))


class UnmapsMoveTwice(UnmapsMoveAtTheEnd):
    """Legal: unmaps the old place in time, and once more at the end."""

    def unmap_early(self, slot: kvm_memory_slot) -> None:
        self.mmu.kvm_arch_flush_shadow_memslot(self.kvm, slot)


def on(main: type[KvmMain]) -> Candidate:
    """Return the original with another kvm_main.c."""
    return Candidate("broken", Pgtable, Mmu, "for a test", main=main)


TWICE, MOVE_TWICE = on(UnmapsTwice), on(UnmapsMoveTwice)

CASES = (
    Case("a slot that is deleted", VALID, on(UnmapsFirst), PAGES + DELETE),
    Case("a slot that moves", VALID, on(UnmapsFirst), PAGES + MOVE, TWICE),
    Case("a block", VALID, on(UnmapsFirst), BLOCK + DELETE, TWICE),
    Case("unmapped again, in part", VALID, on(UnmapsHalfAgain), PAGES + DELETE, TWICE),
    Case("readers are waited for too late", READ, on(WaitsLate), PAGES + DELETE, TWICE),
    Case("readers are waited for too late, where a slot moves", READ, on(WaitsLate), PAGES + MOVE, TWICE),
    Case("a move that unmaps at the end", REPLACED, on(UnmapsMoveAtTheEnd), PAGES + MOVE, MOVE_TWICE),
    Case("a block that a move unmaps at the end", REPLACED, on(UnmapsMoveAtTheEnd), BLOCK + MOVE, MOVE_TWICE),
    Case("a move that unmaps one half at the end", REPLACED, on(UnmapsHalfAtTheEnd), PAGES + MOVE, MOVE_TWICE),
    Case("a deletion that unmaps at the end", REPLACED, on(ReplacesAtOnce), PAGES + DELETE, TWICE),
    Case("a slot of the second VM", VALID, on(UnmapsFirst), SECOND + "slot b delete\n"),
)


@each(CASES)
def test_slot_order_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_slot_order_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_each_part_that_was_not_unmapped_again_is_named() -> None:
    (found,) = violations(on(UnmapsHalfAgain), PAGES + DELETE)
    assert found.pages.ranges == [((1 << 30) + (2 << 20), (1 << 30) + (2 << 20) + 4096)]


def test_only_the_part_that_is_still_mapped_is_named() -> None:
    (found,) = violations(on(UnmapsHalfAtTheEnd), PAGES + MOVE)
    assert found.pages.ranges == [((1 << 30) + (2 << 20), (1 << 30) + (2 << 20) + 4096)]


def test_moving_an_empty_slot_owes_no_unmapping() -> None:
    assert violations(on(UnmapsMoveAtTheEnd), "vm\nslot a ipa=1G size=4M backing=anon\n" + MOVE) == []


@pytest.mark.parametrize("change", [DELETE, MOVE])
def test_unmapping_an_empty_slot_early_is_no_violation(change: str) -> None:
    assert violations(on(UnmapsFirst), "vm\nslot a ipa=1G size=4M backing=anon\n" + change) == []


@pytest.mark.parametrize(("main", "expected"), [(KvmMain, []), (UnmapsTwice, []), (UnmapsFirst, [VALID])])
def test_in_a_par_block_only_the_callers_order_counts(main: type[KvmMain], expected: list[str]) -> None:
    """A host thread unmaps concurrently, which is not the deletion. The vCPU runs after both."""
    text = PAGES + "par\nuser0 slot a delete\nhost0 discard a+0 4K\ncpu0 read a+2M\n"
    text += "switch user0 to host0 before lock 1\nend\n"
    found = all_found(on(main), parse("s2fuzz 1\n" + text))
    assert [each.signature for each in found if each.signature.startswith("fault-order")] == expected
