# SPDX-License-Identifier: GPL-2.0-only
"""The instructions and barriers that make up tlb.c. The machine executes each one, and each one is an event."""

from .capabilities import NO_VHE
from .events import Observer
from .machine.hardware import Hardware
from .machine.instructions import HCR_EL2, IC_IALLUIS, ISB, SCTLR_EL1, TCR_EL1, VTTBR_EL2
from .machine.processor import EVERYWHERE, Invalidation


class Assembly:
    """The instructions of the CPU that currently runs kernel code.

    :param hardware: executes the instructions
    :param caps: ARM64_... bits
    :param on_instruction: observers of `Observer.instruction`

    *cpu*: the current CPU; *gone*: the TLBI that took effect on all CPUs during the last call of tlb.c, or at the last
    barrier after it
    """

    def __init__(self, hardware: Hardware, caps: int, on_instruction: list[Observer]) -> None:
        self.hardware = hardware
        self.granule = hardware.granule
        self.caps = caps
        self.on_instruction = on_instruction
        self.cpu = 0
        self.gone: list[Invalidation] = []

    def enter(self, cpu: int) -> None:
        """Kernel code calls tlb.c on a CPU. A kernel at EL1 makes the call through an exception."""
        self.cpu = cpu
        self.gone.clear()
        if self.caps & NO_VHE:
            self.synchronize()

    def load(self, vttbr: int) -> None:
        """Put VTTBR_EL2 of the vCPU that runs on the CPU into effect, as the guest entry did; no event."""
        self.hardware.processors[self.cpu].vttbr = vttbr
        self.synchronize()

    def leave(self) -> None:
        """tlb.c returns, through an exception return if it was entered by an exception."""
        if self.caps & NO_VHE:
            self.synchronize()

    def dsb(self, domain: int) -> None:
        """``dsb(domain)``"""
        self.barrier(domain)
        if self.on_instruction:
            self.note(domain, 0)

    def isb(self) -> None:
        self.synchronize()
        if self.on_instruction:
            self.note(ISB, 0)

    def tlbi(self, op: int, operand: int) -> None:
        """Execute one TLBI; it completes only at a later barrier.

        :param operand: 0 if the instruction has none
        """
        self.hardware.tlbi(self.cpu, op, operand)
        if self.on_instruction:
            self.note(op, operand)

    def ic(self, op: int) -> None:
        """``ic iallu``, ``ic ialluis``: the first affects this CPU only, which the model ignores."""
        if op == IC_IALLUIS:
            self.hardware.invalidate_icache_all()
        if self.on_instruction:
            self.note(op, 0)

    def write_sysreg(self, value: int, register: int) -> None:
        """``msr``: takes effect at the next context synchronization."""
        cpu = self.hardware.processors[self.cpu]
        if register == VTTBR_EL2:
            cpu.vttbr = value
        elif register == HCR_EL2:
            cpu.hcr = value
        elif register == TCR_EL1:
            cpu.tcr = value
        elif register == SCTLR_EL1:
            cpu.sctlr = value
        if self.on_instruction:
            self.note(register, value)

    def read_sysreg(self, register: int) -> int:
        """``mrs``: return the value written last; no event."""
        cpu = self.hardware.processors[self.cpu]
        if register == VTTBR_EL2:
            return cpu.vttbr
        if register == HCR_EL2:
            return cpu.hcr
        return cpu.tcr if register == TCR_EL1 else cpu.sctlr

    def synchronize(self) -> None:
        """``isb``, an exception or a return from one."""
        self.hardware.processors[self.cpu].synchronize()

    def barrier(self, domain: int) -> None:
        """Execute a barrier."""
        for done in self.hardware.barrier(self.cpu, domain):
            if done.cpu == EVERYWHERE:
                self.gone.append(done)

    def note(self, op: int, operand: int) -> None:
        for o in self.on_instruction:
            o.instruction(op, operand)
