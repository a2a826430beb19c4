# SPDX-License-Identifier: GPL-2.0-only
"""arm.c: VMIDs are assigned in order of entry, once per generation; a new generation flushes everything."""

from reference.arm import Arm
from reference.events import Observer
from reference.kernel import Kernel
from reference.machine.granule import Granule
from reference.machine.hardware import Hardware
from reference.machine.instructions import text
from reference.services.structs import kvm_s2_mmu


class Seen(Observer):
    """Records flushes, their instructions, and assigned VMIDs."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def instruction(self, op: int, operand: int) -> None:
        self.found.append(text(op, operand))

    def flush_vm_context(self) -> None:
        self.found.append("flushed")

    def vmid_given(self, vmid: int, number: int) -> None:
        self.found.append(f"{vmid} has {number}")


def test_generations_of_vmids() -> None:
    granule = Granule(12)
    kernel, seen = Kernel(granule, Hardware(granule, 2)), Seen()
    kernel.observe(seen)
    one, other = kvm_s2_mmu(1), kvm_s2_mmu(2)
    arm = Arm(kernel, 2)
    arm.update_vmid(other)
    assert seen.found == []
    arm.begin_generation()
    assert seen.found == ["dsb ishst", "tlbi alle1is", "dsb ish", "flushed"]
    seen.found.clear()
    assert arm.need_new_vmid_gen(one.hardware_vmid)
    for mmu in (other, one, other):
        arm.update_vmid(mmu)
    assert seen.found == ["2 has 1", "1 has 2"]
    assert (one.vmid, other.vmid) == (1, 2)
    seen.found.clear()
    # A VM that enters late gets the next number of the same generation.
    arm.update_vmid(kvm_s2_mmu(3))
    assert seen.found == ["3 has 3"]


def test_tlbi_are_for_the_vmid_of_the_generation() -> None:
    granule = Granule(12)
    kernel, seen = Kernel(granule, Hardware(granule, 1)), Seen()
    arm, mmu = Arm(kernel, 5), kvm_s2_mmu(5)
    kernel.observe(seen)
    kernel.__kvm_tlb_flush_vmid__(mmu)
    assert "msr vttbr_el2, 0x5000000000000" in seen.found
    arm.begin_generation()
    arm.update_vmid(mmu)
    seen.found.clear()
    kernel.__kvm_tlb_flush_vmid__(mmu)
    assert "msr vttbr_el2, 0x1000000000000" in seen.found
