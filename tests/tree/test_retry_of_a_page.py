# SPDX-License-Identifier: GPL-2.0-only
"""Faults that check for invalidations of their own page only (mmu_invalidate_retry_gfn()), also without the lock."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.judging.differential import COMMON, Differential
from fuzz.language.text import parse

from .trees import edited, version

# While a page is migrated, a fault maps another page, or the same one.
BESIDE: Final = """\
s2fuzz 1
vm cpus=1
slot a size=8K backing=anon
par
host0 migrate a+0 4K
cpu0 read a+{}
switch host0 to cpu0 after unlock 1
end
"""
ELSEWHERE, THERE = (parse(BESIDE.format(at)) for at in ("4K", "0"))
# By tree: the check, and the check for one page only, with `+ 0` after the frame number.
QUESTIONS: Final = {
    "6.12": ("if (mmu_invalidate_retry(kvm, mmu_seq)) {", "if (mmu_invalidate_retry_gfn(kvm, mmu_seq, gfn + 0)) {"),
    "7.3": (
        "if (mmu_invalidate_retry(kvm, s2vi->mmu_seq))",
        "if (mmu_invalidate_retry_gfn(kvm, s2vi->mmu_seq, get_canonical_gfn(s2fd, s2vi) + 0))",
    ),
}
LOCK: Final = "\tread_lock(&kvm->mmu_lock);\n\tpgt = vcpu->arch.hw_mmu->pgt;\n"
EARLY: Final = """\
	if (mmu_invalidate_retry_gfn_unsafe(kvm, mmu_seq, gfn)) {
		kvm_release_pfn_clean(pfn);
		return 0;
	}
"""


def differences(tree: str, changed: str) -> list[list[str]]:
    """Return, for each program, the signatures of its findings that are not common."""
    differential = Differential(candidate.get(version(tree)), candidate.get(changed))
    verdicts = [differential.run(program) for program in (ELSEWHERE, THERE)]
    return [[each.signature for each in verdict.findings if each.kind != COMMON] for verdict in verdicts]


@pytest.mark.parametrize("tree", QUESTIONS)
def test_a_check_of_its_own_page(tree: str, tmp_path: Path) -> None:
    assert differences(tree, edited(tree, tmp_path / "tree", MMU, [QUESTIONS[tree]])) == [[], []]


@pytest.mark.parametrize("tree", QUESTIONS)
def test_a_check_of_another_page(tree: str, tmp_path: Path) -> None:
    text, instead = QUESTIONS[tree]
    elsewhere, there = differences(
        tree, edited(tree, tmp_path / "tree", MMU, [(text, instead.replace("+ 0", "+ 1024"))])
    )
    assert elsewhere == []
    assert any("wrong frame" in signature for signature in there)


@pytest.mark.parametrize("of_a_page", [False, True])
def test_an_additional_check_without_the_lock(of_a_page: bool, tmp_path: Path) -> None:
    edits = [(LOCK, EARLY + LOCK), *([QUESTIONS["6.12"]] if of_a_page else [])]
    assert differences("6.12", edited("6.12", tmp_path / "tree", MMU, edits)) == [[], []]
