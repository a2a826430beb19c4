# SPDX-License-Identifier: GPL-2.0-only
"""The switched functions with no step left out behave like the original's; otherwise their bad cases prove nothing."""

import pytest

from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential

from .case import ORIGINAL
from .switched import Coalesce, Map, Split, Switched, Unmap


@pytest.mark.parametrize("which", [Map, Split, Coalesce, Unmap])
def test_no_step_left_out_behaves_like_the_original(which: type[Switched]) -> None:
    differential = Differential(ORIGINAL, which.without())
    generator = Generator(5)
    for _ in range(60):
        verdict = differential.run(generator.next())
        assert {finding.kind for finding in verdict.findings} <= {"common"}, verdict.titles()
