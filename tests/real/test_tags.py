# SPDX-License-Identifier: GPL-2.0-only
"""Guests with MTE on real kernels: known bugs show them another owner's tags, a clean program shows none."""

from pathlib import Path
from typing import Final

import pytest

from candidate import Candidate
from fuzz.language.text import load, parse
from fuzz.real import tags
from fuzz.real.answers import RealOutcome
from fuzz.real.answers import parse as answers_of
from fuzz.real.kernels import RealKernel, series
from fuzz.real.machine import RealMachine
from fuzz.real.model import ModelRun
from fuzz.real.selftest import selftest
from fuzz.real.session import RealSession
from fuzz.real.stamp import CONFIRMED
from fuzz.real.translate import played

from ..unit.console import ROOT
from .exported import archive_of, executed, wait_until_ready

T1: Final = "corpus/regressions/t1-tags-of-hugetlb.s2"
T2: Final = "corpus/regressions/t2-tags-permission-fault.s2"
CLEAN: Final = "s2fuzz 1\nvm cpus=1 mte=on\nslot a size=2M backing=thp\ncpu0 write a+0\n"
# Series whose hugetlb pages have no tags.
WITHOUT_T1: Final = ("6.1", "6.12")


@pytest.mark.parametrize("file", [T1, T2], ids=["t1", "t2"])
def test_tags_of_another_owner_are_confirmed(
    kernel: RealKernel, tree: Candidate, machine: RealSession, file: str
) -> None:
    if file == T1 and series(kernel.name) in WITHOUT_T1:
        pytest.skip("hugetlb has no tags in this version")
    part = played(load(str(ROOT / file)), machine.page_size)
    (stamp,) = tags.stamps(machine, part, ModelRun(tree, part.program).finish().violations)
    assert stamp[0].checker == tags.RULE
    assert (stamp[1].word, stamp[1].why[:15]) == (CONFIRMED, "the guest reads")


def test_a_guest_sees_no_tags_of_pages_that_were_cleared(machine: RealSession) -> None:
    """The memory is tagged too, and a whole block is mapped at once."""
    lines = played(parse(CLEAN), machine.page_size).lines
    answers = answers_of(machine.play([tags.leave_line(parse(CLEAN)), *lines, "T 0 0x40000000 0x200000"]))
    assert answers.outcomes == {0: RealOutcome("ok", "0"), 1: RealOutcome("ok", tags.NONE)}


def test_an_exported_program_shows_the_tags(kernel: RealKernel, tree: Candidate, tmp_path: Path) -> None:
    file = archive_of({"t2": selftest(load(str(ROOT / T2)), tree, "t2")}, tmp_path)
    with RealMachine(kernel.image, file) as machine:
        wait_until_ready(machine)
        code, said = executed(machine, "t2")
    assert code == 1
    assert any("look at tags" in line and "tag 5 of 0x40001000, expected ok none" in line for line in said), said
