# SPDX-License-Identifier: GPL-2.0-only
"""Slots that are created, moved and deleted during faults, on ports: waiting, results of faults, verdicts."""

import pytest

from candidate import Candidate
from reference.kvm import KVM_MEMSLOT_INVALID, kvm, kvm_memory_slot, kvm_vcpu
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from ..block_run import Run
from .slot_blocks import CHANGES, HEAD, PLACES, USER_PLACES, block


@pytest.mark.parametrize("version", ["original", "v5.14"])
@pytest.mark.parametrize("change", CHANGES)
def test_slots_change_during_a_fault(version: str, change: str) -> None:
    """Switch at every place of the fault and of user space: there is no violation."""
    for place in PLACES:
        run = Run(version, block("write a+0", change, f"cpu0 to user0 {place}"))
        assert (place, run.violations, run.outcomes[1].detail) == (place, [], "")
    for place in USER_PLACES:
        run = Run(version, block("write a+4K", change, f"user0 to cpu0 {place}", "user0"))
        assert (place, run.violations) == (place, [])


def test_installing_slots_waits_for_faults_in_flight() -> None:
    run = Run("original", block("write a+0", "slot a delete", "cpu0 to user0 after lookup 1"))
    assert run.count("waits for the srcu lock, which cpu0 holds") == 1
    # The fault still finds the slot, because it looked the slot up earlier.
    access, deletion = run.outcomes[1].parts
    assert (access.status, access.faults, deletion.status) == ("ok", 1, "ok")


def test_a_fault_finds_a_slot_that_is_being_deleted() -> None:
    """Check an invalid slot: accesses are emulated, or fail if the fault found the slot valid before."""
    run = Run("original", block("write a+0", "slot a delete", "user0 to cpu0 before lock 1", "user0"))
    assert run.violations == []
    assert [part.status for part in run.outcomes[1].parts] == ["ok", "io"]
    run = Run("original", block("write a+0", "slot a delete", "cpu0 to user0 before lookup 1"))
    assert run.violations == []
    assert [part.status for part in run.outcomes[1].parts] == ["efault", "ok"]


def test_a_moving_slot_is_accessible_at_its_old_place_until_unmapped() -> None:
    for place, faults in (("before lock 1", 0), ("after unlock 1", 1)):
        run = Run("original", block("read a+4K", "slot a move 3G", f"user0 to cpu0 {place}", "user0"))
        assert (place, run.violations) == (place, [])
        # A mapping at the old place is judged as the slot's; after the unmap there is no slot.
        assert [(part.status, part.faults) for part in run.outcomes[1].parts] == [
            ("ok", 0),
            ("io" if faults else "ok", faults),
        ]


def test_threads_of_the_host_during_a_change_of_slots() -> None:
    for change in CHANGES:
        for operation in ("discard a+4K 4K", "migrate a+4K 4K", "merge a+4K", "unmap a+4K 4K", "age a+4K 4K"):
            for place in ("after start 1", "after change 1", "after lock 1", "before unlock 1"):
                text = HEAD + f"cpu1 read a+4K\npar\nhost0 {operation}\nuser0 {change}\n"
                run = Run("original", text + f"switch host0 to user0 {place}\nend\ncpu0 read b+0\n")
                assert (change, operation, place, run.violations) == (change, operation, place, [])


class Hasty(KvmMain):
    """Installs slots without waiting for faults in flight."""

    def update_memslots(self, memslot: kvm_memory_slot, change: int) -> None:
        steps, self.k.steps = self.k.steps, None
        super().update_memslots(memslot, change)
        self.k.steps = steps


class Bold(Mmu):
    """Unmaps a slot before its deletion is announced."""

    def kvm_arch_flush_shadow_memslot(self, kvm: kvm, slot: kvm_memory_slot) -> None:
        assert slot.flags & KVM_MEMSLOT_INVALID


@pytest.mark.parametrize(
    ("version", "place"),
    [
        (Candidate("hasty", Pgtable, Mmu, "does not wait", main=Hasty), "after lookup 1"),
        (Candidate("bold", Pgtable, Bold, "does not unmap"), "after fault 1"),
    ],
)
def test_a_mapping_left_by_a_deleted_slot_is_found(version: Candidate, place: str) -> None:
    text = block("write a+0", "slot a delete", f"cpu0 to user0 {place}")
    assert Run("original", text).violations == []
    found = {violation.signature for violation in Run(version, text).violations}
    assert any("leaf outside of any slot" in each or "still mapped after unmapping" in each for each in found), found


def test_outcomes_that_depend_on_the_order_are_not_compared() -> None:
    run = Run("original", block("write a+0", "slot a delete", "cpu0 to user0 after fault 1"))
    (part, _) = run.outcomes[1].parts
    assert set(part.either) >= {"ok", "io", "abort", "efault"}
    other = Run("original", block("write a+0", "slot a delete", "cpu0 to user0 after unlock 1"))
    assert part.status != other.outcomes[1].parts[0].status
    assert run.outcomes[1].same_as(other.outcomes[1])


class Refuses(Mmu):
    """Emulates each access, as if there were no slot."""

    def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
        return self.h.io_mem_abort(fault_ipa)


def test_an_access_outside_of_any_change_is_judged_normally() -> None:
    """Re-create the slot before the vCPU begins: an I/O exit is wrong then."""
    version = Candidate("refuses", Pgtable, Refuses, "emulates")
    change = "slot a delete\nuser0 slot a create"
    for switch, wrong in (("cpu0 to user0 after fault 1", False), ("cpu0 to user0 after fault 2", True)):
        first = "cpu0" if not wrong else "user0"
        run = Run(version, block("write a+0", change, switch, first))
        found = [each.signature for each in run.violations if each.at == 1]
        assert found == ["contract: kvm_handle_guest_abort: write of memory answered with an I/O exit"] * wrong


def test_a_slot_that_moves_to_the_address_of_an_access_excuses_it() -> None:
    text = (
        "s2fuzz 1\nvm\nslot a ipa=1G size=2M backing=anon\nslot b ipa=2G size=2M backing=anon\ncpu1 read b+0\n"
        "slot a delete\npar\ncpu0 read a+0\nuser0 slot b {}\nswitch cpu0 to user0 after fault 1\n"
        "switch user0 to cpu0 before lock 1\nend\n"
    )
    assert Run("original", text.format("move 1G")).violations == []


def test_a_change_of_another_slot_excuses_nothing() -> None:
    version = Candidate("refuses", Pgtable, Refuses, "emulates")
    text = HEAD + "par\ncpu0 read b+0\nuser0 slot a delete\nswitch cpu0 to user0 after fault 1\nend\n"
    assert any("answered with an I/O exit" in each.signature for each in Run(version, text).violations)
