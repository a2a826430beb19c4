# SPDX-License-Identifier: GPL-2.0-only
"""An -ENOMEM of a tree is excused only where memory is short, and not wherever a program asks for a failure."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN
from tests.good_bad.case import violations

from .trees import planted, version

TREES: Final = ("6.1", "6.12", "7.3")
# A top-up gets no object; one, which is too few; all that a fault needs and not all that the cache can hold.
PROGRAM: Final = "vm cpus=1\nslot a size=2M backing=anon\ncpu0 write a+0 fail={}\n"
SHORT: Final = ("1", "2", "5")


@pytest.mark.parametrize("name", TREES)
def test_a_top_up_beyond_its_minimum_must_succeed(name: str, tmp_path: Path) -> None:
    text = "return mc->nobjs >= min ? 0 : -ENOMEM;"
    wrong = candidate.get(planted(name, tmp_path / "tree", KVM_MAIN, text, "return -ENOMEM;"))
    found = {fail: [each.signature for each in violations(wrong, PROGRAM.format(fail))] for fail in SHORT}
    enough = "contract: kvm_mmu_topup_memory_cache: top-up fails with enough objects"
    assert found == {"1": [], "2": [], "5": [enough]}
    sound = candidate.get(version(name))
    assert [violations(sound, PROGRAM.format(fail)) for fail in SHORT] == [[], [], []]
