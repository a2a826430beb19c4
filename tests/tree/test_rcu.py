# SPDX-License-Identifier: GPL-2.0-only
"""RCU in a tree: readers, callbacks in order, and the rules for tables that are detached during other walks."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import ARM, MMU, PGTABLE
from fuzz.execution.executor import Executor
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse
from fuzz.reports.trace import Trace

from .runs import trace, violations
from .trees import changed, planted, real_tree, version

READS: Final = f"{ARM}/include/asm/kvm_pgtable.h"
# A walk becomes a reader.
READER: Final = "\tif (walker->flags & KVM_PGTABLE_WALK_SHARED)\n\t\trcu_read_lock();\n"
# A table is handed to RCU, to be freed later.
CALLED: Final = "\tcall_rcu(&page->rcu_head, stage2_free_unlinked_table_rcu_cb);"
HANDED: Final = "lifetime: stage2_map_walker: walk of a table that was handed to RCU, outside of rcu_read_lock"
# Two tables become blocks.
COALESCE: Final = parse(
    "s2fuzz 1\nvm fwb=on\nslot a size=4M backing=thp log=on\ncpu0 read a+0\ncpu0 read a+2M\nlog a off\n"
    "cpu0 read a+4K\ncpu0 read a+2052K\n"
)
# stage2_map_walk_table_pre() detaches a table ...
CUTS: Final = "\tret = stage2_map_walker_try_leaf(ctx, data);\n\tif (ret)\n\t\treturn ret;\n\n"
# Code of kvm_pgtable_stage2_map(), after the walk.
MAPPED: Final = "\tdsb(ishst);\n\treturn ret;\n}\n\nint kvm_pgtable_stage2_set_owner("
# ... and hands it to RCU.
HANDS_OVER: Final = "\tmm_ops->free_unlinked_table(childp, ctx->level);\n"


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
def test_a_detached_table_is_freed_after_the_readers(tree: str) -> None:
    lines = trace(version(tree), COALESCE)
    called = [line for line in lines if line.startswith("call_rcu")]
    assert [line.split(",")[0] for line in called] == ["call_rcu: callback 0", "call_rcu: callback 1"]
    at = lines.index(called[0])
    end = lines.index("a grace period has passed: callback 0 runs")
    assert "rcu_read_lock" in lines[:at]
    assert "rcu_read_unlock" in lines[at:end]
    assert "lock mmu, shared" in lines[:at]
    assert any(line.startswith("put_page: 0") for line in lines[end:])
    assert not any(line.startswith("put_page: 0") for line in lines[:end])
    assert "a grace period has passed: callback 1 runs" in lines[end:]
    assert violations(version(tree), COALESCE) == []


@pytest.mark.parametrize("tree", ["5.12.9", "6.1"])
def test_trees_without_rcu_break_no_rule(tree: str) -> None:
    lines = trace(version(tree), COALESCE)
    assert any(line.startswith(("put_page: 0", "free_page: 0")) for line in lines)
    assert not any(line.startswith(("rcu", "call_rcu")) or "callback" in line for line in lines)
    assert violations(version(tree), COALESCE) == []


def test_a_walk_that_is_no_reader(tmp_path: Path) -> None:
    unprotected = "lifetime: stage2_map_walker: walk under a shared mmu_lock outside of rcu_read_lock"
    unbalanced = "locking: kvm_handle_guest_abort: rcu_read_unlock without rcu_read_lock"
    tree = planted("6.12", tmp_path / "tree", READS, READER, "")
    verdict = Differential(candidate.get(version("6.12")), candidate.get(tree)).run(COALESCE)
    worse = [each.signature for each in verdict.findings if each.kind == REGRESSION]
    assert worse[:2] == [unprotected, unbalanced]
    # In a tree whose walks are never readers, they need not be.
    found = violations(tree, COALESCE)
    assert unprotected not in found
    assert unbalanced in found


def after(tree: str, grace: int) -> list[int]:
    """Return the steps in which callbacks of `COALESCE` run: 0 is the creation, the last one is the destruction."""
    program = replace(COALESCE, vm=replace(COALESCE.vm, grace=grace))
    executor = Executor(candidate.get(tree), program)
    lines = Trace(executor)
    steps = [lines.take(executor.create(), None)]
    for at in range(len(program.operations)):
        outcome, found = executor.step(at)
        assert found == []
        steps.append(lines.take(found, outcome))
    assert executor.destroy() == []
    steps.append(lines.take([], None))
    executor.dismantle()
    return [at for at, step in enumerate(steps) for line in step if line.text.startswith("a grace period has passed")]


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
def test_a_program_determines_when_a_grace_period_ends(tree: str) -> None:
    # Steps 4 and 5 are the reads that replace tables by blocks; each has one reader.
    assert after(version(tree), 1) == [4, 5]
    assert after(version(tree), 2) == [4, 5]
    assert after(version(tree), 3) == [5, 5]
    assert after(version(tree), 5) == [6, 6]


def test_a_late_read_is_seen_with_a_short_grace_period(tmp_path: Path) -> None:
    """The detached table is read once more after the walk."""
    text = HANDS_OVER + "\treturn 0;\n"
    source = (real_tree("6.12") / PGTABLE).read_text()
    for old, new in (
        ("static int stage2_map_walk_table_pre(", "static kvm_pte_t *cut;\nstatic int stage2_map_walk_table_pre("),
        (text, "\tcut = childp;\n" + text),
        (MAPPED, "\tif (cut)\n\t\tREAD_ONCE(*cut);\n\tcut = NULL;\n" + MAPPED),
    ):
        assert source.count(old) == 1
        source = source.replace(old, new)
    tree = f"{PREFIX}{changed(real_tree('6.12'), tmp_path / 'tree', {PGTABLE: source})}"
    # Even if the table still exists, the read is a violation: the table may be freed at any time.
    assert violations(tree, COALESCE) == [HANDED] * 2
    found = violations(tree, replace(COALESCE, vm=replace(COALESCE.vm, grace=1)))
    assert "lifetime: stage2_map_walker: walk of a freed table" in found


def test_freed_at_once(tmp_path: Path) -> None:
    tree = planted("6.12", tmp_path / "tree", MMU, CALLED, "\tstage2_free_unlinked_table_rcu_cb(&page->rcu_head);")
    found = violations(tree, COALESCE)
    assert found == ["lifetime: stage2_map_walker: freed before a grace period"] * 2


def test_handed_to_rcu_before_it_is_detached(tmp_path: Path) -> None:
    tree = planted("6.12", tmp_path / "tree", PGTABLE, CUTS + HANDS_OVER, HANDS_OVER + CUTS)
    assert "lifetime: stage2_map_walker: handed to RCU while reachable" in violations(tree, COALESCE)


BESIDE = "s2fuzz 1\nvm\nslot a ipa=1G size=2M backing=thp log=on\n"
WORKS_ON = {
    "makes an entry": (
        "cpu0 read a+4K\npar\ncpu0 read a+0\nuser0 log a off\ncpu1 read a+0\nswitch cpu0 to user0 before lock 1\n"
        "switch cpu0 to cpu1 before store 1\nswitch cpu1 to cpu0 before cmpxchg 1\nswitch cpu1 to cpu0 before flush 1\n"
    ),
    "gives more rights": (
        "cpu0 read a+32K\npar\ncpu0 write a+32K\nuser0 log a off\ncpu1 read a+0\nswitch cpu0 to user0 before lock 1\n"
        "switch cpu1 to cpu0 before cmpxchg 1\nswitch cpu0 to cpu1 before cmpxchg 1\n"
        "switch cpu1 to cpu0 before flush 1\n"
    ),
}


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
@pytest.mark.parametrize("what", WORKS_ON)
def test_a_reader_in_a_table_that_another_actor_detaches(what: str, tree: str) -> None:
    """The pending flush covers the reader's changes."""
    assert violations(version(tree), parse(f"{BESIDE}{WORKS_ON[what]}end\n")) == []


def test_a_detached_table_may_be_freed_while_the_vm_is_destroyed() -> None:
    """Its grace period ends during the destruction, before the root is unlinked."""
    text = (
        "s2fuzz 1\nvm cpus=1 haf=on grace=4\nslot a ipa=1G size=2M backing=thp\ntable map a+0 4K r\ncpu0 write a+0\n"
        "host age a+0 4K\ncpu0 read a+0\n"
    )
    tree = candidate.get(version("6.12"))
    findings = Differential(tree, tree).run(parse(text)).findings
    assert [each.signature for each in findings if each.signature.startswith("lifetime: ")] == []
