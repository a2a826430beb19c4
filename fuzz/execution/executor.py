# SPDX-License-Identifier: GPL-2.0-only
"""Execution of a program's operations on one side, under the checkers."""

from collections.abc import Callable
from typing import Final

from candidate import Candidate
from candidate.registry.source_paths import shown_module
from candidate.tree.runtime.errors import TreeNotStartedError, TreeOopsError, TreeRefusedError, TwinDiffersError
from candidate.tree.runtime.tree import TreeSide
from candidate.tree.runtime.versions import TreePgtable

from ..checkers import CheckerSuite, RunawayError, Violation
from ..language.operations import (
    ClearLog,
    GetLog,
    HypMap,
    OnCpu,
    OnSlot,
    Operation,
    Par,
    SlotPlace,
    TablePlace,
    TableRange,
    VmEnd,
)
from ..language.program import HUGE_SHIFT, MEMFD, Program, pre_faults
from ..sides.outcome import Outcome
from ..sides.pulse import PULSE, REFERENCE
from ..sides.side import Side
from .guest_accesses import GuestAccesses
from .guest_operations import GuestOperations
from .host_operations import HostOperations
from .hyp_operations import HypOperations
from .mistakes import CandidateMistakeError, mistake_at_start, mistake_of
from .par_operations import ParOperations
from .table_operations import TableOperations
from .unhandled import unhandled
from .unsettled import UnsettledPages

# Modules of kernel code, in addition to those of candidate/; and the package there that is ours and runs kernel trees.
KERNEL: Final = ("reference.pgtable", "reference.mmu", "reference.tlb", "reference.tlbflush")
TREE: Final = "candidate.tree."
# ``*ptep`` (`reference.pgtable.Pgtable.load`), which is not a function of the kernel.
LOAD: Final = "load"
# Table memory is not kernel code either.
MEMORY: Final = "reference.machine.sparse"


class Executor:
    """One side of a program: create, step through the operations, destroy.

    :param version: the code under test
    :param program: a valid program
    :raises CandidateMistakeError: a constructor of *version* fails. Methods raise it too, on a mistake in its Python
    :param number: the number of the side, for `fuzz.sides.pulse`
    :param judged: whether checkers observe the run. Without them, no program may relax leaves, because that asks a
        checker
    """

    def __init__(self, version: Candidate, program: Program, number: int = REFERENCE, judged: bool = True) -> None:
        self.program = program
        self.number = number
        PULSE.begin(number, -1)
        try:
            self.side = started(version, program)
        finally:
            PULSE.end()
        self.checkers = CheckerSuite(self.side, judged)
        self.unsettled = UnsettledPages(self.side)
        self.guest = GuestOperations(GuestAccesses(self.side, self.checkers, self.unsettled))
        self.host = HostOperations(self.side, self.checkers, self.unsettled)
        self.table = TableOperations(self.side, self.checkers)
        self.hyp = HypOperations(self.side)
        self.par = ParOperations(self.side, self.checkers, self.guest, self.host, self.unsettled)
        # Set where the kernel code crashed or ran away: nothing can run afterwards.
        self.dead = False
        # Why there is no verdict: the program needs something that is not modelled for this version, or its process
        # could not be started. "": there is a verdict.
        self.refused = ""
        # The second of these reasons, which may be gone in the next run.
        self.not_started: TreeNotStartedError | None = None
        self.at = -1

    @property
    def tree(self) -> TreeSide | None:
        """The tree of the side; None for a port."""
        pgtable = self.side.pgtable
        return pgtable.tree if isinstance(pgtable, TreePgtable) else None

    def perform(self, at: int) -> tuple[Outcome | None, list[Violation]]:
        """Create the VM (-1), run operation number *at*, or tear the VM down (after the last operation).

        :returns: the outcome of an operation, and the violations
        """
        if at < 0:
            return None, self.create()
        if at < len(self.program.operations):
            return self.step(at)
        return None, self.destroy()

    def create(self) -> list[Violation]:
        """Create the VM. Return the violations of its creation."""
        self.refused = missing(self.side, self.program)
        if self.refused:
            self.dead = True
            return []
        self.side.enter("kvm_init_stage2_mmu")
        self.side.host.version = 1
        self.checkers.before_operation(None)
        outcome = Outcome("error", 0)
        ret = self.guarded(self.side.create, -1)
        if isinstance(ret, Outcome):
            outcome = ret
        else:
            outcome = Outcome("error", ret) if ret else Outcome("ok")
        if not self.refused:
            self.checkers.after_operation(None, outcome)
        # Without a VM there is nothing to run operations on.
        self.dead = self.dead or outcome.status != "ok"
        return self.checkers.take(-1)

    def step(self, at: int) -> tuple[Outcome, list[Violation]]:
        """Run operation number *at*; return its outcome and its violations."""
        op = self.program.operations[at]
        self.at = at
        side = self.side
        side.begin_operation()
        # Each operation writes a version of its own.
        side.host.version = at + 1
        self.checkers.before_operation(op)
        result = self.guarded(lambda: self.run(op), at)
        outcome = result if isinstance(result, Outcome) else Outcome("oops", result)
        # An actor that waits forever is still inside the call.
        self.dead = self.dead or outcome.status == "deadlock"
        if not self.refused:
            self.checkers.after_operation(op, outcome)
        if side.kernel.locks:
            side.kernel.locks.clear()
        return outcome, self.checkers.take(at)

    def end(self, number: int) -> Outcome:
        """End a VM while others continue. Checkers judge now what it still holds."""
        guest = self.side.guests[number]
        self.checkers.vm_ending(guest)
        self.side.enter("kvm_free_stage2_pgd")
        self.side.end(guest)
        self.checkers.vm_ended(guest)
        return Outcome("ok")

    def destroy(self) -> list[Violation]:
        """Cross-check everything, then tear the VM down."""
        if self.dead:
            return []
        self.checkers.scan()
        self.checkers.before_destruction()
        self.side.enter("kvm_free_stage2_pgd")
        self.side.kernel.cause = ""
        self.side.kernel.walker = ""
        for destroy in (self.side.destroy, self.hyp.destroy):
            if self.dead:
                break
            failure = self.guarded(destroy, len(self.program.operations))
            if isinstance(failure, Outcome) and not self.refused:
                self.checkers.crashed(failure)
        if not self.dead:
            self.checkers.destroyed()
        return self.checkers.take(len(self.program.operations))

    def dismantle(self) -> None:
        """Release all that the run holds, including a tree's process. The executor cannot be used afterwards."""
        self.checkers.dismantle()
        self.par.dismantle()
        self.side.dismantle()

    def guarded(self, call: Callable[[], Outcome | int | None], at: int) -> Outcome | int | None:
        """Call into the kernel code. A crash there becomes an outcome and does not end s2fuzz.

        :param at: index of the operation, as in `fuzz.judging.finding.Finding`
        """
        PULSE.begin(self.number, at)
        try:
            return call()
        except RunawayError:
            self.dead = True
            return Outcome("stuck")
        except TwinDiffersError:
            raise
        except TreeOopsError as crash:
            self.dead = True
            return Outcome("oops", crash.what, detail=crash.detail)
        except TreeRefusedError as refusal:
            self.dead = True
            self.refused = str(refusal)
            return Outcome("refused")
        except TreeNotStartedError as limit:
            self.dead = True
            self.refused, self.not_started = str(limit), limit
            return Outcome("refused")
        except (Exception, SystemExit) as error:
            # SystemExit may come from a signal, too.
            mistake = mistake_of(error, self.side.version)
            if mistake:
                raise CandidateMistakeError(mistake) from error
            place = "" if isinstance(error, SystemExit) else kernel_place(error)
            if not place:
                raise
            self.dead = True
            detail = " ".join(f"{type(error).__name__}: {error}, at {place}".split())
            return Outcome("oops", f"{type(error).__name__} in {innermost(error)}", detail=detail)
        finally:
            PULSE.end()

    def run(self, op: Operation) -> Outcome:
        """Run one operation according to its kind."""
        if isinstance(op, Par):
            return self.par.run(op, self.at)
        if isinstance(op, OnCpu):
            return self.guest.run(op, self.at)
        if isinstance(op, HypMap):
            return self.hyp.map(op)
        if isinstance(op, VmEnd):
            return self.end(op.vm)
        layout = self.side.by_name[op.slot]
        if isinstance(op, (TableRange, TablePlace)):
            return self.table.run(op, layout)
        if isinstance(op, GetLog):
            return self.host.get_log(layout)
        if isinstance(op, ClearLog):
            return self.host.clear_log(op, layout)
        if isinstance(op, OnSlot):
            return self.host.slot(op, layout)
        if isinstance(op, SlotPlace):
            outcome = self.host.run(op, layout)
            if self.unsettled.marked:
                self.unsettled.settle(op, outcome.status == "ok")
            return outcome
        raise unhandled(op)


def started(version: Candidate, program: Program) -> Side:
    """Return the machine and the kernel code of one side.

    :raises CandidateMistakeError: a constructor of *version* fails
    """
    try:
        return Side(version, program)
    except (Exception, SystemExit) as error:
        mistake = mistake_at_start(error, version)
        if mistake:
            raise CandidateMistakeError(mistake) from error
        raise


def missing(side: Side, program: Program) -> str:
    """Name a capability that a program asks for and a version does not have. "": the version has all."""
    main = side.version.main
    if program.vm.split and not main.SPLITS_EAGERLY:
        return f"eager splitting of blocks (split=), which {side.version.name} does not have"
    if program.vm.ring and not main.HAS_DIRTY_RINGS:
        return f"dirty rings (ring=), which {side.version.name} does not have"
    if any(slot.backing == MEMFD for slot in program.slots) and not main.HAS_GUEST_MEMFD:
        return f"guest_memfd (backing={MEMFD}), which {side.version.name} does not have"
    if program.vm.mte and not main.HAS_MTE:
        return f"memory tags (mte=), which {side.version.name} does not have"
    if program.vm.mte and any(slot.backing in HUGE_SHIFT for slot in program.slots) and not main.TAGS_HUGETLB:
        return f"memory tags (mte=) with hugetlb, which {side.version.name} does not have"
    if program.vm.bbm and not main.HAS_BBM:
        return f"FEAT_BBM (bbm=), which {side.version.name} does not have"
    if program.vm.nested and not main.HAS_NESTED:
        return f"vCPUs with EL2 (nested=), which {side.version.name} does not have"
    if side.granule.lpa2 and not main.HAS_LPA2:
        return f"FEAT_LPA2 (pa={program.vm.pa} with such pages), which {side.version.name} does not have"
    return ""


def lacking(reference: Candidate, candidate: Candidate, program: Program) -> str:
    """Name a call that a program makes and neither of two versions has. "": there is none.

    If one has it, the other does what user space does without the call.
    """
    if reference.main.PRE_FAULTS or candidate.main.PRE_FAULTS or not pre_faults(program):
        return ""
    names = " and ".join(dict.fromkeys((reference.name, candidate.name)))
    return f"KVM_PRE_FAULT_MEMORY (prefault), which {names} {'do' if ' and ' in names else 'does'} not have"


def innermost(error: BaseException) -> str:
    """Return the name of the function in which an exception was raised."""
    trace = error.__traceback__
    name = "?"
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name != LOAD and frame.f_globals.get("__name__", "") != MEMORY:
            name = frame.f_code.co_name
        trace = trace.tb_next
    return name


def kernel_place(error: BaseException) -> str:
    """Return ``file:line`` of the innermost reference/ or candidate/ code that an exception passed; "": no crash of it.

    An exception that an observer of ours raises while kernel code runs is our mistake.
    """
    trace = error.__traceback__
    place = module = ""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        kernel = module in KERNEL or (module.startswith("candidate.") and not module.startswith(TREE))
        if kernel and trace.tb_frame.f_code.co_name != LOAD:
            place = f"{shown_module(module)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return "" if module.startswith("fuzz.") else place
