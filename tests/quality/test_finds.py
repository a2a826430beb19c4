# SPDX-License-Identifier: GPL-2.0-only
"""The random engine finds existing bugs, unaided and soon, and reports nothing else.

A tenth of the random programs show the missing clean of RFC v1, a fifth a wrong reference count when a table becomes a
block. Of thirty seeds, the slowest took 22 and 14 programs. `ENOUGH` is several times that.
"""

from collections.abc import Iterator
from typing import Final

import pytest

import candidate
from candidate import Candidate
from fuzz.generation.generator import Generator
from fuzz.judging.differential import CLASSES, COMMON, CURED, REGRESSION, Differential, Finding

from ..good_bad.case import broken
from ..good_bad.switched import Coalesce, CoalesceFirst

ORIGINAL: Final = candidate.get("original")
SEEDS: Final = range(1, 11)
ENOUGH: Final = 100
MISSING_CLEAN: Final = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned"
# Minimum number of programs, even if the finding comes sooner.
AT_LEAST: Final = 40


def findings(version: Candidate, seed: int, programs: int) -> Iterator[list[Finding]]:
    """Yield the findings of each program."""
    differential = Differential(ORIGINAL, version)
    generator = Generator(seed)
    for _ in range(programs):
        yield differential.run(generator.next()).findings


def checkers(found: list[Finding]) -> set[str]:
    """Return the checkers of the regressions among the findings of a program."""
    return {finding.signature.partition(":")[0] for finding in found if finding.kind == REGRESSION}


@pytest.mark.parametrize("seed", SEEDS)
def test_missing_clean_of_rfc_v1(seed: int) -> None:
    """It is found. The missing put that the review asked about instead is never found."""
    seen = False
    for number, found in enumerate(findings(candidate.get("rfc-v1"), seed, ENOUGH)):
        signatures = [finding.signature for finding in found if finding.kind == REGRESSION]
        seen = seen or any(signature.startswith(MISSING_CLEAN) for signature in signatures)
        assert not any(finding.signature.startswith("refcount") for finding in found)
        if seen and number >= AT_LEAST:
            return
    assert seen


@pytest.mark.parametrize("version", [Coalesce.without("put"), broken(CoalesceFirst)], ids=["missing", "too-many"])
@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_put_is_found_as_refcount(seed: int, version: Candidate) -> None:
    """It is found before its consequences."""
    for found in findings(version, seed, ENOUGH):
        if checkers(found) & {"refcount", "lifetime", "leak"}:
            assert "refcount" in checkers(found)
            return
    pytest.fail("not found")


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_original_against_itself_is_only_common(seed: int) -> None:
    for found in findings(ORIGINAL, seed, ENOUGH):
        assert {finding.kind for finding in found} <= {COMMON}


@pytest.mark.parametrize("name", ["rfc-v1-fixed", "v5.12.9", "v5.14"])
def test_what_only_cures_does_not_regress(name: str) -> None:
    for found in findings(candidate.get(name), 11, 2 * ENOUGH):
        assert {finding.kind for finding in found} <= {COMMON, CURED}


def test_every_class_of_finding_but_divergence_occurs() -> None:
    """The tests above can fail: they detect an existing bug."""
    kinds: set[str] = set()
    for name in ("rfc-v1-1", "rfc-v1"):
        for found in findings(candidate.get(name), 12, ENOUGH):
            kinds |= {finding.kind for finding in found}
    assert kinds == set(CLASSES) - {"divergence"}
