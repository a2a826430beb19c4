# SPDX-License-Identifier: GPL-2.0-only
"""A run in casemate's trace format, for its checker of break-before-make (rems-project/casemate 3.0.2).

casemate supports the 4K granule, walks from level 0 without concatenated tables, and has no TLBI by range. Therefore
each VM gets tables of level 0 (and 1) above KVM's own, and a TLBI by range becomes a TLBI by address for each entry
that it covers. VTTBR_EL2 names the VM whose entries a TLBI is for, and an idle root otherwise.
"""

from typing import Final

from candidate import Candidate
from reference.events import Observer
from reference.machine.arena import unwrap
from reference.machine.descriptor import AF_BIT, LEAF, TABLE, TYPE_BIT, VALID_BIT, address_bits, kind

from ..execution.executor import Executor
from ..execution.refusal import UnmodelledError
from ..language.operations import Par
from ..language.program import Program
from .casemate_flushes import FlushLines
from .casemate_lines import PAGE, PLAIN, RELEASE, CasemateLines
from .casemate_vm import IDLE, TracedVm
from .unflushed import Broken

# Tables above KVM's roots.
ABOVE: Final = IDLE + PAGE
# Bits of an address; VTTBR_EL2 has the VMID above them.
ADDRESS_BITS: Final = 48
# T0SZ of 16: addresses of 48 bits, from level 0.
VTCR: Final = 16


class UnsuitableError(Exception):
    """Raised when a program uses something that casemate does not support; the message names it."""


class Casemate(Observer):
    """Writes the events of one side as lines for casemate.

    :param executor: the executor of the side, before it has run anything
    :param stock: work around what casemate 3.0.2 rejects in correct code: its TLBI by address never cleans a former
        table entry, a second plain store under a lock needs a barrier before it, and attributes may not change while
        the access flag is clear
    """

    def __init__(self, executor: Executor, stock: bool) -> None:
        self.side = executor.side
        self.kernel = executor.side.kernel
        self.granule = executor.side.granule
        self.shadows = executor.checkers.shadows
        self.stock = stock
        self.lines = CasemateLines()
        self.vms = [TracedVm(guest) for guest in self.side.guests]
        self.flushes = FlushLines(self.lines, self.vms, self.kernel, stock)
        # Table pages that were announced to casemate.
        self.pages: set[int] = set()
        self.number = 0
        for name, value in (("vtcr_el2", VTCR), ("tcr_el2", VTCR), ("mair_el2", 0), ("sctlr_el2", 0), ("hcr_el2", 0)):
            self.lines.register(name, value)
        self.lines.init_page(IDLE)
        self.flushes.select(None)
        self.lines.register("hcr_el2", 1)
        self.kernel.observe(self)

    def begin_operation(self, number: int) -> None:
        """Begin the lines of an operation; between two operations, no lock is held.

        :param number: its number from 1; 0: the creation of the VMs
        """
        for vm in self.vms:
            self.drop(vm)
        self.number = number

    def lines_here(self) -> CasemateLines:
        """Return the lines to write to, with the current function as the source of the next lines."""
        self.lines.source = f"{self.kernel.walker or self.kernel.entry or 'kvm'}:{self.number}"
        return self.lines

    def active(self) -> TracedVm:
        """Return the VM for which kernel code runs."""
        return self.vms[self.side.active.number]

    def hold(self, vm: TracedVm) -> None:
        """Take the lock of a VM unless it is held: without the lock, casemate ignores barriers and flushes."""
        if not vm.holds and vm.top and not vm.released:
            self.lines_here().lock(vm.lock)
            vm.holds = True

    def drop(self, vm: TracedVm) -> None:
        """Drop the lock of a VM if it is held."""
        if vm.holds:
            self.lines_here().unlock(vm.lock)
        vm.holds = False

    def lock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.hold(self.vms[vmid - 1])

    def unlock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.drop(self.vms[vmid - 1])

    def resched(self) -> None:
        vm = self.active()
        if vm.holds:
            self.drop(vm)
            self.hold(vm)

    def alloc(self, page: int) -> None:
        if page >= 0:
            self.pages.add(page)
            self.lines_here().init_page(self.address(page))

    def alloc_exact(self, page: int, pages: int) -> None:
        if page < 0:
            return
        for each in range(page, page + pages):
            self.alloc(each)
        for vm in self.vms:
            if vm.guest.creating:
                self.give_root(vm, page, pages)

    def give_root(self, vm: TracedVm, page: int, pages: int) -> None:
        """Link the root of a VM below a table of level 0, and announce it to casemate."""
        lines = self.lines_here()
        start = 4 - vm.guest.kvm.levels
        vm.root = list(range(page, page + pages))
        vm.above = [ABOVE + (vm.guest.number * 2 + level) * PAGE for level in range(start)]
        addresses = [self.address(each) for each in vm.root]
        vm.top = (vm.above or addresses)[0]
        vm.unlinked = vm.released = False
        for address in vm.above:
            lines.init_page(address)
        lines.hint("set_root_lock", vm.top, vm.lock)
        for address in [*vm.above, *addresses]:
            if address != vm.top:
                lines.hint("set_owner_root", address, vm.top)
        for table, below in zip(vm.above, [[each] for each in vm.above[1:]] + [addresses], strict=False):
            for index, address in enumerate(below):
                lines.write(table + 8 * index, address | TYPE_BIT | VALID_BIT, PLAIN)
        self.flushes.select(vm)
        self.flushes.select(None)

    def root_linked(self, vmid: int, linked: bool) -> None:
        self.vms[vmid - 1].unlinked = not linked

    def address(self, page: int) -> int:
        """Return the physical address of a table page."""
        return int(self.kernel.base) + page * PAGE

    def put(self, page: int, count: int) -> None:
        self.give_back_unlinked()
        if not count:
            self.forget(page)

    def free(self, page: int, count: int) -> None:
        self.put(page, count)

    def free_exact(self, page: int, count: int) -> None:
        for vm in self.vms:
            if page in vm.root:
                self.give_back(vm)
        if not count:
            self.forget(page)

    def give_back_unlinked(self) -> None:
        """Release the tables of the current VM if its root is unlinked: they are destroyed without stores."""
        vm = self.active()
        if vm.unlinked:
            self.give_back(vm)

    def give_back(self, vm: TracedVm) -> None:
        """Release the tables of a VM in the trace."""
        if vm.released or not vm.top:
            return
        self.drop(vm)
        lines = self.lines_here()
        lines.hint("release_table", vm.top, 0)
        for address in vm.above:
            lines.free_page(address)
        vm.released = True

    def forget(self, page: int) -> None:
        """Write that a table page is freed, if it was announced."""
        if page in self.pages:
            self.pages.remove(page)
            self.lines_here().free_page(self.address(page))

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        page, index = divmod(ptep, self.kernel.entries)
        if page not in self.pages:
            return
        self.lines_here()
        order = RELEASE if release or self.stock else PLAIN
        if self.stock and self.leaf(page, new):
            new |= AF_BIT
        self.lines.write(self.address(page) + 8 * index, unwrap(new), order)
        if old & VALID_BIT and not new & VALID_BIT:
            self.broke(ptep, page, index, old)

    def leaf(self, page: int, entry: int) -> bool:
        """Return whether a valid entry of a table page is a leaf."""
        for shadow in self.shadows:
            table = shadow.by_page.get(page)
            if table is not None:
                return kind(entry, table.level, self.granule) == LEAF
        return False

    def broke(self, ptep: int, page: int, index: int, old: int) -> None:
        """Record an entry that was made invalid and needs a flush."""
        for vm, shadow in zip(self.vms, self.shadows, strict=True):
            table = shadow.by_page.get(page)
            if table is not None and table.live:
                size = 1 << self.granule.shifts[table.level]
                below = -1
                if kind(old, table.level, self.granule) == TABLE:
                    below = int(address_bits(old, self.granule) - self.kernel.base) // PAGE
                vm.unflushed.broken[ptep] = Broken(table.base + index * size, size, table.level, below)

    def set_af(self, ptep: int, old: int, new: int) -> None:
        vm = self.active()
        held = vm.holds
        self.hold(vm)
        # casemate has no event for the hardware's update, so write a store.
        self.store(ptep, old, new, True)
        if not held:
            self.drop(vm)

    def dirtied(self, ptep: int, old: int, new: int) -> None:
        self.set_af(ptep, old, new)

    def dsb(self, domain: str) -> None:
        self.lines_here().dsb(domain)

    def isb(self) -> None:
        self.lines_here().isb()

    def instruction(self, op: int, operand: int) -> None:
        self.flushes.executed.append((op, operand))

    def tlbi_vmid(self, vmid: int) -> None:
        self.flush(self.vms[vmid - 1])

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.flush(self.vms[vmid - 1])

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.flush(self.vms[vmid - 1])

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        # Kernel code never makes a broken entry valid again after a flush on one CPU only.
        self.flushes.executed.clear()

    def flush_cpu_context(self, vmid: int, cpu: int) -> None:
        self.flushes.executed.clear()

    def flush_vm_context(self) -> None:
        self.flushes.executed.clear()

    def flush(self, vm: TracedVm) -> None:
        """Write the instructions of a call of tlb.c for a VM, under the lock of the VM."""
        if vm.released or not vm.top:
            self.flushes.executed.clear()
            return
        self.hold(vm)
        self.lines_here()
        self.flushes.write(vm)


def casemate(version: Candidate, program: Program, stock: bool) -> list[str]:
    """Run a program on a version, and return the lines of its trace.

    :raises UnsuitableError: the program uses something that casemate does not support
    :raises UnmodelledError: the program needs a part of the version that is not modelled
    """
    vm = program.vm
    if vm.granule != PAGE:
        raise UnsuitableError(f"it has pages of {vm.granule >> 10}K, and casemate supports 4K only")
    if vm.bbm:
        raise UnsuitableError("its CPUs have FEAT_BBM (bbm=), which casemate does not support")
    if vm.pa > ADDRESS_BITS:
        raise UnsuitableError(f"it has addresses of {vm.pa} bits, and casemate supports 48 only")
    if any(isinstance(op, Par) for op in program.operations):
        raise UnsuitableError("it has a par block, and a trace has one thread only")
    executor = Executor(version, program)
    exporter = Casemate(executor, stock)
    executor.create()
    for at in range(len(program.operations)):
        exporter.begin_operation(at + 1)
        if not executor.dead:
            executor.step(at)
    exporter.begin_operation(len(program.operations) + 1)
    executor.destroy()
    exporter.begin_operation(len(program.operations) + 1)
    executor.dismantle()
    if executor.refused:
        raise UnmodelledError(executor.refused)
    if exporter.flushes.unknown:
        raise UnsuitableError(f"tlb.c executes `{exporter.flushes.unknown}`, which casemate does not support")
    return exporter.lines.text
