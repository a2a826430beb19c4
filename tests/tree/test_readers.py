# SPDX-License-Identifier: GPL-2.0-only
"""Faults that hold the mmu lock for reading change entries only by compare-exchange, in trees with shared walks."""

import pytest

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.judging.differential import Differential
from fuzz.judging.finding import REGRESSION
from fuzz.language.text import parse

from .fidelity import Stream
from .trees import planted, real_trees, version

# A first mapping, a split, an old leaf made young, a relaxed leaf.
PROGRAM = parse(
    "s2fuzz 1\nvm cpus=2\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\ncpu1 write a+4K\ncpu0 fetch a+4K\n"
    "host age a+4K 4K\ncpu1 read a+4K\n"
)
ALONE = "\n\t\t\t\t       KVM_PGTABLE_WALK_HANDLE_FAULT |\n\t\t\t\t       KVM_PGTABLE_WALK_SHARED);\n"
MISTAKES = {
    "map": (
        MMU,
        "\t\t\t\t\t     KVM_PGTABLE_WALK_HANDLE_FAULT |\n\t\t\t\t\t     KVM_PGTABLE_WALK_SHARED);",
        "\t\t\t\t\t     KVM_PGTABLE_WALK_HANDLE_FAULT);",
    ),
    "mkyoung": (PGTABLE, f"&pte, NULL,{ALONE}", "&pte, NULL, KVM_PGTABLE_WALK_HANDLE_FAULT);\n"),
    "relax": (PGTABLE, f"NULL, &level,{ALONE}", "NULL, &level, KVM_PGTABLE_WALK_HANDLE_FAULT);\n"),
}
WHAT = "entry written without a compare-exchange under mmu_lock for reading"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_walk_without_the_flag_of_a_shared_one(mistake: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = planted("6.12", tmp_path_factory.mktemp(mistake) / "tree", *MISTAKES[mistake])
    verdict = Differential(candidate.get(version("6.12")), candidate.get(copy)).run(PROGRAM)
    worse = [each.signature for each in verdict.findings if each.kind == REGRESSION]
    walker = "stage2_map_walker" if mistake == "map" else "stage2_attr_walker"
    # A walk that is not shared does not enter RCU either, which lifetime reports.
    assert any(signature.startswith(f"locking: {walker}: {WHAT}") for signature in worse)
    assert {signature.partition(":")[0] for signature in worse} <= {"locking", "lifetime"}


@pytest.mark.parametrize("tree", real_trees() or ["6.12"])
def test_upstream_changes_entries_by_compare_exchange(tree: str) -> None:
    """6.1 relaxes permissions with the lock held for reading, but has no compare-exchange: the rule does not apply."""
    both = candidate.get(version(tree))
    exchanged = any(event[0] == "exchanged" for _, _, events in Stream(both.name, PROGRAM).steps for event in events)
    assert exchanged == both.pgtable.EXCHANGES_SHARED
    assert not [each for each in Differential(both, both).run(PROGRAM).findings if each.signature.startswith("locking")]
