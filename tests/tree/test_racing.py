# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes that several vCPUs at once show are found by programs of the random engine, and stay when these shrink."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import PGTABLE
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.operations import Par
from fuzz.language.program import KIB, has_blocks, sequential
from fuzz.minimizing.minimize import minimize

from .trees import planted, version

TREE: Final = "6.12"
SEED: Final = 1
# Programs of the seed.
PROGRAMS: Final = 400
SHRINKING: Final = 60.0
# Whoever loses the race to break an entry goes on as if it had won.
BREAK: Final = "\tif (!stage2_try_set_pte(ctx, KVM_INVALID_PTE_LOCKED))\n\t\treturn false;\n"
IGNORED: Final = "\tstage2_try_set_pte(ctx, KVM_INVALID_PTE_LOCKED);\n"


def test_a_failed_compare_exchange_that_is_ignored_is_found_unaided(tmp_path: Path) -> None:
    original = candidate.get(version(TREE))
    copy = candidate.get(planted(TREE, tmp_path / "tree", PGTABLE, BREAK, IGNORED))
    differential = Differential(original, copy)
    generator = Generator(SEED, 4 * KIB, Offers(par=True))
    for program in (generator.next() for _ in range(PROGRAMS)):
        # The mistake is one of two vCPUs: other programs are left out to save time.
        if not has_blocks(program):
            continue
        worse = [each for each in differential.run(program).findings if each.kind == REGRESSION]
        if worse:
            break
    else:
        pytest.fail(f"no regression in {PROGRAMS} programs")
    assert not [each for each in differential.run(sequential(program)).findings if each.kind == REGRESSION]
    small = minimize(program, original, copy, worse[0].key, SHRINKING)
    assert worse[0].key in {each.key for each in differential.run(small).findings}
    blocks = [each for each in small.operations if isinstance(each, Par)]
    assert [len(block.switches) <= 2 for block in blocks] == [True]
    assert sum(len(each.operations) if isinstance(each, Par) else 1 for each in small.operations) <= 6
