# SPDX-License-Identifier: GPL-2.0-only
"""tlb.c executes the instructions of the C files, with their operands."""

import pytest

from reference.capabilities import (
    ARM64_HAS_TLB_RANGE,
    ARM64_WORKAROUND_REPEAT_TLBI,
    ARM64_WORKAROUND_SPECULATIVE_AT,
    ICACHE_VPIPT,
    NO_VHE,
    ARM64_HAS_ARMv8_4_TTL,
)
from reference.events import Observer
from reference.kernel import Kernel
from reference.machine.granule import Granule
from reference.machine.hardware import Hardware
from reference.machine.instructions import RIPAS2E1, text
from reference.machine.processor import EVERYWHERE, MISFIT, Invalidation
from reference.services.structs import kvm_s2_mmu
from reference.tlbflush import MAX_TLBI_RANGE_PAGES

GUEST, HOST = "msr vttbr_el2, 0x7000000000000", "msr vttbr_el2, 0x0"
NO_TGE, TGE = "msr hcr_el2, 0x400000000", "msr hcr_el2, 0x408000000"
VHE_ENTER, VHE_LEAVE = [GUEST, NO_TGE, "isb"], [HOST, TGE, "isb"]
NVHE_ENTER, NVHE_LEAVE = [GUEST, "isb"], [HOST]
BY_IPA = ["tlbi ipas2e1is, 0x40001", "dsb ish", "tlbi vmalle1is", "dsb ish", "isb"]
LOCAL = ["tlbi ipas2e1, 0x40001", "dsb nsh", "tlbi vmalle1", "dsb nsh", "isb"]
WHOLE = ["tlbi vmalls12e1is", "dsb ish", "isb"]
CONTEXT = ["tlbi vmalle1", "ic iallu", "dsb nsh", "isb"]
MMU = kvm_s2_mmu(7)


class Instructions(Observer):
    """Records the executed instructions."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def instruction(self, op: int, operand: int) -> None:
        self.found.append(text(op, operand))


def kernel(caps: int = 0, page_shift: int = 12, pa_bits: int = 48) -> tuple[Kernel, list[str]]:
    """Make a kernel without TLBs, and the list of instructions that it executes from now on."""
    granule = Granule(page_shift, pa_bits)
    k, seen = Kernel(granule, Hardware(granule, 2), caps), Instructions()
    k.observe(seen)
    return k, seen.found


@pytest.mark.parametrize(
    ("caps", "enter", "leave"), [(0, VHE_ENTER, VHE_LEAVE), (NO_VHE, NVHE_ENTER, NVHE_LEAVE)], ids=["vhe", "nvhe"]
)
def test_each_helper_call(caps: int, enter: list[str], leave: list[str]) -> None:
    k, found = kernel(caps)
    k.__kvm_tlb_flush_vmid_ipa__(MMU, 0x40001000, 3)
    assert found == ["dsb ishst", *enter, *BY_IPA, *leave]
    found.clear()
    k.__kvm_tlb_flush_vmid_ipa_nsh__(MMU, 0x40001000, 3)
    assert found == ["dsb nshst", *enter, *LOCAL, *leave]
    found.clear()
    k.__kvm_tlb_flush_vmid__(MMU)
    assert found == ["dsb ishst", *enter, *WHOLE, *leave]
    found.clear()
    k.__kvm_flush_cpu_context__(MMU, 1)
    assert found == [*enter, *CONTEXT, *leave]
    found.clear()
    k.tlb.__kvm_flush_vm_context__()
    assert found == ["dsb ishst", "tlbi alle1is", "dsb ish"]


def test_caches_by_vmid() -> None:
    """Check a VPIPT cache: the hypervisor of a kernel at EL1 invalidates it, a kernel at EL2 need not."""
    for caps, more in ((ICACHE_VPIPT, []), (ICACHE_VPIPT | NO_VHE, ["ic ialluis", "dsb ish"])):
        k, found = kernel(caps)
        k.__kvm_tlb_flush_vmid_ipa__(MMU, 0x40001000, 0)
        enter, leave = (NVHE_ENTER, NVHE_LEAVE) if caps & NO_VHE else (VHE_ENTER, VHE_LEAVE)
        assert found == ["dsb ishst", *enter, *BY_IPA, *more, *leave]
    found.clear()
    k.tlb.__kvm_flush_vm_context__()
    assert found == ["dsb ishst", "tlbi alle1is", "ic ialluis", "dsb ish"]


def test_speculative_walks_are_prevented() -> None:
    """Check ARM64_WORKAROUND_SPECULATIVE_AT: stage 1 is off, or on without walks, while contexts are mixed."""
    no_walks, walks = "msr tcr_el1, 0x800080", "msr tcr_el1, 0x0"
    k, found = kernel(ARM64_WORKAROUND_SPECULATIVE_AT)
    k.__kvm_tlb_flush_vmid__(MMU)
    enter = [no_walks, "msr sctlr_el1, 0x1", GUEST, "isb", NO_TGE, "isb"]
    assert found == ["dsb ishst", *enter, *WHOLE, *VHE_LEAVE, walks, "msr sctlr_el1, 0x0"]
    k, found = kernel(ARM64_WORKAROUND_SPECULATIVE_AT | NO_VHE)
    k.__kvm_tlb_flush_vmid__(MMU)
    assert found == ["dsb ishst", no_walks, "isb", GUEST, "isb", *WHOLE, HOST, "isb", walks]


def test_tlbi_twice() -> None:
    k, found = kernel(ARM64_WORKAROUND_REPEAT_TLBI)
    k.__kvm_tlb_flush_vmid__(MMU)
    assert found == ["dsb ishst", *VHE_ENTER, "tlbi vmalls12e1is", "dsb ish", *WHOLE, *VHE_LEAVE]


@pytest.mark.parametrize(
    ("page_shift", "level", "operand"),
    [(12, 0, 0x40001), (12, 3, 0x700000040001), (14, 2, 0xA00000040001), (16, 1, 0xD00000040001)],
)
def test_the_level_hint(page_shift: int, level: int, operand: int) -> None:
    k, found = kernel(ARM64_HAS_ARMv8_4_TTL, page_shift)
    k.__kvm_tlb_flush_vmid_ipa__(MMU, 0x40001000, level)
    assert found[4] == f"tlbi ipas2e1is, {operand:#x}"
    # Decode the operand as the hardware does.
    flush = Invalidation(18, EVERYWHERE, 7, 0, 0)
    flush.decode(operand, Granule(page_shift))
    assert (flush.ipa, flush.hint) == (0x40001000 & -(1 << page_shift), level)


def ranges(caps: int, page_shift: int, ipa: int, pages: int, pa_bits: int = 48) -> list[Invalidation]:
    """Return the TLBIs that flush a range, as the hardware decodes them."""
    k, found = kernel(caps, page_shift, pa_bits)
    k.__kvm_tlb_flush_vmid_range__(MMU, ipa, pages)
    decoded: list[Invalidation] = []
    for each in found:
        name, _, operand = each.partition(", ")
        if name.startswith(("tlbi ipas2", "tlbi ripas2")):
            flush = Invalidation(RIPAS2E1 if "ripas" in name else 18, EVERYWHERE, 7, 0, 0)
            flush.decode(int(operand, 16), k.granule)
            decoded.append(flush)
    return decoded


@pytest.mark.parametrize("pages", [1, 2, 3, 64, 65, 511, 512, 2048, 65536 + 7, MAX_TLBI_RANGE_PAGES - 1])
@pytest.mark.parametrize(("page_shift", "pa_bits"), [(12, 48), (14, 48), (16, 48), (12, 52)])
def test_flushes_cover_exactly_the_range(page_shift: int, pa_bits: int, pages: int) -> None:
    at = 0x40000000 + (3 << page_shift)
    for each in ranges(ARM64_HAS_TLB_RANGE, page_shift, 0x40000000 + (3 << page_shift), pages, pa_bits):
        assert (each.ipa, each.hint) == (at, 0)
        at += each.size
    assert at == 0x40000000 + ((3 + pages) << page_shift)


@pytest.mark.parametrize(("page_shift", "pa_bits", "hint"), [(12, 48, MISFIT), (12, 52, 0), (14, 48, 0), (16, 48, 0)])
def test_level_0_is_a_hint_with_pages_of_4k(page_shift: int, pa_bits: int, hint: int) -> None:
    """Check that it names blocks of 512G for a CPU with FEAT_LPA2, which alone has them, and is no hint otherwise."""
    flush = Invalidation(18, EVERYWHERE, 7, 0, 0)
    flush.decode(((page_shift - 10) >> 1) << 46 | 0x40000, Granule(page_shift, pa_bits))
    assert flush.hint == hint
    flush = Invalidation(18, EVERYWHERE, 7, 0, 0)
    flush.decode(0x40000, Granule(page_shift, pa_bits))
    assert flush.hint == 0


def test_scales_below_0_shift_as_arm64_does() -> None:
    k, _ = kernel(ARM64_HAS_TLB_RANGE)
    assert k.tlb.__TLBI_RANGE_PAGES__(1, -9) == 2 << 20
    assert k.tlb.__TLBI_VADDR_RANGE__(0x40000, 0, -9, 1, 0) == 0xFFFF708000040000


def test_the_largest_range_is_one_instruction() -> None:
    assert len(ranges(ARM64_HAS_TLB_RANGE, 12, 0, MAX_TLBI_RANGE_PAGES)) == 1


def test_invalid_ranges() -> None:
    class Warnings(Observer):
        def __init__(self) -> None:
            self.found: list[str] = []

        def warn(self, label: str) -> None:
            self.found.append(label)

    for caps, pages, said in (
        (0, 1, "undefined-instruction"),
        (ARM64_HAS_TLB_RANGE, MAX_TLBI_RANGE_PAGES + 1, "more-pages-than-a-range-has"),
    ):
        k, found = kernel(caps)
        warnings = Warnings()
        k.observe(warnings)
        k.__kvm_tlb_flush_vmid_range__(MMU, 0, pages)
        assert (warnings.found, found) == ([said], [])
