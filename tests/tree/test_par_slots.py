# SPDX-License-Identifier: GPL-2.0-only
"""Slots that are created, moved and deleted while other actors run, in kernel trees."""

from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.source import KVM_MAIN

from ..unit.block_run import Run
from ..unit.execution.slot_blocks import CHANGES, HEAD, PLACES, USER_PLACES, block
from .trees import edited, planted, real_trees, version

TREE: Final = "6.12"
# 6.12 and 7.3 break entries by a compare-exchange.
BROKEN: Final = "after cmpxchg 1"


def other_than_r1(run: Run) -> list[str]:
    """Return the signatures of violations, except those of a bug of many trees (R1 of docs/kernel-trees.md)."""
    return [each.signature for each in run.violations if "marked accessed, not held" not in each.signature]


@pytest.mark.parametrize("name", real_trees() or [TREE])
def test_slots_change_during_a_fault(name: str) -> None:
    tree = version(name)
    for change in CHANGES:
        for place in (*PLACES[1::2], BROKEN):
            run = Run(tree, block("write a+0", change, f"cpu0 to user0 {place}"))
            assert (change, place, other_than_r1(run), run.refused) == (change, place, [], "")
        for place in USER_PLACES:
            run = Run(tree, block("write a+4K", change, f"user0 to cpu0 {place}", "user0"))
            assert (change, place, other_than_r1(run)) == (change, place, [])


@pytest.mark.parametrize("name", real_trees() or [TREE])
def test_waits_and_outcomes_of_faults(name: str) -> None:
    tree = version(name)
    run = Run(tree, block("write a+0", "slot a delete", "cpu0 to user0 after lookup 1"))
    assert run.count("waits for the srcu lock, which cpu0 holds") == 1
    assert [part.status for part in run.outcomes[1].parts] == ["ok", "ok"]
    run = Run(tree, block("write a+0", "slot a delete", "user0 to cpu0 before lock 1", "user0"))
    assert [part.status for part in run.outcomes[1].parts] == ["ok", "io"]
    # 5.12 looks the slot up again; later trees continue with the slot that they have found.
    run = Run(tree, block("write a+0", "slot a delete", "cpu0 to user0 before lookup 1"))
    assert run.outcomes[1].parts[0].status == ("efault" if name == "5.12.9" else "ok")


@pytest.mark.parametrize("name", real_trees() or [TREE])
def test_host_threads_during_a_change(name: str) -> None:
    tree = version(name)
    for change in CHANGES:
        for operation in ("discard a+4K 4K", "migrate a+4K 4K", "unmap a+4K 4K"):
            for place in ("after start 1", "after change 1", "before unlock 1"):
                text = HEAD + f"cpu1 read a+4K\npar\nhost0 {operation}\nuser0 {change}\n"
                run = Run(tree, text + f"switch host0 to user0 {place}\nend\ncpu0 read b+0\n")
                assert (change, operation, place, other_than_r1(run)) == (change, operation, place, [])


# A ring of 256 entries, of which 64 are reserved. The next run of the vCPU makes user space reset it, under slots_lock.
FULL: Final = (
    "s2fuzz 1\nvm ring=4K\nslot a size=2M backing=anon log=on\nslot b ipa=6G size=2M backing=anon\n"
    + "".join(f"cpu0 write a+{4 * page}K\n" for page in range(191))
    + "par\nuser0 slot b delete\ncpu0 write a+1M\nswitch user0 to cpu0 {}\nend\nlog a get\n"
)


def test_calls_that_change_or_read_slots_exclude_each_other() -> None:
    """A caller that waits for an SRCU reader continues after the reader's fault, even if the vCPU waits for it."""
    for place, waits in (("before lock 1", 1), ("after lock 1", 1), ("after unlock 1", 1), ("after lock 9", 0)):
        run = Run(version(TREE), FULL.format(place))
        assert (place, run.violations) == (place, [])
        assert (place, run.count("waits for a lock, which user0 holds")) == (place, waits)
        assert run.outcomes[-1].value_text() == "dirty pages 0-190, 256"


# A page of slot b keeps the table.
GOING: Final = (
    "s2fuzz 1\nvm\nslot a ipa=1G size=1M backing=anon\nslot b ipa=1025M size=1M backing=anon\ncpu0 read a+4K\n"
    "cpu0 read b+0\npar\nuser0 slot a delete\nhost0 merge a+4K\nswitch user0 to host0 after unlock 1\nend\n"
)


def test_change_pte_maps_a_page_of_a_slot_that_is_being_deleted() -> None:
    """The bug C2 of docs/bugs-found.md."""
    trees = real_trees()
    for name in ("original", "v5.14", *map(version, (each for each in trees if each == "5.12.9"))):
        found = {violation.signature for violation in Run(name, GOING).violations}
        assert "translation: kvm_pgtable_stage2_unmap: still mapped after unmapping L3" in found
        assert any("leaf outside of any slot" in each for each in found)
    for name in map(version, (each for each in trees if each in ("6.1", "6.12", "7.3"))):
        assert Run(name, GOING).violations == []


def test_slots_that_are_installed_without_a_grace_period_are_found(tmp_path: Path) -> None:
    wait = "\tmutex_unlock(&kvm->slots_arch_lock);\n\n\tsynchronize_srcu_expedited(&kvm->srcu);\n"
    name = planted(TREE, tmp_path / "tree", KVM_MAIN, wait, "\tmutex_unlock(&kvm->slots_arch_lock);\n")
    text = block("write a+0", "slot a delete", "cpu0 to user0 after lookup 1")
    assert Run(version(TREE), text).violations == []
    found = {violation.signature for violation in Run(name, text).violations}
    assert any("leaf outside of any slot" in each or "still mapped after unmapping" in each for each in found), found


# The slots are installed with one marked invalid, and readers are waited for; then this slot is unmapped.
SWAPPED: Final = "\tkvm_swap_active_memslots(kvm, old->as_id);\n\n\t/*\n\t * From this point"
UNMAPPED: Final = "\tkvm_arch_flush_shadow_memslot(kvm, old);\n\tkvm_arch_guest_memory_reclaimed(kvm);\n"
EARLY: Final = (SWAPPED, "\tkvm_arch_flush_shadow_memslot(kvm, old);\n" + SWAPPED)
NOT_AGAIN: Final = (UNMAPPED, "\tkvm_arch_guest_memory_reclaimed(kvm);\n")


@pytest.mark.parametrize("change", ["delete", "move 8G"])
def test_a_slot_unmapped_before_it_is_invalid_is_found_with_one_actor(tmp_path: Path, change: str) -> None:
    text = f"s2fuzz 1\nvm\nslot a ipa=1G size=2M backing=anon\ncpu0 read a+4K\nslot a {change}\n"
    twice = edited(TREE, tmp_path / "twice", KVM_MAIN, [EARLY])
    once = edited(TREE, tmp_path / "once", KVM_MAIN, [EARLY, NOT_AGAIN])
    assert [other_than_r1(Run(name, text)) for name in (version(TREE), twice)] == [[], []]
    expected = "fault-order: kvm_set_memory_region: slot unmapped before it was marked invalid"
    assert other_than_r1(Run(once, text)) == [expected]
