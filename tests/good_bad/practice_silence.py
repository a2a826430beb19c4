# SPDX-License-Identifier: GPL-2.0-only
"""Versions that loop without an event, so that nothing in their own process can stop them."""

import time
from collections import deque
from itertools import repeat
from typing import Final

from candidate import Candidate
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import KVM_PTE_VALID, Pgtable, kvm_pgtable
from reference.services.structs import kvm_s2_mmu
from reference.syndrome import kvm_is_write_fault


def loop_forever() -> None:
    """Loop in C, where no signal handler and no other thread runs, as in a compiled loop."""
    deque(repeat(0), maxlen=0)


class EventlessLoop(Pgtable):
    """Waits with the mmu lock held until an invalid entry is valid."""

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        while not self.mem[ptep] & KVM_PTE_VALID:
            pass
        return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)


class EventlessAbort(Mmu):
    """Loops in a read fault before its first event."""

    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        if not kvm_is_write_fault(vcpu):
            loop_forever()
        return super().kvm_handle_guest_abort(vcpu)


class EventlessSplit(Mmu):
    """Loops when logging of a slot starts: after the walk that write-protects it, under a lock."""

    def kvm_mmu_wp_memory_region(self, kvm: kvm, slot: int) -> None:
        super().kvm_mmu_wp_memory_region(kvm, slot)
        loop_forever()


class EventlessDestroy(Pgtable):
    """Loops when the VM is destroyed."""

    def kvm_pgtable_stage2_destroy(self, pgt: kvm_pgtable) -> None:
        loop_forever()


class EventlessCreation(Mmu):
    """Loops when a slot is created, so no operation runs."""

    def kvm_arch_prepare_memory_region(self, kvm: kvm, memslot: kvm_memory_slot, change: int) -> int:
        loop_forever()
        return 0


# Seconds of CPU time, on any machine.
SCAN: Final = 0.3


class LongScan(Pgtable):
    """Right: reads the root for `SCAN` seconds without an event before it unmaps anything."""

    def kvm_pgtable_stage2_unmap(self, pgt: kvm_pgtable, addr: int, size: int) -> int:
        end = time.process_time() + SCAN
        while time.process_time() < end:
            self.mem[pgt.pgd] & KVM_PTE_VALID
        return super().kvm_pgtable_stage2_unmap(pgt, addr, size)


EVENTLESS = Candidate("eventless-loop", EventlessLoop, Mmu, "")
ABORT = Candidate("eventless-abort", Pgtable, EventlessAbort, "")
SPLIT = Candidate("eventless-split", Pgtable, EventlessSplit, "")
DESTROY = Candidate("eventless-destroy", EventlessDestroy, Mmu, "")
CREATION = Candidate("eventless-creation", Pgtable, EventlessCreation, "")
LONG_SCAN = Candidate("long-scan", LongScan, Mmu, "")
ALL = (EVENTLESS, ABORT, SPLIT, DESTROY, CREATION, LONG_SCAN)
