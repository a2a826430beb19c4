# SPDX-License-Identifier: GPL-2.0-only
"""Wait queues, completions and timeouts: a thread sleeps until another one, or a work, wakes it."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN
from tests.good_bad.case import violations

from ..unit.block_run import Run
from .dirty_log_call import HEAD, PROGRAM, tree_with
from .trees import edited

TREES: Final = ("6.1", "6.12", "7.3")
TRIED: Final = """
#include <linux/completion.h>
#include <linux/pagemap.h>
#include <linux/swait.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>
static DECLARE_WAIT_QUEUE_HEAD(tried_queue);
static DECLARE_SWAIT_QUEUE_HEAD(tried_simple);
static DECLARE_COMPLETION(tried_done);
static unsigned long tried_word;
static int tried_steps;
static void tried_work(struct work_struct *work)
{
	tried_word = 0;
	tried_steps++;
	wake_up(&tried_queue);
	swake_up_one(&tried_simple);
	wake_up_var(&tried_steps);
	wake_up_bit(&tried_word, 0);
	complete(&tried_done);
}
static DECLARE_WORK(tried_later, tried_work);
static noinline void tried(struct kvm *kvm)
{
	%s
}
"""
# Each wait ends because a work runs meanwhile. A timeout ends without one.
RIGHT: Final = """
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	unsigned long before;

	schedule_work(&tried_later);
	wait_event(tried_queue, tried_steps == 1);
	schedule_work(&tried_later);
	BUG_ON(wait_event_interruptible(tried_queue, tried_steps == 2));
	schedule_work(&tried_later);
	swait_event_exclusive(tried_simple, tried_steps == 3);
	schedule_work(&tried_later);
	wait_var_event(&tried_steps, tried_steps == 4);
	schedule_work(&tried_later);
	tried_word = 1;
	BUG_ON(wait_on_bit(&tried_word, 0, TASK_UNINTERRUPTIBLE) || tried_steps != 5);
	BUG_ON(!completion_done(&tried_done));
	while (try_wait_for_completion(&tried_done))
		;
	schedule_work(&tried_later);
	wait_for_completion(&tried_done);
	BUG_ON(tried_steps != 6 || completion_done(&tried_done));
	schedule_work(&tried_later);
	BUG_ON(!wait_for_completion_timeout(&tried_done, HZ) || tried_steps != 7);
	before = jiffies;
	BUG_ON(wait_for_completion_timeout(&tried_done, HZ) || jiffies - before < HZ);
	before = jiffies;
	BUG_ON(wait_event_timeout(tried_queue, tried_steps > 7, 20) || jiffies - before < 20);
	BUG_ON(!wait_event_timeout(tried_queue, tried_steps == 7, 20) || waitqueue_active(&tried_queue));
	complete_all(&tried_done);
	wait_for_completion(&tried_done);
	BUG_ON(!completion_done(&tried_done));
	reinit_completion(&tried_done);
	BUG_ON(completion_done(&tried_done));
	BUG_ON(schedule_timeout_uninterruptible(5) || !task_is_running(current));
	lock_page(page);
	BUG_ON(!PageLocked(page) || trylock_page(page));
	unlock_page(page);
	BUG_ON(PageLocked(page));
	__free_page(page);
"""


@pytest.mark.parametrize("name", TREES)
def test_a_wait_ends_when_a_work_or_the_clock_ends_it(name: str, tmp_path: Path) -> None:
    assert violations(candidate.get(tree_with(name, tmp_path / "tree", RIGHT, TRIED)), PROGRAM) == []


WRONG: Final = {
    "nobody wakes it": ("wait_for_completion(&tried_done);", "oops endless sleep in tried"),
    "it sleeps under the mmu lock": (
        (
            "complete(&tried_done); write_lock(&kvm->mmu_lock); wait_for_completion(&tried_done); "
            "write_unlock(&kvm->mmu_lock);"
        ),
        "sleeping call under mmu_lock",
    ),
    "it may sleep with a spinlock": (
        "static DEFINE_SPINLOCK(spin); spin_lock(&spin); wait_event(tried_queue, tried_word == 0); spin_unlock(&spin);",
        "sleeping call in atomic context",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_waits_are_found(what: str, tmp_path: Path) -> None:
    statements, expected = WRONG[what]
    found = violations(candidate.get(tree_with("7.3", tmp_path / "tree", statements, TRIED)), PROGRAM)
    assert [each.what for each in found] == [expected]


# User space waits in its call for the end of an invalidation.
NOTIFIER: Final = "static int kvm_mmu_notifier_invalidate_range_start("
START: Final = "\ttrace_kvm_unmap_hva_range(range->start, range->end);\n"
WAITED: Final = "#include <linux/completion.h>\nstatic DECLARE_COMPLETION(tried_done);\n"
WAIT: Final = "\tint __maybe_unused tried_first = (wait_for_completion(&tried_done), 0);\n"
PAR: Final = (
    "s2fuzz 1\nvm\nslot a size=64K backing=anon log=on\ncpu0 write a+0\npar\nuser0 log a get\n"
    "host0 discard a+0 4K\nend\n"
)


def test_another_thread_ends_a_wait(tmp_path: Path) -> None:
    edits = ((NOTIFIER, WAITED + NOTIFIER), (START, f"{START}\tcomplete(&tried_done);\n"), (HEAD, HEAD + WAIT))
    run = Run(edited("7.3", tmp_path / "tree", KVM_MAIN, edits), PAR)
    assert run.violations == []
    assert run.count("waits for another actor") == 1
