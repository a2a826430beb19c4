# SPDX-License-Identifier: GPL-2.0-only
"""isolation: no access reaches a frame that its slot does not own.

A version that breaks this rule usually breaks another one first: a stale TLB
entry or a stale leaf is found when it is left behind, not when it is used. Two
of the bad cases therefore only require that the access is found too.
"""

import candidate
from reference.kvm import kvm_memory_slot
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .case import ORIGINAL, Case, broken, each, violations
from .switched import Unmap
from .test_rare import KeepsHoles
from .test_translation import AlwaysWritable


class NextFrame(Pgtable):
    def kvm_init_valid_leaf_pte(self, pa: int, attr: int, level: int) -> int:
        return super().kvm_init_valid_leaf_pte(pa + self.PAGE_SIZE, attr, level)


class BlockAnyway(Mmu):
    """Maps a block although guest and host address have different offsets in it."""

    def fault_supports_stage2_huge_mapping(self, memslot: kvm_memory_slot, hva: int, map_size: int) -> bool:
        return True


CASES = (
    Case(
        "another page",
        "isolation: stage2_map_walker: access to a frame not owned, through the tables L3",
        broken(NextFrame),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "another page of a block",
        "isolation: stage2_map_walker: access to a frame not owned, through the tables L2",
        broken(mmu=BlockAnyway),
        "vm cpus=1 fwb=on\nslot a ipa=0x40001000 size=4M backing=thp\ncpu0 read a+2M\n",
    ),
)
THROUGH_TLB = (
    "vm fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\nhost migrate a+0 4K\ncpu0 read a+0\n"
)
# VM 1 gets the VMID of VM 0, for which a CPU still has TLB entries.
ROLLOVER = (
    "vm vms=2 fwb=on\nslot a ipa=1G size=4K backing=anon\nslot b ipa=1G size=4K backing=anon vm=1\n"
    "cpu0 read a+0\ncpu1 rollover\ncpu2 read b+0\n"
)
SHARED = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\nhost share a+0 4K\ncpu0 read a+0\ncpu0 write a+0\n"
READ_ONLY = "vm cpus=1 fwb=on\nslot a size=4K backing=anon ro=on\ncpu0 read a+0\ncpu0 write a+0\n"


@each(CASES)
def test_isolation_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_isolation_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_isolation_good_through_the_tlb() -> None:
    assert violations(ORIGINAL, THROUGH_TLB) == []


def test_isolation_bad_through_the_tlb() -> None:
    found = [violation.signature for violation in violations(Unmap.without("leaf flush"), THROUGH_TLB)]
    assert "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3" in found


def test_isolation_good_when_vmids_run_out() -> None:
    assert violations(ORIGINAL, ROLLOVER) == []


def test_isolation_bad_when_vmids_run_out() -> None:
    found = [violation.signature for violation in violations(candidate.get("bug-tlb-generation-local"), ROLLOVER)]
    assert "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3" in found
    assert "tlb: kvm_handle_guest_abort: entry of another VM L3" in found


def test_isolation_good_write() -> None:
    assert violations(ORIGINAL, SHARED) == violations(ORIGINAL, READ_ONLY) == []


def test_isolation_bad_write() -> None:
    for text in SHARED, READ_ONLY:
        found = [violation.signature for violation in violations(broken(AlwaysWritable), text)]
        assert (
            "isolation: kvm_handle_guest_abort: write to a frame that is shared or read-only, through the TLB L3"
            in found
        )


def test_memory_that_has_failed_is_named() -> None:
    """It is not gone: the host has marked it, and nobody may use it."""
    text = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n{}cpu0 read a+0\n"
    for operation, told in (("host poison a+0\n", "has failed"), ("host unmap a+0 4K\n", "the host has nothing there")):
        found = violations(broken(mmu=KeepsHoles), text.format(operation))
        (reason,) = [each.reason for each in found if each.checker == "isolation"]
        assert told in reason
