# SPDX-License-Identifier: GPL-2.0-only
"""context: tlb.c switches a CPU into a guest's context and back, and no walk in between mixes two contexts.

A register takes effect at the next ISB, or at the exception that ends a call at EL1. On a CPU that may walk
for a speculated AT (ARM64_WORKAROUND_SPECULATIVE_AT), stage-1 walks must be off (TCR_EL1.EPD0 and EPD1; for a kernel
at EL2 with stage 1 on). This must be in effect before the switch, and until the host's context is in effect. The
checker tlb judges the effect of TLBIs, except TLBIs of a single CPU.
"""

from typing import Final

from reference.capabilities import ARM64_HAS_CACHE_DIC, ARM64_WORKAROUND_SPECULATIVE_AT, ICACHE_VPIPT, NO_VHE
from reference.machine.instructions import (
    ALLE1,
    BROADCAST,
    HCR_E2H,
    HCR_EL2,
    HCR_TGE,
    IC_IALLU,
    IC_IALLUIS,
    ISB,
    ISHST,
    SCTLR_EL1,
    STORES_ONLY,
    TCR_EL1,
    VMALLE1,
    VTTBR_EL2,
)
from reference.machine.processor import ALL_VMIDS, Processor

from ..sides.side import Side
from .checker import Checker, Peers
from .rule import Clause, Rule
from .severity import Severity

EPD: Final = 1 << 7 | 1 << 23
STAGE1_ON: Final = 1 << 0


class Context(Checker):
    """Judges the instructions of each call of tlb.c, and the state of the CPU on return."""

    rule = Rule(
        "context",
        (
            Clause("tlb.c returns in the host's context"),
            Clause(
                "where the CPU walks for a speculative AT, stage-1 walks are off while contexts mix",
                "*: walks while contexts mix*",
            ),
            Clause(
                "a CPU to which a vCPU moves drops what the VM's other vCPUs left there",
                "*: a vCPU meets*",
            ),
            Clause("before VMIDs are reused, all CPUs drop what they hold for all VMs", "*stay when VMIDs run out*"),
            Clause("lines of an unmapped page do not stay in a VPIPT cache", "*: lines of an unmapped page*"),
        ),
        "host or guest would use translations or code of another context",
        Severity.STALE,
        rank=3,
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        caps = side.kernel.caps
        self.vhe = not caps & NO_VHE
        self.erratum = caps & ARM64_WORKAROUND_SPECULATIVE_AT != 0
        # A kernel at EL1 cannot reach the lines that a VPIPT cache has for a VMID.
        self.owes_icache = not self.vhe and caps & ICACHE_VPIPT != 0 and not caps & ARM64_HAS_CACHE_DIC
        self.tcr = side.kernel.hardware.processors[0].tcr
        # Violations already reported; each is reported once.
        self.reported: set[str] = set()
        # In this call: bit mask of the registers written since the last ISB.
        self.fresh = 0
        # VMIDs whose combined entries this CPU is dropping, and has dropped; likewise for instruction caches.
        self.dropping: list[int] = []
        self.dropped: list[int] = []
        self.invalidates = False
        self.invalidated = False
        # A generation of VMIDs has ended, and CPUs may still have entries, or lines of a VPIPT cache, for its VMIDs.
        self.entries_left = False
        self.lines_left = False

    def wrong(self, what: str, reason: str) -> None:
        """Record a violation; its function is tlb.c, whatever the caller."""
        if what not in self.reported:
            self.reported.add(what)
            self.report(what, -1, reason, taints=False, function="tlb.c")

    def instruction(self, op: int, operand: int) -> None:
        cpu = self.kernel.hardware.processors[self.kernel.assembly.cpu]
        if op == ISB:
            self.fresh = 0
        elif op <= ISHST:
            if not op & STORES_ONLY:
                self.invalidated = self.invalidated or self.invalidates
                self.dropped += self.dropping
                self.dropping.clear()
        elif op in (IC_IALLU, IC_IALLUIS):
            self.invalidates = True
        elif op >= VMALLE1:
            if op & ~BROADCAST == VMALLE1 and not cpu.tge:
                self.dropping.append(cpu.vmid)
        else:
            self.written(op, operand, cpu)
            self.fresh |= 1 << op

    def written(self, register: int, value: int, cpu: Processor) -> None:
        """Judge a write to a system register, which takes effect at the next ISB."""
        if self.vhe and register == HCR_EL2 and not value & HCR_E2H:
            self.wrong(
                "host left", f"HCR_EL2 {value:#x}: without E2H the kernel at EL2 uses other registers and tables"
            )
        if self.erratum and self.mixes(register, value, cpu):
            self.wrong(
                "walks while contexts mix",
                "for a speculated AT, the CPU may walk the tables of one context with the VMID of the other",
            )

    def mixes(self, register: int, value: int, cpu: Processor) -> bool:
        """Return whether stage-1 walks may be on while one register is the host's and another the guest's."""
        off = cpu.tcr & EPD == EPD and (not self.vhe or cpu.sctlr & STAGE1_ON != 0)
        if register == VTTBR_EL2 and value:
            return not off or (not self.vhe and self.pending(TCR_EL1))
        if register == HCR_EL2 and not value & HCR_TGE:
            return not off or self.pending(VTTBR_EL2) or self.pending(TCR_EL1) or self.pending(SCTLR_EL1)
        if (register == TCR_EL1 and value & EPD != EPD) or (register == SCTLR_EL1 and not value & STAGE1_ON):
            return cpu.vttbr != 0 or self.pending(VTTBR_EL2) or (self.vhe and (not cpu.tge or self.pending(HCR_EL2)))
        return False

    def pending(self, register: int) -> bool:
        """Return whether a register was written and is not in effect yet."""
        return self.fresh >> register & 1 != 0

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        if self.owes_icache and not self.invalidated:
            self.wrong(
                "lines of an unmapped page stay in a VPIPT cache",
                "the hypervisor must invalidate them, completed by a DSB: the page may get other code",
            )
        self.returned()

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        self.returned()

    def tlbi_vmid(self, vmid: int) -> None:
        self.returned()

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.returned()

    def flush_cpu_context(self, vmid: int, cpu: int) -> None:
        number = self.side.guests[vmid - 1].hardware_vmid.vmid
        if number not in self.dropped or not self.invalidated:
            self.wrong(
                "a vCPU meets what another one left on the CPU",
                f"entries that combine both stages and lines of instruction caches of VMID {number} stay on CPU {cpu}",
            )
        self.returned()

    def flush_vm_context(self) -> None:
        self.entries_left = True
        self.lines_left = self.kernel.caps & ICACHE_VPIPT != 0 and not self.invalidated
        self.returned()

    def dsb(self, domain: str) -> None:
        self.look_for_entries()

    def look_for_entries(self) -> None:
        """Note whether a barrier completed a TLBI of all VMIDs on all CPUs."""
        if self.entries_left:
            gone = self.kernel.assembly.gone
            self.entries_left = not any(each.op == ALLE1 and each.vmid == ALL_VMIDS for each in gone)

    def vmid_given(self, vmid: int, number: int) -> None:
        for left, what in ((self.entries_left, "entries of TLBs"), (self.lines_left, "lines of a VPIPT cache")):
            if left:
                self.wrong(
                    f"{what} stay when VMIDs run out",
                    f"VM {vmid - 1} now has VMID {number}, for which CPUs may still hold {what} of another VM",
                )

    def returned(self) -> None:
        """Judge the CPU on return from the call: it must be in the host's context."""
        self.look_for_entries()
        cpu = self.kernel.hardware.processors[self.kernel.assembly.cpu]
        # A kernel at EL2 does not use VTTBR_EL2 while TGE is set, except for a speculated AT.
        left = (cpu.vttbr or cpu.vmid) and (not self.vhe or self.erratum)
        if left or cpu.tge != self.vhe or cpu.tcr != self.tcr or cpu.sctlr:
            self.wrong(
                "returned in another context than the host's",
                f"VTTBR_EL2 {cpu.vttbr:#x} (VMID {cpu.vmid} in effect), TGE {cpu.tge}, "
                f"TCR_EL1 {cpu.tcr:#x}, SCTLR_EL1 {cpu.sctlr:#x}",
            )
        self.fresh = 0
        self.dropping.clear()
        self.dropped.clear()
        self.invalidates = self.invalidated = False
