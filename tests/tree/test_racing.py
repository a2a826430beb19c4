# SPDX-License-Identifier: GPL-2.0-only
"""Races planted in a tree are found unaided by random programs and the guided engine, and minimised programs show them.

`tests.measuring.races` tries all of them with both engines and several seeds; this file tries some, with one seed.
"""

from pathlib import Path
from typing import Final

import candidate
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.program import sequential

from ..measuring.planted_races import IN_TREES, in_tree
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
