# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of a tree are distinguished from it unless they behave identically."""

from candidate.tree.building.source import MMU, PGTABLE

from ..measuring.c_mutants import CMutant, mutants
from ..measuring.tree_mutants import CTrial, TreeMutants, attempts, summary
from .trees import real_tree


def only(file: str, function: str, operator: str, old: str) -> CMutant:
    """Return the only mutant of 6.12 with these properties."""
    there = mutants(file, (real_tree() / file).read_bytes())
    (mutant,) = [each for each in there if (each.function, each.operator, each.old) == (function, operator, old)]
    return mutant


def test_trials() -> None:
    trying = TreeMutants(real_tree(), 40, 1)
    reference = only(PGTABLE, "stage2_unmap_put_pte", "delete statement", "mm_ops->put_page(ctx->ptep);")
    number = only(PGTABLE, "__kvm_pgtable_walk", "change number", "0")
    text = only(MMU, "kvm_mmu_init", "delete statement", 'kvm_err("Hyp mode page-table not allocated\\n");')
    assert [(each.file, each.line) in trying.lines for each in (reference, number, text)] == [True, True, False]
    trials = list(attempts(trying, [reference, number], 1))
    assert trials[0].found.startswith("regression refcount: ")
    assert str(trials[1]).startswith(f"the same events: {PGTABLE}:")
    assert summary([*trials, CTrial(text, broken="no")]) == (
        "3 mutants: 1 found; 1 the same events; 1 does not compile"
    )
