# SPDX-License-Identifier: GPL-2.0-only
"""The switched functions, nothing left out, are the original's: else their bad cases prove nothing."""

import pytest

from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential

from .case import ORIGINAL
from .switched import Coalesce, Map, Split, Switched, Unmap


@pytest.mark.parametrize("which", [Map, Split, Coalesce, Unmap])
def test_nothing_left_out_is_the_original(which: type[Switched]) -> None:
    differential = Differential(ORIGINAL, which.without())
    generator = Generator(5)
    for _ in range(60):
        verdict = differential.run(generator.next())
        assert {finding.kind for finding in verdict.findings} <= {"common"}, verdict.titles()
