# SPDX-License-Identifier: GPL-2.0-only
"""A reset of a vCPU: all areas of a slot are unmapped, also those after a hole."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import MMU
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import planted, version

PROGRAM: Final = "corpus/regressions/reset-beyond-a-hole.s2"
LOOKS: Final = "vma = find_vma_intersection(current->mm, hva, reg_end);"
STOPS: Final = "vma = vma_lookup(current->mm, hva);"


def test_a_reset_that_stops_at_a_hole_is_found(tmp_path: Path) -> None:
    copy = planted("7.3", tmp_path / "tree", MMU, LOOKS, STOPS)
    differential = Differential(candidate.get(version("7.3")), candidate.get(copy))
    found = differential.run(parse(Path(PROGRAM).read_text())).findings
    assert found[0].kind == REGRESSION
    assert found[0].signature == "translation: stage2_unmap_vm: still mapped after unmapping L3"
    assert found[0].reason.endswith("stage2_make_pte, where it was last written")
