# SPDX-License-Identifier: GPL-2.0-only
"""The instructions and barriers that tlb.c uses, as numbers, and the fields of their operands (Arm ARM C5.5)."""

from typing import Final

# Barriers: their domain. "st" orders stores only, and completes no TLBI.
NSH: Final = 0
NSHST: Final = 1
ISH: Final = 2
ISHST: Final = 3
ISB: Final = 4
# System registers.
VTTBR_EL2: Final = 5
HCR_EL2: Final = 6
TCR_EL1: Final = 7
SCTLR_EL1: Final = 8
# Instruction caches.
IC_IALLU: Final = 9
IC_IALLUIS: Final = 10
# TLBI; "is" acts on all CPUs, without it on this CPU only. "ripas2" is by range, "l" for the last level only.
VMALLE1: Final = 12
VMALLE1IS: Final = 13
VMALLS12E1: Final = 14
VMALLS12E1IS: Final = 15
ALLE1: Final = 16
ALLE1IS: Final = 17
IPAS2E1: Final = 18
IPAS2E1IS: Final = 19
IPAS2LE1: Final = 20
IPAS2LE1IS: Final = 21
RIPAS2E1: Final = 22
RIPAS2E1IS: Final = 23

# The bit of a barrier's number that means stores only.
STORES_ONLY: Final = 1
# The bit of a TLBI's number that means all CPUs; cleared in the local instruction.
BROADCAST: Final = 1

NAMES: Final = {
    NSH: "dsb nsh",
    NSHST: "dsb nshst",
    ISH: "dsb ish",
    ISHST: "dsb ishst",
    ISB: "isb",
    VTTBR_EL2: "msr vttbr_el2",
    HCR_EL2: "msr hcr_el2",
    TCR_EL1: "msr tcr_el1",
    SCTLR_EL1: "msr sctlr_el1",
    IC_IALLU: "ic iallu",
    IC_IALLUIS: "ic ialluis",
    VMALLE1: "tlbi vmalle1",
    VMALLE1IS: "tlbi vmalle1is",
    VMALLS12E1: "tlbi vmalls12e1",
    VMALLS12E1IS: "tlbi vmalls12e1is",
    ALLE1: "tlbi alle1",
    ALLE1IS: "tlbi alle1is",
    IPAS2E1: "tlbi ipas2e1",
    IPAS2E1IS: "tlbi ipas2e1is",
    IPAS2LE1: "tlbi ipas2le1",
    IPAS2LE1IS: "tlbi ipas2le1is",
    RIPAS2E1: "tlbi ripas2e1",
    RIPAS2E1IS: "tlbi ripas2e1is",
}
# Instructions with an operand.
WITH_OPERAND: Final = frozenset({VTTBR_EL2, HCR_EL2, TCR_EL1, SCTLR_EL1, *range(IPAS2E1, RIPAS2E1IS + 1)})

# The domains of barriers by name; an outer domain includes the inner one. Barriers for loads only have no effect here.
DOMAINS: Final = {
    "nsh": NSH,
    "nshst": NSHST,
    "ish": ISH,
    "ishst": ISHST,
    "osh": ISH,
    "oshst": ISHST,
    "sy": ISH,
    "st": ISHST,
}

# The barriers that order all CPUs' view of this CPU's loads, or of its stores: DMB and DSB alike.
ORDER_LOADS: Final = frozenset({"ishld", "oshld", "ld", "ish", "osh", "sy"})
ORDER_STORES: Final = frozenset({"ishst", "oshst", "st", "ish", "osh", "sy"})

# VTTBR_EL2.VMID; the base address of the tables is left out, since TLBI ignore it.
VTTBR_VMID_SHIFT: Final = 48
# HCR_EL2: EL1 and EL0 are the host's own; the hypervisor is the host.
HCR_TGE: Final = 1 << 27
HCR_E2H: Final = 1 << 34
# TLBI by address: IPA bits 51:12 in bits 39:0,
IPA_SHIFT: Final = 12
IPA_FIELD: Final = (1 << 40) - 1
# and from bit 44 on the level hint, below the granule of two bits.
TTL_SHIFT: Final = 44
TTL_LEVEL: Final = 3
TTL_GRANULE_SHIFT: Final = 46
# TLBI by range: the address in pages, or in 64K under FEAT_LPA2, then level hint, number, scale and granule.
RANGE_FIELD: Final = (1 << 37) - 1
RANGE_TTL_SHIFT: Final = 37
RANGE_NUM_SHIFT: Final = 39
RANGE_NUM: Final = 31
RANGE_SCALE_SHIFT: Final = 44


def text(op: int, operand: int) -> str:
    """Return an instruction in assembler syntax, with the value of its operand."""
    return f"{NAMES[op]}, {operand:#x}" if op in WITH_OPERAND else NAMES[op]
