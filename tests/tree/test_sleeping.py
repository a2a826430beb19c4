# SPDX-License-Identifier: GPL-2.0-only
"""Threads that sleep: they go on when another one has woken them, and not before."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN
from tests.good_bad.case import violations

from ..unit.block_run import Run
from .trees import planted, version

HEAD: Final = "vm\nslot a size=2M backing=anon\ncpu0 write a+0\n"
# The change of the slot waits until the invalidation has ended.
BLOCK: Final = HEAD + "par\nhost0 discard a+0 4K\nuser0 slot a delete\nswitch host0 to user0 {}\nend\ncpu0 read a+0\n"
PLACES: Final = ("after start 1", "after change 1")
WAKE: Final = "\tif (wake)\n\t\trcuwait_wake_up(&kvm->mn_memslots_update_rcuwait);\n"
SLEEP: Final = "\t\tset_current_state(TASK_UNINTERRUPTIBLE);\n"


@pytest.mark.parametrize("name", ["6.1", "7.3"])
def test_a_wake_up_that_is_lost_is_a_deadlock(name: str, tmp_path: Path) -> None:
    tree = planted(name, tmp_path / "tree", KVM_MAIN, WAKE, "\t(void)wake;\n")
    for place in PLACES:
        run = Run(tree, f"s2fuzz 1\n{BLOCK.format(place)}")
        assert [each.what for each in run.violations] == ["deadlock"]
        assert run.outcomes[-1].detail == "user0 waits for another actor to wake it"


@pytest.mark.parametrize("name", ["6.1", "6.12", "7.3"])
def test_kernels_wake_whom_they_have_put_to_sleep(name: str) -> None:
    for place in PLACES:
        run = Run(version(name), f"s2fuzz 1\n{BLOCK.format(place)}")
        assert (run.violations, run.outcomes[-1].status) == ([], "io")
        assert run.count("waits for another actor") == 1


def test_a_thread_is_woken_by_its_own_name_too(tmp_path: Path) -> None:
    wake = "\tif (wake && kvm->mn_memslots_update_rcuwait.task)\n\t\twake_up_process({});\n"
    task = "rcu_access_pointer(kvm->mn_memslots_update_rcuwait.task)"
    tree = planted("7.3", tmp_path / "tree", KVM_MAIN, WAKE, wake.format(task))
    assert Run(tree, f"s2fuzz 1\n{BLOCK.format(PLACES[0])}").violations == []
    # The one that runs is not the one that sleeps.
    tree = planted("7.3", tmp_path / "another", KVM_MAIN, WAKE, wake.format("current"))
    run = Run(tree, f"s2fuzz 1\n{BLOCK.format(PLACES[0])}")
    assert [each.what for each in run.violations] == ["deadlock"]


def test_who_is_alone_does_not_sleep_for_ever(tmp_path: Path) -> None:
    prepare = "\tprepare_to_rcuwait(&kvm->mn_memslots_update_rcuwait);\n"
    tree = planted("7.3", tmp_path / "tree", KVM_MAIN, prepare, f"{prepare}{SLEEP}\t\tschedule();\n")
    found = violations(candidate.get(tree), "vm\nslot a size=2M backing=anon\n")
    assert [each.what for each in found] == ["oops endless sleep in kvm_swap_active_memslots"]
    # A wake-up may come first.
    woken = f"{prepare}{SLEEP}\t\trcuwait_wake_up(&kvm->mn_memslots_update_rcuwait);\n\t\tschedule();\n"
    tree = planted("7.3", tmp_path / "woken", KVM_MAIN, prepare, woken)
    assert violations(candidate.get(tree), HEAD) == []
