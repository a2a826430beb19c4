# SPDX-License-Identifier: GPL-2.0-only
"""The barriers and TLBIs that tlb.c executes, in casemate's trace.

casemate has no TLBI by range: it becomes a TLBI by address for each entry that it covers.
"""

from typing import Final

from reference.kernel import Kernel
from reference.machine.descriptor import VALID_BIT
from reference.machine.instructions import (
    BROADCAST,
    IPAS2E1,
    IPAS2E1IS,
    ISB,
    ISH,
    ISHST,
    NAMES,
    NSH,
    RANGE_TTL_SHIFT,
    RIPAS2E1IS,
    TTL_GRANULE_SHIFT,
    TTL_LEVEL,
    TTL_SHIFT,
    VMALLE1,
    VMALLS12E1IS,
    VTTBR_EL2,
    VTTBR_VMID_SHIFT,
)
from reference.machine.processor import EVERYWHERE, Invalidation

from .casemate_lines import CasemateLines
from .casemate_vm import IDLE, TracedVm
from .unflushed import Broken, Unflushed

IDLE_VMID: Final = 0xFF
# The level hint of an operand: two bits of the granule, two of the level.
TTL: Final = 0xF
# casemate's names of barriers. A barrier for stores of the own CPU (nshst) has no name, and orders nothing for others.
BARRIERS: Final = {ISH: "ish", ISHST: "ishst", NSH: "nsh"}


class FlushLines:
    """Writes the calls of tlb.c.

    :param lines: the lines to write to
    :param vms: all VMs
    :param kernel: the kernel that makes the calls
    :param stock: work around what casemate 3.0.2 rejects in correct code: its TLBI by address never cleans a former
        table entry

    *executed*: instructions that tlb.c has executed in the current call; *selected*: the VM whose VMID is in VTTBR_EL2;
    *unknown*: an instruction that casemate does not support
    """

    def __init__(self, lines: CasemateLines, vms: list[TracedVm], kernel: Kernel, stock: bool) -> None:
        self.lines = lines
        self.vms = vms
        self.kernel = kernel
        self.stock = stock
        self.executed: list[tuple[int, int]] = []
        self.selected: TracedVm | None = None
        self.unknown = ""

    def select(self, vm: TracedVm | None) -> None:
        """Write VTTBR_EL2 of a VM; None: of the idle root."""
        self.selected = vm
        root, vmid = (IDLE, IDLE_VMID) if vm is None else (vm.top, vm.guest.vmid)
        self.lines.register("vttbr_el2", root | vmid << VTTBR_VMID_SHIFT)

    def write(self, vm: TracedVm) -> None:
        """Write the instructions of a call that has ended.

        :param vm: the VM that the call was for
        """
        for op, operand in self.executed:
            if op == VTTBR_EL2:
                self.select(self.numbered(operand >> VTTBR_VMID_SHIFT, vm))
            elif op == ISB:
                self.lines.isb()
            elif op in BARRIERS:
                self.lines.dsb(BARRIERS[op])
            elif op >= VMALLE1:
                self.invalidate(op, operand)
        self.executed.clear()
        # The host does not use VTTBR_EL2.
        if self.selected is not None:
            self.select(None)

    def numbered(self, number: int, vm: TracedVm) -> TracedVm | None:
        """Return the VM that has a VMID; VMID 0 belongs to VMs that were never entered, or to no VM.

        :param vm: the VM that the flush is for, which is preferred
        """
        of = [each for each in self.vms if each.guest.kvm.mmu.hardware_vmid.vmid == number]
        if vm in of:
            return vm
        return of[0] if number and of else None

    def invalidate(self, op: int, operand: int) -> None:
        """Write a TLBI."""
        unflushed = Unflushed() if self.selected is None else self.selected.unflushed
        if op < IPAS2E1:
            self.lines.tlbi(NAMES[op].removeprefix("tlbi "))
            if op == VMALLS12E1IS:
                unflushed.broken.clear()
        elif op in (IPAS2E1IS, RIPAS2E1IS):
            self.by_address(op, operand, unflushed)
        else:
            self.unknown = NAMES[op]

    def by_address(self, op: int, operand: int, unflushed: Unflushed) -> None:
        """Write a TLBI by address or by range."""
        at = Invalidation(op & ~BROADCAST, EVERYWHERE, 0, 0, 0)
        at.decode(operand, self.kernel.granule)
        ranged = op == RIPAS2E1IS
        # The operand of a TLBI by address names a page; the entry that it flushes may be larger.
        covered = unflushed.within(at.ipa, at.ipa + (at.size if ranged else 1))
        tables = [each for each in covered.values() if each.table >= 0]
        if self.stock and tables and len(covered) == len(unflushed.broken) and not any(map(self.filled, tables)):
            self.lines.tlbi("vmalls12e1is")
        elif ranged:
            level = operand >> RANGE_TTL_SHIFT & TTL_LEVEL
            hint = operand >> TTL_GRANULE_SHIFT << 2 & TTL | level if level else 0
            for each in covered.values():
                self.lines.tlbi_ipa(each.ipa, hint)
        else:
            self.lines.tlbi_ipa(at.ipa, operand >> TTL_SHIFT & TTL)
        unflushed.forget(covered)

    def filled(self, broken: Broken) -> bool:
        """Return whether a table that was cut off has valid entries."""
        start = broken.table * self.kernel.entries
        return any(entry & VALID_BIT for entry in self.kernel.arena.words.part(start, self.kernel.entries))
