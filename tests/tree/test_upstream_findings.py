# SPDX-License-Identifier: GPL-2.0-only
"""Findings in upstream kernels of docs/kernel-trees.md: the programs show them, and only on the named trees."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.checkers import Violation
from fuzz.judging.differential import Differential
from fuzz.language.text import load

from ..corpus.files import CORPUS
from ..good_bad.case import all_found
from .trees import needs_optional_features, version

TREES: Final = ("5.12.9", "6.1", "6.12", "7.3")
# Program -> beginning of the signature, and the trees that show it.
FOUND: Final = {
    "regressions/r1-accessed-not-held.s2": ("page-reference: kvm_handle_guest_abort: marked accessed", TREES[:3]),
    "regressions/m1-cache-empty.s2": ("memcache: stage2_map_walker: allocation without a top-up", TREES[:3]),
    "regressions/a1-age-partial.s2": ("contract: kvm_age_", TREES[:2]),
    "regressions/a2-age-huge.s2": ("ageing: kvm_mmu_notifier_clear_flush_young: still young", TREES[:2]),
    "regressions/x1-two-levels.s2": ("dcache: stage2_map_walker: table->block after a permission fault", TREES[:1]),
    "regressions/b21-table-hint.s2": ("lifetime: stage2_unmap_walker: freed before the flush", ("5.12.9", "6.8")),
    "regressions/s1-walk-read-only.s2": ("contract: kvm_handle_guest_abort: walk of memory answered", TREES[:1]),
    "regressions/o1-io-outside.s2": ("contract: kvm_handle_guest_abort: I/O exit beyond the guest's", TREES[:1]),
    "regressions/f1-far-outside.s2": (
        "contract: kvm_handle_guest_abort: abort at another address, the physical one",
        TREES[1:],
    ),
    "regressions/livelock-two-levels.s2": ("progress: kvm_handle_guest_abort: access does not complete", TREES),
    "regressions/u1-unmap-rounding.s2": ("tlb: stage2_unmap_walker: leaf not flushed", TREES[2:]),
    "regressions/d2-split-before-reload.s2": (
        "page-reference: kvm_handle_guest_abort: mapped writable, not marked dirty",
        TREES[2:],
    ),
}
PAGE: Final = Path(__file__).parents[2] / "docs" / "kernel-trees.md"


def violations(name: str, path: Path) -> list[Violation]:
    """Return the violations of a tree on its own."""
    return all_found(candidate.get(name), load(path))


@pytest.mark.parametrize("program", FOUND)
def test_the_page_names_it(program: str) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if f"`corpus/{program}`" in line and line.startswith("| ")]
    assert len(rows) == 1
    trees = FOUND[program][1]
    said = rows[0].split(" | ")[0].removeprefix("| ")
    assert said == ("all" if trees == TREES else ", ".join(name.removesuffix(".9") for name in trees))


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("program", FOUND)
def test_the_program_shows_it(program: str, name: str) -> None:
    signature, trees = FOUND[program]
    found = violations(version(name), CORPUS / program)
    assert any(each.signature.startswith(signature) for each in found) == (name in trees)


# Earlier and later tree -> findings that the seeds show: class, and known bug or signature.
GENERATIONS: Final = {
    ("6.1", "6.12"): {
        ("common", "M1"),
        ("common", "R1"),
        ("cured", "A2"),
        ("divergence", "map"),
        ("divergence", "result: host age"),
        ("divergence", "result: table map"),
    },
    ("6.12", "7.3"): {
        ("cured", "M1"),
        ("cured", "R1"),
        ("divergence", "map"),
        ("divergence", "result: cpu access"),
        ("divergence", "result: table map"),
    },
}
# A bug that only some releases of 6.1 have: 6.1.176 does, 6.1.192 does not.
V1: Final = "regressions/v1-area-ends.s2"


@pytest.mark.parametrize(("earlier", "later"), GENERATIONS)
def test_two_generations_on_the_seeds(earlier: str, later: str) -> None:
    """The seeds show only findings that docs/kernel-trees.md explains."""
    differential = Differential(candidate.get(version(earlier)), candidate.get(version(later)))
    found: set[tuple[str, str]] = set()
    for file in sorted((CORPUS / "seeds").glob("*.s2")):
        program = load(file)
        verdict = differential.run(program)
        if needs_optional_features(program) and earlier == "6.1":
            assert verdict.refused
            continue
        if not needs_optional_features(program):
            assert verdict.refused == "", file
        found |= {(each.kind, each.known or each.signature) for each in verdict.findings}
    assert f"## {earlier} against {later}" in PAGE.read_text()
    has_v1 = [
        any("wrong frame" in each.signature for each in violations(version(name), CORPUS / V1))
        for name in (earlier, later)
    ]
    cured = {("cured", "V1")} if has_v1 == [True, False] else set()
    assert found == GENERATIONS[earlier, later] | cured
