# SPDX-License-Identifier: GPL-2.0-only
"""Sleeping threads continue only after another thread has woken them."""

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
# Without the spinlock of the caller.
UNLOCKED: Final = (
    "\t\tspin_unlock(&kvm->mn_invalidate_lock);\n\t\tschedule();\n\t\tspin_lock(&kvm->mn_invalidate_lock);\n"
)


@pytest.mark.parametrize("name", ["6.1", "7.3"])
def test_a_lost_wake_up_is_a_deadlock(name: str, tmp_path: Path) -> None:
    tree = planted(name, tmp_path / "tree", KVM_MAIN, WAKE, "\t(void)wake;\n")
    for place in PLACES:
        run = Run(tree, f"s2fuzz 1\n{BLOCK.format(place)}")
        assert [each.what for each in run.violations] == ["deadlock"]
        assert run.outcomes[-1].detail == "user0 waits for another actor to wake it"


@pytest.mark.parametrize("name", ["6.1", "6.12", "7.3"])
def test_kernels_wake_their_sleepers(name: str) -> None:
    for place in PLACES:
        run = Run(version(name), f"s2fuzz 1\n{BLOCK.format(place)}")
        assert (run.violations, run.outcomes[-1].status) == ([], "io")
        assert run.count("waits for another actor") == 1


def test_wake_up_process_wakes_a_thread_too(tmp_path: Path) -> None:
    wake = "\tif (wake && kvm->mn_memslots_update_rcuwait.task)\n\t\twake_up_process({});\n"
    task = "rcu_access_pointer(kvm->mn_memslots_update_rcuwait.task)"
    tree = planted("7.3", tmp_path / "tree", KVM_MAIN, WAKE, wake.format(task))
    assert Run(tree, f"s2fuzz 1\n{BLOCK.format(PLACES[0])}").violations == []
    # The current task is not the sleeping one.
    tree = planted("7.3", tmp_path / "another", KVM_MAIN, WAKE, wake.format("current"))
    run = Run(tree, f"s2fuzz 1\n{BLOCK.format(PLACES[0])}")
    assert [each.what for each in run.violations] == ["deadlock"]


def test_a_lone_thread_does_not_sleep_forever(tmp_path: Path) -> None:
    prepare = "\tprepare_to_rcuwait(&kvm->mn_memslots_update_rcuwait);\n"
    tree = planted("7.3", tmp_path / "tree", KVM_MAIN, prepare, f"{prepare}{SLEEP}{UNLOCKED}")
    found = violations(candidate.get(tree), "vm\nslot a size=2M backing=anon\n")
    assert [each.what for each in found] == ["oops endless sleep in kvm_swap_active_memslots"]
    # The wake-up may come before the sleep.
    woken = f"{prepare}{SLEEP}\t\trcuwait_wake_up(&kvm->mn_memslots_update_rcuwait);\n{UNLOCKED}"
    tree = planted("7.3", tmp_path / "woken", KVM_MAIN, prepare, woken)
    assert violations(candidate.get(tree), HEAD) == []
