# SPDX-License-Identifier: GPL-2.0-only
"""Races planted in a tree are found unaided by random programs and the guided engine, and minimised programs show them.

`tests.measuring.races` tries all of them with both engines and several seeds; this file tries some, with one seed.
"""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import PGTABLE
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.program import KIB, has_blocks, sequential

from ..measuring.planted_races import IN_TREES, PlantedRace, in_tree
from ..measuring.races_found import are_small, found_by_atheris, found_by_random, shrinks
from .trees import version

# Only concurrent vCPUs show these: the operations of the block, one after the other, do not.
RACES: Final = ("failed exchange ignored, mapping", "no locked marker", "lost map takes the reference")
GUIDED: Final = "failed exchange ignored, mapping"
# Number of programs of the guided engine.
PROGRAMS: Final = 400


def test_found_by_random(tmp_path: Path) -> None:
    sizes = []
    for name in RACES:
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        planted = in_tree(IN_TREES[name], folder)
        program, found = found_by_random(IN_TREES[name], version(), planted)
        alone = Differential(candidate.get(version()), candidate.get(planted)).run(sequential(program))
        assert not [each for each in alone.findings if each.kind == REGRESSION]
        sizes.append(shrinks(program, found, version(), planted))
    are_small(sizes)


def test_found_by_atheris(tmp_path: Path) -> None:
    planted = in_tree(IN_TREES[GUIDED], tmp_path)
    found_by_atheris(IN_TREES[GUIDED], version(), planted, PROGRAMS)


# After -EAGAIN nothing has set the level.
UNSET_LEVEL: Final = PlantedRace(
    PGTABLE, (("(ret == -EAGAIN) ? TLBI_TTL_UNKNOWN : level", "level"),), ("tlb: stage2_attr_walker: flushed with",)
)
# Number of random programs of each seed; `fuzz` judges more in a minute on one core.
FEW: Final = 300


def test_random_programs_lose_the_exchange_of_a_relaxation(tmp_path: Path) -> None:
    """Only programs with level hints and a block show it; the others are skipped to save time."""
    versions = candidate.get(version()), candidate.get(in_tree(UNSET_LEVEL, tmp_path))
    differential = Differential(*versions)
    found = 0
    for seed in range(1, 6):
        generator = Generator(seed, 4 * KIB, Offers(par=True))
        programs = (generator.next() for _ in range(FEW))
        racing = (each for each in programs if each.vm.ttl and has_blocks(each))
        found += any(UNSET_LEVEL.shown_by(each) for one in racing for each in differential.run(one).findings)
    assert found >= 4
