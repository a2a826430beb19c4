# SPDX-License-Identifier: GPL-2.0-only
"""Random programs find what a failed creation of a VM leaves behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.engines.unit_run import offers_of
from fuzz.generation.generator import Generator
from fuzz.language.program import Program
from tests.good_bad.case import all_found

from .trees import edited, version

# The programs judged, which are those of a seed in which the creation fails.
PROGRAMS: Final = 8
SEED: Final = 1
TREES: Final = ("6.12", "7.3")
DESTROYED: Final = {
    "6.12": "out_destroy_pgtable:\n\tkvm_pgtable_stage2_destroy(pgt);\n",
    "7.3": "out_destroy_pgtable:\n\tkvm_stage2_destroy(pgt);\n",
}
FREED: Final = "out_free_pgtable:\n\tkfree(pgt);\n"


def programs(tree: str) -> Iterator[Program]:
    """Generate programs for a tree in which the creation of a VM fails."""
    generator = Generator(SEED, offers=offers_of(candidate.get(version(tree))))
    found = 0
    while found < PROGRAMS:
        program = generator.next()
        if program.vm.fail is not None:
            found += 1
            yield program


def signatures(name: str, tree: str) -> set[str]:
    """Return the signatures of the leaks that the programs find in a version."""
    version = candidate.get(name)
    found = {each.signature for program in programs(tree) for each in all_found(version, program)}
    return {each for each in found if each.startswith("leak: ")}


@pytest.mark.parametrize("tree", TREES)
def test_a_root_that_is_not_freed(tree: str, tmp_path: Path) -> None:
    text = DESTROYED[tree]
    wrong = edited(tree, tmp_path / "tree", MMU, [(text, text.partition("\n")[0] + "\n")])
    assert signatures(wrong, tree) == {"leak: kvm_free_stage2_pgd: table pages left"}


@pytest.mark.parametrize("tree", TREES)
def test_a_structure_that_is_not_freed(tree: str, tmp_path: Path) -> None:
    wrong = edited(tree, tmp_path / "tree", MMU, [(FREED, "out_free_pgtable:\n")])
    assert signatures(wrong, tree) == {"leak: kvm_free_stage2_pgd: allocations left"}


@pytest.mark.parametrize("tree", TREES)
def test_a_creation_that_leaves_nothing(tree: str) -> None:
    assert signatures(version(tree), tree) == set()
