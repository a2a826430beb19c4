# SPDX-License-Identifier: GPL-2.0-only
"""Dirty state that the hardware manages (FEAT_HAFDBS), in trees that set VTCR_EL2.HD."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import ARM_C, MMU, PGTABLE
from fuzz.checkers.dirty_log import OVERWRITTEN, STATE_LOST
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.judging.differential import DIVERGENCE, REGRESSION, Differential
from fuzz.language.text import parse
from reference.machine.descriptor import DBM_BIT, WRITE_BIT

from .dirty_state import BLOCKS, CALL, TREE, dirty_tree
from .trees import version

PROGRAMS: Final = 40
# The page is clean and has DBM once the log has been read.
LOGGED: Final = "s2fuzz 1\nvm cpus=2 haf={haf}\nslot a size=2M backing=anon log=on\ncpu0 write a+0\nlog a get\n"
WRITES: Final = LOGGED + "cpu0 write a+0\n"
# A block with DBM, which a fetch in a logged slot splits.
SPLITS: Final = (
    "s2fuzz 1\nvm cpus=1 haf=on\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\ncpu0 write a+4K\n"
    "cpu0 fetch a+8K\nlog a get\n"
)
UNMAPS: Final = "\t\tcollect(ctx, xchg(ctx->ptep, 0), 0);\n"
FLUSH: Final = "\tkvm_flush_remote_tlbs_memslot(kvm, memslot);\n"
FLUSHES: Final = f"\tkvm_nested_s2_wp(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n{FLUSH}"


def findings(name: str, text: str) -> list[tuple[str, str]]:
    """Return class and signature of the findings of a version against the tree that it was made from."""
    verdict = Differential(candidate.get(version(TREE)), candidate.get(name)).run(parse(text))
    assert not verdict.refused
    return [(each.kind, each.signature) for each in verdict.findings if each.kind in (REGRESSION, DIVERGENCE)]


def last_write(name: str, haf: str) -> tuple[int, list[int]]:
    """Return the number of faults of the last write of `WRITES`, and the leaves afterwards."""
    executor = Executor(candidate.get(name), parse(WRITES.format(haf=haf)))
    try:
        assert executor.create() == []
        for at in range(3):
            outcome, violations = executor.step(at)
            assert violations == []
        return outcome.faults, [entry for _, _, entry in executor.checkers.shadows[0].leaves_in(0, 1 << 40)]
    finally:
        executor.dismantle()


def test_a_write_through_a_clean_leaf_makes_it_dirty(tmp_path: Path) -> None:
    name = dirty_tree(tmp_path / "tree")
    faults, leaves = last_write(name, "on")
    assert (faults, [leaf & (DBM_BIT | WRITE_BIT) for leaf in leaves]) == (0, [DBM_BIT | WRITE_BIT])
    # The code asks the CPU, and then does not set VTCR_EL2.HD.
    assert last_write(name, "off")[0] == 1


def test_a_right_version_is_clean(tmp_path: Path) -> None:
    name = dirty_tree(tmp_path / "tree")
    differential = Differential(candidate.get(version(TREE)), candidate.get(name))
    generator = Generator(11, 4096)
    for _ in range(PROGRAMS):
        program = generator.next()
        verdict = differential.run(replace(program, vm=replace(program.vm, haf=True)))
        assert not verdict.refused
        assert [each for each in verdict.findings if each.kind in (REGRESSION, DIVERGENCE)] == []
    for text in (WRITES + "host discard a+0 4K\nlog a get\n", WRITES + "host age a+0 4K\nlog a get\n"):
        assert findings(name, text.format(haf="on")) == []


def test_state_that_the_log_does_not_collect(tmp_path: Path) -> None:
    name = dirty_tree(tmp_path / "tree", (ARM_C, CALL, ""))
    what = "dirty-log: kvm_vm_ioctl_get_dirty_log: write through a writable leaf not reported L3"
    found = findings(name, WRITES.format(haf="on") + "log a get\n")
    assert found == [(REGRESSION, what), (DIVERGENCE, "result: log get")]


@pytest.mark.parametrize("unmaps", ["host discard a+0 4K\n", "cpu0 reset\n", "table unmap a+0 4K\n"])
def test_state_that_an_unmap_does_not_collect(unmaps: str, tmp_path: Path) -> None:
    name = dirty_tree(tmp_path / "tree", (PGTABLE, UNMAPS, "\t\txchg(ctx->ptep, 0);\n"))
    what = f"dirty-log: stage2_unmap_walker: {STATE_LOST} L3"
    assert (REGRESSION, what) in findings(name, WRITES.format(haf="on") + unmaps)
    # A page that is in the log already loses nothing.
    assert findings(name, LOGGED.format(haf="on") + "cpu0 read a+0\n" + unmaps) == []


def test_a_plain_store_may_overwrite_the_state(tmp_path: Path) -> None:
    plain = "\t\tcollect(ctx, ctx->old, 0);\n\t\tkvm_clear_pte(ctx->ptep);\n"
    name = dirty_tree(tmp_path / "tree", (PGTABLE, UNMAPS, plain))
    what = f"dirty-log: stage2_unmap_walker: {OVERWRITTEN} L3"
    assert findings(name, LOGGED.format(haf="on") + "host discard a+0 4K\n") == [(REGRESSION, what)]
    # The hardware changes nothing more in a leaf that is dirty, and needs no exchange for one that is not logged.
    assert findings(name, WRITES.format(haf="on") + "host discard a+0 4K\n") == []
    assert findings(name, LOGGED.format(haf="on") + "log a off\nhost discard a+0 4K\n") == []


def test_state_that_a_split_does_not_collect(tmp_path: Path) -> None:
    assert findings(dirty_tree(tmp_path / "right", BLOCKS), SPLITS) == [(DIVERGENCE, "result: log get")]
    collects = "\tcollect(ctx, ctx->old, new);\n"
    name = dirty_tree(tmp_path / "wrong", BLOCKS, (PGTABLE, collects, ""))
    assert (REGRESSION, f"dirty-log: stage2_map_walker: {STATE_LOST} L2") in findings(name, SPLITS)


def test_a_leaf_that_becomes_clean_needs_a_flush(tmp_path: Path) -> None:
    name = dirty_tree(tmp_path / "tree", (MMU, FLUSHES, FLUSHES.removesuffix(FLUSH)))
    text = "s2fuzz 1\nvm cpus=1 haf=on\nslot a size=2M backing=anon\ncpu0 write a+0\nlog a on\n"
    assert (REGRESSION, "tlb: stage2_attr_walker: leaf not flushed L3") in findings(name, text)
