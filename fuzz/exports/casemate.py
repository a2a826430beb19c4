# SPDX-License-Identifier: GPL-2.0-only
"""A run in casemate's trace format, for its checker of break-before-make (rems-project/casemate 3.0.2).

casemate knows granules of 4K, walks from level 0 without concatenated tables, and has no TLBI of a range. So each
VM gets tables of level 0 (and 1) above KVM's own, and a TLBI of a range becomes TLBIs by address of the
entries that it covers. VTTBR_EL2 names the VM whose entries a TLBI is for, and an idle root otherwise.
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
from .casemate_lines import PLAIN, RELEASE, CasemateLines
from .casemate_vm import IDLE, PAGE, TracedVm
from .unflushed import Broken

# Tables above KVM's roots.
ABOVE: Final = IDLE + PAGE
# Bits of an address; VTTBR_EL2 has the VMID above them.
ADDRESS_BITS: Final = 48
# T0SZ of 16: addresses of 48 bits, from level 0.
VTCR: Final = 16


class UnsuitableError(Exception):
    """The program has what casemate does not know; the text says what."""


class Casemate(Observer):
    """Writes what one side does as lines for casemate.

    :param executor: of the side, before anything has run on it
    :param stock: leave out what casemate 3.0.2 rejects in correct code: its TLBI by address never cleans an entry
        that named a table, a second plain store under a lock needs a barrier before it, and attributes may not
        change while the access flag is clear
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
        # Pages that casemate knows.
        self.pages: set[int] = set()
        self.number = 0
        for name, value in (("vtcr_el2", VTCR), ("tcr_el2", VTCR), ("mair_el2", 0), ("sctlr_el2", 0), ("hcr_el2", 0)):
            self.lines.register(name, value)
        self.lines.begin(IDLE, PAGE)
        self.flushes.select(None)
        self.lines.register("hcr_el2", 1)
        self.kernel.observe(self)

    def at(self, number: int) -> None:
        """Name the operation whose lines come now; between two, no lock is held.

        :param number: from 1; 0: the VMs are created
        """
        for vm in self.vms:
            self.let_go(vm)
        self.number = number

    def begin(self) -> CasemateLines:
        """Return where to write, with the function that acts as the source of the next lines."""
        self.lines.source = f"{self.kernel.walker or self.kernel.entry or 'kvm'}:{self.number}"
        return self.lines

    def active(self) -> TracedVm:
        """The VM that kernel code runs for."""
        return self.vms[self.side.active.number]

    def hold(self, vm: TracedVm) -> None:
        """Take the lock of a VM, if nobody has: without it, casemate passes barriers and flushes over."""
        if not vm.holds and vm.top and not vm.released:
            self.begin().lock(vm.lock)
            vm.holds = 1

    def let_go(self, vm: TracedVm) -> None:
        if vm.holds:
            self.begin().unlock(vm.lock)
        vm.holds = 0

    def lock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.hold(self.vms[vmid - 1])

    def unlock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.let_go(self.vms[vmid - 1])

    def resched(self) -> None:
        vm = self.active()
        if vm.holds:
            self.let_go(vm)
            self.hold(vm)

    def alloc(self, page: int) -> None:
        if page >= 0:
            self.pages.add(page)
            self.begin().begin(self.address(page), PAGE)

    def alloc_exact(self, page: int, pages: int) -> None:
        for each in range(page, page + pages if page >= 0 else page):
            self.alloc(each)
        for vm in self.vms:
            if page >= 0 and vm.guest.creating:
                self.give_root(vm, page, pages)

    def give_root(self, vm: TracedVm, page: int, pages: int) -> None:
        """Link the root of a VM below a table of level 0, and show it to casemate."""
        lines = self.begin()
        start = 4 - vm.guest.kvm.levels
        vm.root = list(range(page, page + pages))
        vm.above = [ABOVE + (vm.guest.number * 2 + level) * PAGE for level in range(start)]
        addresses = [self.address(each) for each in vm.root]
        vm.top = (vm.above or addresses)[0]
        vm.unlinked = vm.released = False
        for address in vm.above:
            lines.begin(address, PAGE)
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
        """The physical address of a table page."""
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
        """Take tables from casemate whose root is gone: they are being destroyed, without a store."""
        vm = self.active()
        if vm.unlinked:
            self.give_back(vm)

    def give_back(self, vm: TracedVm) -> None:
        """Tell casemate that the tables of a VM are none any more."""
        if vm.released or not vm.top:
            return
        self.let_go(vm)
        lines = self.begin()
        lines.hint("release_table", vm.top, 0)
        for address in vm.above:
            lines.free(address, PAGE)
        vm.released = True

    def forget(self, page: int) -> None:
        """Free a table page."""
        if page in self.pages:
            self.pages.remove(page)
            self.begin().free(self.address(page), PAGE)

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        page, index = divmod(ptep, self.kernel.entries)
        if page not in self.pages:
            return
        self.begin()
        order = RELEASE if release or self.stock else PLAIN
        if self.stock and self.leaf(page, new):
            new |= AF_BIT
        self.lines.write(self.address(page) + 8 * index, unwrap(new), order)
        if old & VALID_BIT and not new & VALID_BIT:
            self.broke(ptep, page, index, old)

    def leaf(self, page: int, entry: int) -> bool:
        """Tell whether a valid entry of a table page is a leaf."""
        for shadow in self.shadows:
            table = shadow.by_page.get(page)
            if table is not None:
                return kind(entry, table.level, self.granule) == LEAF
        return False

    def broke(self, ptep: int, page: int, index: int, old: int) -> None:
        """Note an entry that owes a flush."""
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
        # casemate has no event for it.
        self.store(ptep, old, new, True)
        if not held:
            self.let_go(vm)

    def dsb(self, domain: str) -> None:
        self.begin().dsb(domain)

    def isb(self) -> None:
        self.begin().isb()

    def instruction(self, op: int, operand: int) -> None:
        self.flushes.told.append((op, operand))

    def tlbi_vmid(self, vmid: int) -> None:
        self.flush(self.vms[vmid - 1])

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.flush(self.vms[vmid - 1])

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.flush(self.vms[vmid - 1])

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        # No entry that was broken is made again after a flush on one CPU alone.
        self.flushes.told.clear()

    def flush_cpu_context(self, vmid: int, cpu: int) -> None:
        self.flushes.told.clear()

    def flush_vm_context(self) -> None:
        self.flushes.told.clear()

    def flush(self, vm: TracedVm) -> None:
        """Write what a call of tlb.c for a VM has executed, under the lock of the VM."""
        if vm.released or not vm.top:
            self.flushes.told.clear()
            return
        self.hold(vm)
        self.begin()
        self.flushes.write(vm)


def casemate(version: Candidate, program: Program, stock: bool) -> list[str]:
    """Run a program on a version; return its trace, a line each.

    :raises UnsuitableError: casemate does not know what the program has
    :raises UnmodelledError: the program needs something that is not modelled for the version
    """
    vm = program.vm
    if vm.granule != PAGE:
        raise UnsuitableError(f"it has pages of {vm.granule >> 10}K, and casemate knows 4K")
    if vm.pa > ADDRESS_BITS:
        raise UnsuitableError(f"it has addresses of {vm.pa} bits, and casemate knows 48")
    if any(isinstance(op, Par) for op in program.operations):
        raise UnsuitableError("it has a par block, and the trace would be of one thread")
    executor = Executor(version, program)
    exporter = Casemate(executor, stock)
    executor.create()
    for at in range(len(program.operations)):
        exporter.at(at + 1)
        if not executor.dead:
            executor.step(at)
    exporter.at(len(program.operations) + 1)
    executor.destroy()
    exporter.at(len(program.operations) + 1)
    executor.dismantle()
    if executor.refused:
        raise UnmodelledError(executor.refused)
    if exporter.flushes.unknown:
        raise UnsuitableError(f"tlb.c executes `{exporter.flushes.unknown}`, which casemate does not know")
    return exporter.lines.text
