# SPDX-License-Identifier: GPL-2.0-only
"""FEAT_BBM in trees: a split of live blocks on CPUs that allow it."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import PGTABLE
from fuzz.engines.unit_run import offers_of
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import edited, version

TEXT: Final = "s2fuzz 1\nvm split=2M bbm={}\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\ncpu0 write a+4K\n"
# Code of stage2_split_walker().
BREAKS: Final = "\tif (!stage2_try_break_pte(ctx, mmu)) {\n\t\tkvm_pgtable_stage2_free_unlinked(mm_ops, childp, level);"
STAYS: Final = (
    "\tif ({}) {{\n"
    "\t\tif (!stage2_try_set_pte(ctx, kvm_init_table_pte(childp, mm_ops))) {{\n"
    "\t\t\tkvm_pgtable_stage2_free_unlinked(mm_ops, childp, level);\n"
    "\t\t\treturn -EAGAIN;\n\t\t}}\n"
    "\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu, ctx->addr, level);\n"
    "\t\treturn 0;\n\t}}\n"
)
# The table is written before its entry, which is no store with release here.
ORDERED: Final = "\tsmp_wmb();\n"


def splitting(folder: Path, condition: str) -> str:
    """Return 7.3 with a split that leaves a block live under a condition."""
    return edited("7.3", folder / "tree", PGTABLE, [(BREAKS, ORDERED + STAYS.format(condition) + BREAKS)])


def regressions(name: str, bbm: str) -> list[str]:
    """Return the regressions of a version against 7.3."""
    verdict = Differential(candidate.get(version("7.3")), candidate.get(name)).run(parse(TEXT.format(bbm)))
    assert not verdict.refused
    return [each.signature for each in verdict.findings if each.kind == REGRESSION]


@pytest.mark.parametrize("bbm", ["on", "off"])
def test_code_that_asks_the_cpu_is_clean(bbm: str, tmp_path: Path) -> None:
    asking = splitting(tmp_path, "system_supports_bbml3()")
    assert regressions(asking, bbm) == []
    versions = candidate.get(version("7.3")), candidate.get(asking)
    assert offers_of(*versions).bbm
    # Nothing is drawn for code that does not ask.
    assert not offers_of(versions[0]).bbm


def test_the_setting_reaches_the_code(tmp_path: Path) -> None:
    """Check by code that warns if the CPU has FEAT_BBM."""
    warns = splitting(tmp_path, "WARN_ON(system_supports_bbml3())")
    assert regressions(warns, "off") == []
    assert any(each.endswith("stage2_split_walker: WARN") for each in regressions(warns, "on"))


def test_code_that_does_not_ask_is_found(tmp_path: Path) -> None:
    careless = splitting(tmp_path, "true")
    assert regressions(careless, "on") == []
    assert "bbm: stage2_split_walker: block->table without break L2" in regressions(careless, "off")


def test_older_kernels_do_not_know_it() -> None:
    older = candidate.get(version("6.12"))
    verdict = Differential(older, older).run(parse(TEXT.format("on")))
    assert verdict.refused == f"FEAT_BBM (bbm=), which {older.name} does not have"
