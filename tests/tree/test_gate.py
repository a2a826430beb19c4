# SPDX-License-Identifier: GPL-2.0-only
"""A gate and a report on a kernel tree: C file and line, and the call chain."""

from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.engines.summary import Summary
from fuzz.findings.record import record_of
from fuzz.gate.outcome import Gate, gate_of
from fuzz.gate.sarif import sarif
from fuzz.judging.differential import Differential
from fuzz.judging.finding import REGRESSION
from fuzz.language.text import parse
from fuzz.reports.account import account_of
from fuzz.reports.account_text import WIDTH, text

from ..unit.gate.schemas import check_sarif
from .trees import planted, version

CLEAN = "mm_ops->dcache_clean_inval_poc &&\n\t    stage2_pte_cacheable(pgt, new))"
PROGRAM = parse("s2fuzz 1\nvm fwb=off cpus=1\nslot a size=64K backing=anon\nhost write a+0 4K\ncpu0 read a+0\n")


@pytest.fixture
def dropped(tmp_path: Path) -> str:
    """Make a tree that does not clean the pages that it maps."""
    return planted("6.12", tmp_path / "tree", PGTABLE, CLEAN, CLEAN.replace("stage2_pte_cacheable(pgt, new)", "0"))


def test_a_mistake_in_a_tree(dropped: str) -> None:
    verdict = Differential(candidate.get(version()), candidate.get(dropped)).run(PROGRAM)
    (finding,) = [each for each in verdict.findings if each.kind == REGRESSION]
    summary = Summary(version(), dropped, 1, programs=1)
    summary.findings = [record_of(finding, PROGRAM, 1, 1)]
    gate: Gate = gate_of(summary, None)
    (found,) = gate.findings
    place = found.place()
    source = Path(dropped.partition(":")[2], PGTABLE).read_text().splitlines()
    assert place.file == PGTABLE
    assert "smp_store_release(ctx->ptep, new)" in source[place.line - 1]
    (result,) = check_sarif(sarif(gate))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == PGTABLE
    account = account_of("x.s2", found.record.program, version(), dropped, found.record.finding, {})
    names = [call.function for call in account.trail.calls]
    assert names[:2] == ["kvm_handle_guest_abort", "user_mem_abort"]
    assert account.trail.exact
    assert any(event.startswith("D-cache clean") for event in account.trail.reference)
    told = text(account)
    assert f"{MMU}:" in told or f"{PGTABLE}:" in told
    # The description of the event omits the call chain, which is printed below it.
    assert "; at stage2_make_pte" not in " ".join(told.split())
    # A path is one word, however long.
    assert [
        line for line in told.splitlines() if len(line) > WIDTH and "tree:" not in line and " " in line.strip()
    ] == []
