# SPDX-License-Identifier: GPL-2.0-only
"""VMID rollover: VMs exchange their VMIDs, and TLB operations of a VM without VMID affect no other VM."""

from typing import Final

import pytest

from fuzz.checkers.tlb import Tlb
from fuzz.execution.executor import Executor
from fuzz.language.program import ProgramError
from fuzz.language.text import parse
from reference.machine.tlb import CpuTlb

from ...good_bad.case import ORIGINAL, all_found, violations

TWO: Final = "vm vms=2 fwb=on\nslot a ipa=1G size=64K backing=anon\nslot b ipa=1G size=64K backing=anon vm=1\n"
BOTH: Final = f"{TWO}cpu0 write a+4K\ncpu2 write b+4K\n"


def run(text: str) -> Executor:
    """Run a program to its end without violations; return the executor."""
    program = parse(f"s2fuzz 1\n{text}")
    executor = Executor(ORIGINAL, program)
    assert executor.create() == []
    for at in range(len(program.operations)):
        outcome, found = executor.step(at)
        assert (outcome.status, found) == ("ok", [])
    return executor


def vmids(executor: Executor) -> list[int]:
    return [guest.hardware_vmid.vmid for guest in executor.side.guests]


def has(tlb: CpuTlb) -> bool:
    return any(tlb.leaves)


@pytest.mark.parametrize(
    ("entered", "numbers"), [("cpu0 read a+4K\ncpu2 read b+4K\n", [1, 2]), ("cpu3 read b+4K\ncpu0 read a+4K\n", [2, 1])]
)
def test_vmids_are_assigned_in_order_of_entry(entered: str, numbers: list[int]) -> None:
    assert vmids(run(f"{BOTH}cpu1 rollover\n{entered}")) == numbers


def test_a_rollover_empties_all_tlbs() -> None:
    executor = run(BOTH)
    assert [[has(tlb) for tlb in vm] for vm in executor.side.computer.tlbs] == [[True, False], [True, False]]
    executor = run(f"{BOTH}cpu1 rollover\n")
    assert not any(has(tlb) for vm in executor.side.computer.tlbs for tlb in vm)
    assert not any(guest.is_known_to_tlbs() for guest in executor.side.guests)


@pytest.mark.parametrize("enters", ["cpu2 cache on", "cpu2 setway", "cpu2 abort b+0", "cpu2 speculate b+4K"])
def test_operations_that_enter_the_guest(enters: str) -> None:
    assert all_vmids(f"{BOTH}cpu0 rollover\n{enters}\n") == [False, True]


@pytest.mark.parametrize("outside", ["cpu2 move 1", "cpu2 evict b+4K", "host migrate b+4K 4K"])
def test_operations_that_do_not_enter_the_guest(outside: str) -> None:
    assert all_vmids(f"{BOTH}cpu0 rollover\n{outside}\n") == [False, False]


def all_vmids(text: str) -> list[bool]:
    """Return for each VM whether it has a VMID of the current generation."""
    executor = Executor(ORIGINAL, program := parse(f"s2fuzz 1\n{text}"))
    executor.create()
    for at in range(len(program.operations)):
        executor.step(at)
    return [guest.is_known_to_tlbs() for guest in executor.side.guests]


def test_a_tlbi_with_an_old_vmid_only_removes_entries_of_another_vm() -> None:
    """Flush for VM 0 before it has a new VMID: its old VMID now belongs to VM 1."""
    swapped = f"{BOTH}cpu1 rollover\ncpu2 read b+4K\n"
    assert has(run(swapped).side.computer.tlbs[0][0])
    flushed = f"{swapped}table unmap a+4K 4K\n"
    assert not run(flushed).side.computer.tlbs[0][0].leaves[3]
    assert violations(ORIGINAL, f"{flushed}cpu2 read b+4K\ncpu0 read a+4K\ncpu1 read a+4K\n") == []


def test_a_flush_of_an_old_vmid_settles_nothing_of_its_new_owner() -> None:
    """Check that only VM 1's own VMID settles its pending flush, and that VM 0, without VMID, has no pending flush."""
    executor = run(f"{BOTH}cpu1 rollover\ncpu2 read b+4K\ntable unmap a+4K 4K\n")
    for tlb in executor.checkers.peers.each(Tlb):
        assert not tlb.owed.leaves
        assert not tlb.owed.tables


def test_a_rollover_is_refused_in_a_par_block() -> None:
    with pytest.raises(ProgramError, match="rollover in a par block"):
        parse(f"s2fuzz 1\n{BOTH}par\n  cpu0 read a+0\n  cpu2 rollover\nend\n")


def test_a_block_after_a_rollover() -> None:
    """Let both VMs get their VMIDs within the block."""
    text = f"{BOTH}cpu1 rollover\npar\n  cpu3 write b+8K\n  cpu0 write a+8K\n  switch cpu3 to cpu0 before lock 1\nend\n"
    assert violations(ORIGINAL, text) == []
    assert all(all_vmids(text))


def test_the_original_is_clean_for_each_order_of_entry() -> None:
    text = "".join(
        f"cpu{cpu} rollover\ncpu{first} read {slot}+4K\nhost discard {slot}+4K 4K\ncpu0 read a+4K\ncpu2 write b+8K\n"
        for cpu, first, slot in ((0, 0, "a"), (3, 2, "b"), (1, 3, "b"), (2, 1, "a"))
    )
    assert all_found(ORIGINAL, parse(f"s2fuzz 1\n{BOTH}{text}")) == []
