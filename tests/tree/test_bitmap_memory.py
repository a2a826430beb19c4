# SPDX-License-Identifier: GPL-2.0-only
"""A dirty bitmap of a tree is zero when it is made: a log has the pages that were marked, and no others."""

from typing import Final

import pytest

from ..unit.block_run import Run
from .trees import version

TEXT: Final = "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon log=on\ncpu0 write a+8K\nlog a get\nlog a get\n"


@pytest.mark.parametrize("tree", ["5.12.9", "6.1", "6.12", "7.3"])
def test_a_log_has_only_the_pages_that_were_marked(tree: str) -> None:
    run = Run(version(tree), TEXT)
    assert run.violations == []
    assert [str(each) for each in run.outcomes] == ["ok 0", "ok dirty page 2", "ok no dirty page"]
