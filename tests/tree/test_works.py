# SPDX-License-Identifier: GPL-2.0-only
"""Works of workqueues run once each, in order, when a call of kernel code is over."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from tests.good_bad.case import violations

from ..unit.block_run import Run
from .dirty_log_call import tree_calling

TREES: Final = ("6.1", "6.12", "7.3")
# Each call for a dirty log first runs a step.
STEPS: Final = """
#include <linux/workqueue.h>
static int work_ran, work_step, work_done;
static struct kvm *work_kvm;
static void work_function(struct work_struct *work)
{
	work_ran++;
	%s
}
static DECLARE_WORK(work_tried, work_function);
static DECLARE_DELAYED_WORK(work_delayed, work_function);
static noinline void tried(struct kvm *kvm)
{
	work_kvm = kvm;
	switch (work_step++) {
	%s
	}
}
"""
PROGRAM: Final = "vm\nslot a size=64K backing=anon log=on\ncpu0 write a+0\nlog a get\nlog a get\nlog a get\n"
RIGHT: Final = """
	case 0:
		BUG_ON(!schedule_work(&work_tried) || schedule_work(&work_tried) || !work_pending(&work_tried));
		BUG_ON(!schedule_delayed_work(&work_delayed, HZ) || work_ran);
		break;
	case 1:
		BUG_ON(work_ran != 2 || work_pending(&work_tried));
		BUG_ON(!schedule_work(&work_tried) || !flush_work(&work_tried) || work_ran != 3 || flush_work(&work_tried));
		BUG_ON(!schedule_work(&work_tried) || !cancel_work_sync(&work_tried) || cancel_work_sync(&work_tried));
		BUG_ON(!schedule_delayed_work(&work_delayed, HZ) || mod_delayed_work(system_wq, &work_delayed, 1) != true);
		BUG_ON(!cancel_delayed_work_sync(&work_delayed) || cancel_delayed_work(&work_delayed));
		break;
	case 2: {
		struct workqueue_struct *queue = alloc_workqueue("tried", 0, 0);

		BUG_ON(work_ran != 3 || !queue || !queue_work(queue, &work_tried));
		flush_workqueue(queue);
		BUG_ON(work_ran != 4 || !queue_work(queue, &work_tried));
		destroy_workqueue(queue);
		BUG_ON(work_ran != 5);
		break;
	}
"""


def tree_with(name: str, folder: Path, body: str, steps: str) -> str:
    """Copy a tree so that its dirty log has these steps; return the name of the version."""
    return tree_calling(name, folder, STEPS % (body, steps))


@pytest.mark.parametrize("name", TREES)
def test_works_run_as_linux_documents(name: str, tmp_path: Path) -> None:
    assert violations(candidate.get(tree_with(name, tmp_path / "tree", "", RIGHT)), PROGRAM) == []


def test_a_work_that_queues_itself_runs_once_a_call(tmp_path: Path) -> None:
    steps = "case 0: schedule_work(&work_tried); break;\n\tcase 2: BUG_ON(work_ran != 2);"
    tree = tree_with("7.3", tmp_path / "tree", "schedule_work(work);", steps)
    assert violations(candidate.get(tree), PROGRAM) == []


# A work is kernel code like other code.
WRONG: Final = {
    "a lock that stays taken": ("mutex_lock(&work_kvm->slots_arch_lock);", "another lock still held"),
    "a sleep": (
        "write_lock(&work_kvm->mmu_lock); synchronize_rcu(); write_unlock(&work_kvm->mmu_lock);",
        "sleeping call under mmu_lock",
    ),
    "a crash": ("BUG();", "oops BUG() in work_function"),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_of_a_work_are_found(what: str, tmp_path: Path) -> None:
    body, expected = WRONG[what]
    tree = tree_with("7.3", tmp_path / "tree", body, "case 0: schedule_work(&work_tried); break;")
    assert expected in [each.what for each in violations(candidate.get(tree), PROGRAM)]


def test_a_work_takes_locks_that_the_call_has_dropped(tmp_path: Path) -> None:
    body = "mutex_lock(&work_kvm->slots_lock); mutex_unlock(&work_kvm->slots_lock);"
    tree = tree_with("7.3", tmp_path / "tree", body, "case 0: schedule_work(&work_tried); break;")
    assert violations(candidate.get(tree), PROGRAM) == []


# The work of one thread is interrupted, and another thread waits for it.
WAITING: Final = """
	case 0: schedule_work(&work_tried); break;
	case 1: BUG_ON(work_ran != 1 || work_done || !flush_work(&work_tried) || !work_done); break;
"""
PAR: Final = (
    "vm\nslot a size=64K backing=anon log=on\nslot b size=64K backing=anon log=on\npar\nuser0 log a get\n"
    "user1 log b get\nswitch user0 to user1 after lock 2\nend\n"
)


def test_another_thread_waits_for_a_work(tmp_path: Path) -> None:
    body = "write_lock(&work_kvm->mmu_lock);\n\twrite_unlock(&work_kvm->mmu_lock);\n\twork_done = 1;"
    run = Run(tree_with("7.3", tmp_path / "tree", body, WAITING), f"s2fuzz 1\n{PAR}")
    assert (run.violations, run.count("waits for a lock, which user0 holds")) == ([], 1)
