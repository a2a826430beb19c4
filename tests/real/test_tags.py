# SPDX-License-Identifier: GPL-2.0-only
"""Guests with MTE on real kernels: the tags of another owner that known bugs show them, and none where all is well."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate import Candidate
from fuzz.language.text import load, parse
from fuzz.real import initrd, tags
from fuzz.real.answers import RealOutcome
from fuzz.real.answers import parse as answers_of
from fuzz.real.kernels import RealKernel, series
from fuzz.real.machine import RealMachine
from fuzz.real.model import model_for
from fuzz.real.selftest import selftest
from fuzz.real.session import BOOT_PATIENCE, PLAY_PATIENCE, RealSession
from fuzz.real.stamp import CONFIRMED
from fuzz.real.translate import played

from ..unit.console import ROOT

T1: Final = "corpus/regressions/t1-tags-of-hugetlb.s2"
T2: Final = "corpus/regressions/t2-tags-permission-fault.s2"
CLEAN: Final = "s2fuzz 1\nvm cpus=1 mte=on\nslot a size=2M backing=thp\ncpu0 write a+0\n"
# Their hugetlb has no tags.
WITHOUT_T1: Final = ("6.1", "6.12")


@pytest.fixture
def model(kernel: RealKernel) -> Candidate:
    """The tree of the kernel's version; ports have no MTE."""
    name = model_for(kernel.name)
    if not name.startswith("tree:"):
        pytest.skip("no tree of this version (S2FUZZ_TREES names a folder of trees)")
    return candidate.get(name)


@pytest.mark.parametrize("file", [T1, T2], ids=["t1", "t2"])
def test_tags_of_another_owner_are_confirmed(
    kernel: RealKernel, model: Candidate, machine: RealSession, file: str
) -> None:
    if file == T1 and series(kernel.name) in WITHOUT_T1:
        pytest.skip("hugetlb has no tags in this version")
    (stamp,) = tags.stamps(machine, model, load(str(ROOT / file)))
    assert stamp[0].checker == tags.RULE
    assert (stamp[1].word, stamp[1].why[:15]) == (CONFIRMED, "the guest reads")


def test_a_guest_sees_no_tags_of_pages_that_were_cleared(machine: RealSession) -> None:
    """The same memory, and a whole block that is mapped at once."""
    lines = played(parse(CLEAN), machine.page_size).lines
    answers = answers_of(machine.play([tags.leave(parse(CLEAN)), *lines, "T 0 0x40000000 0x200000"]))
    assert answers.outcomes == {0: RealOutcome("ok", "0"), 1: RealOutcome("ok", tags.NONE)}


def test_an_exported_program_shows_them(kernel: RealKernel, model: Candidate, tmp_path: Path) -> None:
    source, program = tmp_path / "t2.c", tmp_path / "t2"
    source.write_text(selftest(load(str(ROOT / T2)), model, "t2"))
    compiler = shutil.which(initrd.compiler())
    assert compiler is not None
    subprocess.run([compiler, "-static", "-O1", "-o", str(program), str(source)], check=True)
    file = tmp_path / "initrd.cpio"
    file.write_bytes(initrd.archive((initrd.make().parent / "init").read_bytes(), {"t2": program.read_bytes()}))
    said: list[str] = []
    with RealMachine(kernel.image, file) as machine:
        while not machine.line(BOOT_PATIENCE).startswith("READY "):
            pass
        machine.send("EXEC /t2\n")
        while not (line := machine.line(PLAY_PATIENCE)).startswith("EXIT "):
            said.append(line)
    assert line == "EXIT 1"
    assert any("look at tags" in line and "tag 5 of 0x40001000, expected ok none" in line for line in said), said
