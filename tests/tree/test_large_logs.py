# SPDX-License-Identifier: GPL-2.0-only
"""Dirty logs of the largest slots fit into the memory that the driver and a tree's process share."""

from typing import Final

import pytest

import candidate
from candidate.tree.runtime import records
from candidate.tree.runtime.pool import POOL
from fuzz.judging.differential import Differential
from fuzz.language.bounds import MAX_SLOT_SIZE
from fuzz.language.program import GRANULES
from fuzz.language.text import parse

from .trees import real_trees, version

LARGE: Final = """s2fuzz 1
vm cpus=1
slot a ipa=16G size=16G backing=hugetlb1g log=on
cpu0 write a+16777212K
log a get
"""
BEFORE: Final = """s2fuzz 1
vm cpus=1
slot a size=4M backing=thp
cpu0 write a+0
"""
# Its records have a new text, so that the driver reads all texts of records again.
AFTER: Final = BEFORE + "cpu0 abort a+4K\ncpu0 write a+2M\n"


def test_the_largest_log_fits() -> None:
    assert records.LOG_WORDS * 64 * min(GRANULES) >= MAX_SLOT_SIZE


@pytest.mark.parametrize("name", real_trees() or ["none"])
def test_a_large_log_overwrites_nothing(name: str) -> None:
    tree = candidate.get(version(name))
    POOL.forget()
    differential = Differential(tree, tree)
    for text in (BEFORE, LARGE, AFTER, BEFORE):
        assert [each.signature for each in differential.run(parse(text)).findings if not each.known] == []
