# SPDX-License-Identifier: GPL-2.0-only
"""The predicates about flushes that hold on one side, operation by operation."""

from reference.capabilities import ARM64_HAS_TLB_RANGE
from reference.machine.descriptor import TABLE, VALID_BIT, address_bits, kind
from reference.tlbflush import MAX_TLBI_RANGE_PAGES

from ..checkers import Checker, Shadow
from ..checkers.guest_pages import Range, vm_address
from ..execution.executor import Executor
from .hinted_flushes import HintedFlushes
from .last_fault import HeldPredicates, LastFault
from .predicates import HINTED, LEVEL_0, OF_ACTOR, UNSET, WHOLE
from .unusable_hints import UnusableHints


class FlushNotes(Checker):
    """Notes the predicates about flushes of one side; judges nothing.

    :param executor: the side's executor, before anything has run on it
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor.side)
        self.shadows: list[Shadow] = executor.checkers.shadows
        # Predicates that hold in this operation, with their VM addresses.
        self.now: dict[str, list[Range]] = {}
        # State of the running actor.
        self.own = LastFault()
        # The predicates of each operation of a par block.
        self.held_in: list[HeldPredicates] = []
        self.hinted = HintedFlushes(self.granule)
        self.unusable = UnusableHints(self.kernel)
        if self.side.ttl:
            self.kernel.observe(self.unusable)

    def note(self, predicate: str, start: int, end: int, vm: int) -> None:
        """Note that a predicate holds, for guest addresses [start, end) of a VM."""
        where = (vm_address(vm, start), vm_address(vm, end))
        self.now.setdefault(predicate, []).append(where)
        if self.held_in and predicate in OF_ACTOR:
            self.own.held.noted.setdefault(predicate, []).append(where)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if old & VALID_BIT and not new & VALID_BIT and kind(old, level, self.granule) == TABLE:
            page = (address_bits(old, self.granule) - self.kernel.base) >> self.granule.page_shift
            for shadow in self.shadows:
                if ptep // self.kernel.entries in shadow.by_page:
                    self.hinted.cut_off(level, vm_address(shadow.guest.number, ipa), page)

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        if not vmid or not self.side.ttl:
            return
        owed = self.hinted.flushed(vm_address(vmid - 1, ipa), level, bool(self.unusable.take()))
        if owed is not None:
            self.now.setdefault(HINTED, []).append(owed)

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        if self.unusable.take() and self.own.lost:
            page = ipa & -self.granule.page_size
            self.note(UNSET, page, page + self.granule.page_size, vmid - 1)

    def tlbi_vmid(self, vmid: int) -> None:
        self.hinted.flushed_vm(vmid - 1)

    def flush_vm_context(self) -> None:
        for guest in self.side.guests:
            self.hinted.flushed_vm(guest.number)

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        if self.kernel.caps & ARM64_HAS_TLB_RANGE and size >> self.granule.page_shift == MAX_TLBI_RANGE_PAGES:
            self.note(WHOLE, ipa, ipa + size, vmid - 1)
        missed = self.unusable.take()
        for page in missed:
            self.note(LEVEL_0, page, page + self.granule.page_size, vmid - 1)
        if not missed:
            start = vm_address(vmid - 1, ipa)
            self.hinted.flushed_range(start, start + size)
