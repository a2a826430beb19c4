# SPDX-License-Identifier: GPL-2.0-only
"""Events of code that trees have and the ports lack."""

from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from candidate.tree.runtime import records as r
from candidate.tree.runtime.pool import POOL
from candidate.tree.runtime.tree import TreeSide
from candidate.tree.runtime.versions import TreeMain
from fuzz.language.text import parse
from fuzz.reports.sidebyside import record
from reference.kvm_main import KvmMain

from ..good_bad.case import all_found
from .fidelity import Stream, difference
from .runs import MAPS, trace, violations
from .trees import planted, real_tree, real_trees, version


def test_runs_release_the_processes_of_trees() -> None:
    tree = candidate.get(version())
    assert any(section.rows for section in record(MAPS, tree, tree))
    assert POOL.serving() == []
    assert all_found(tree, MAPS) == []
    assert POOL.serving() == []


KVM_MMU = "arch/arm64/include/asm/kvm_mmu.h"
FETCHES = "s2fuzz 1\nvm\nslot a size=4M backing=thp\nslot b size=64K backing=anon\ncpu0 fetch b+0\ncpu0 fetch a+0\n"


@pytest.mark.parametrize("tree", real_trees())
def test_executable_pages_are_invalidated_line_by_line(tree: str) -> None:
    """Trees that read the line length, by code patched at boot, invalidate everything instead of a block."""
    found = [line for line in trace(version(tree), parse(FETCHES)) if line.startswith("I-cache")]
    asks = "__invalidate_icache_max_range" in (real_tree(tree) / KVM_MMU).read_text()
    block = "I-cache invalidate all" if asks else "I-cache invalidate 2M at 0x100000000"
    assert found == ["I-cache invalidate 4K at 0x100400000", block]


AGES = (
    "s2fuzz 1\nvm\nslot a size=4M backing=thp\nslot b size=64K backing=anon\ncpu0 write a+0\ncpu0 write b+0\n"
    "cpu0 write b+8K\nhost age b+0 64K flush=off\nhost split a+0\nhost age a+0 4M\nhost age b+0 64K\n"
)


@pytest.mark.parametrize("tree", real_trees())
def test_pages_that_are_aged_in_one_call(tree: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is the same as one by one, and each young page is reported."""
    program, calls = parse(AGES), []
    call = TreeSide.call

    def counted(self: TreeSide, op: int, *args: int) -> int:
        calls.append(op)
        return call(self, op, *args)

    monkeypatch.setattr(TreeSide, "call", counted)
    at_once = trace(version(tree), program)
    assert calls.count(r.OP_AGE) < 10
    assert r.OP_CLEAR_YOUNG not in calls
    monkeypatch.setattr(TreeMain, "age", KvmMain.age)
    assert trace(version(tree), program) == at_once
    assert calls.count(r.OP_CLEAR_YOUNG) == 16
    assert calls.count(r.OP_FLUSH_YOUNG) > 100


def test_exchanges_that_win() -> None:
    lines = trace(version("6.12"))
    assert "L3 0x40000000=a+0: compare-exchange" in lines
    before = lines[lines.index("L3 0x40000000=a+0: compare-exchange") - 1]
    assert before.startswith("L3 0x40000000=a+0: ")
    assert before.endswith(", release")
    assert not any("lost" in line for line in lines)


def test_exchanges_that_lose(tmp_path: Path) -> None:
    lines = trace(
        planted(
            "6.12",
            tmp_path / "tree",
            PGTABLE,
            "cmpxchg(ctx->ptep, ctx->old, new)",
            "cmpxchg(ctx->ptep, ~ctx->old, new)",
        )
    )
    assert any(line.startswith("L1 0x40000000=a+0: compare-exchange lost, empty stays, not ") for line in lines)
    assert not any(line.endswith(": compare-exchange") for line in lines)


RELAXES = parse(
    "s2fuzz 1\nvm cpus=2\nslot a size=4M backing=anon\ncpu0 read a+0\ncpu1 read a+0\ncpu1 fetch a+0\ncpu0 fetch a+0\n"
)
UNMAPS = parse(
    "s2fuzz 1\nvm cpus=2\nslot a size=4M backing=anon\ncpu0 write a+0\ncpu0 write a+4K\nhost migrate a+0 4K\n"
)
# The flush of an unmapped leaf.
FLUSH = """\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu, ctx->addr,
\t\t\t\t     ctx->level);"""


def test_a_flush_of_one_cpu() -> None:
    lines = trace(version("6.12"), RELAXES)
    assert "TLB flush 0x40000000=a+0, hint L3, of CPU 1 only" in lines
    # The other CPU still has the page without execution; it takes a fault of its own.
    assert "TLB flush 0x40000000=a+0, hint L3, of CPU 0 only" in lines
    assert violations(version("6.12"), RELAXES) == []


def test_a_flush_of_one_cpu_where_all_need_one(tmp_path: Path) -> None:
    assert violations(version("6.12"), UNMAPS) == []
    found = violations(planted("6.12", tmp_path / "tree", PGTABLE, FLUSH, FLUSH.replace("_ipa,", "_ipa_nsh,")), UNMAPS)
    assert "tlb: stage2_unmap_walker: leaf not flushed L3" in found


# The slot crosses the boundary at which ranges are split.
LOGS = "slot a ipa=0x3fe00000 size=4M backing=anon\ncpu0 write a+0\ncpu0 write a+2M\nlog a on\n"
DROPPED = ["cond_resched_lock", "unlock mmu", "lock mmu"]


@pytest.mark.parametrize("tree", ["5.12.9", "6.1", "6.12", "7.3"])
def test_the_lock_is_dropped_as_the_program_specifies(tree: str) -> None:
    never, always = [parse(f"s2fuzz 1\nvm{setting}\n{LOGS}") for setting in ("", " resched=1")]
    lines = trace(version(tree), never)
    assert "cond_resched_lock" in lines
    lines = trace(version(tree), always)
    dropped = [lines[at : at + 3] for at, line in enumerate(lines) if line == DROPPED[0]]
    assert dropped
    assert all(each == DROPPED for each in dropped)
    assert violations(version(tree), always) == []


def test_port_and_tree_drop_the_lock_alike() -> None:
    for setting in "resched=1", "resched=2", "contended=1", "contended=2":
        program = parse(f"s2fuzz 1\nvm {setting}\n{LOGS}log a off\nlog a on\n")
        assert difference(Stream("v5.12.9", program), Stream(version("5.12.9"), program)) == ""


# Two blocks are split piece by piece. The memory cache is full for each piece except the first one after a split.
SPLITS = "slot a size=4M backing=thp\ncpu0 write a+0\ncpu0 write a+2M\nlog a on\n"
ASKED = ["unlock mmu", "cond_resched"]


def asked(tree: str, setting: str) -> list[str]:
    """Return the lines of a trace in which eager splitting checks for other tasks, drops the lock, or tops up."""
    if not candidate.get(version(tree)).main.SPLITS_EAGERLY:
        pytest.skip(f"{tree} does not split eagerly")
    lines = trace(version(tree), parse(f"s2fuzz 1\nvm split=4K{setting}\n{SPLITS}"))
    wanted = ("need_resched: ", "rwlock_is_contended: ", "cond_resched", "unlock mmu", "lock mmu", "topup")
    found = [line for line in lines if line.startswith(wanted)]
    return found[next(at for at, line in enumerate(found) if line.startswith("need_resched")) :]


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
def test_eager_splitting_drops_the_lock_where_another_task_waits(tree: str) -> None:
    never, always, once = [asked(tree, setting) for setting in ("", " resched=1", " contended=98")]
    # Once for each piece; the second function is called only if the first one answers no.
    assert never.count("need_resched: no") == never.count("rwlock_is_contended: no") == 1024
    assert always.count("need_resched: yes") == always.count("cond_resched") == 1024
    assert "rwlock_is_contended: no" not in always
    # Question 98 is the second of piece 49.
    at = once.index("rwlock_is_contended: yes")
    assert once[:at].count("need_resched: no") == 49
    assert once[at + 1 : at + 3] == ASKED
    assert once[at + 3].startswith("topup")
    assert once[at + 4] == "lock mmu"
    assert once.count("cond_resched") == never.count("cond_resched") + 1
    # Then splitting continues to the end.
    assert once.count("need_resched: no") == 1024
    for setting in "", " resched=1", " contended=98":
        assert violations(version(tree), parse(f"s2fuzz 1\nvm split=4K{setting}\n{SPLITS}")) == []


def test_another_task_must_not_run_under_the_lock(tmp_path: Path) -> None:
    drop = "\t\t\twrite_unlock(&kvm->mmu_lock);\n\t\t\tcond_resched();"
    wrong = drop.replace(
        "write_unlock(&kvm->mmu_lock);\n\t\t\tcond_resched();", "cond_resched();\n\t\t\twrite_unlock(&kvm->mmu_lock);"
    )
    name = planted("6.12", tmp_path / "tree", MMU, drop, wrong)
    found = violations(name, parse(f"s2fuzz 1\nvm split=2M\n{SPLITS}"))
    assert found[0] == "locking: cond_resched: rescheduling under mmu_lock"


@pytest.mark.parametrize("tree", real_trees() or ["6.12"])
def test_empty_walks_are_reported_as_one(tree: str) -> None:
    """Some trees free the tables of a VM block by block of its address space, almost all of which are empty."""
    program = parse("s2fuzz 1\nvm ipa=44 cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\n")
    operation, _, events = Stream(version(tree), program).steps[-1]
    walks = [event for event in events if event[0] == "walk"]
    assert operation == "destroy"
    assert 0 < len(walks) < 8
    # Together they cover the whole address space.
    assert max(end for _, _, _, _, end in walks if isinstance(end, int)) == 1 << 44
