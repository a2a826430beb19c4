# SPDX-License-Identifier: GPL-2.0-only
"""Findings that need two CPUs: the emulated machine has one, so it cannot tell whether the kernel has them."""

from typing import Final

import candidate
from fuzz.language.text import parse
from fuzz.real.model import ModelRun
from fuzz.real.stamp import HIDDEN, stamp_of_cpus

# The flush of relaxed permissions is local to this CPU: the write of the other CPU does not complete.
VERSION: Final = "bug-relax-local"
LINES: Final = ("cpu0 read a+0", "cpu1 read a+0", "cpu0 write a+0", "cpu1 write a+0")
PROGRAM: Final = parse("\n".join(["s2fuzz 1", "vm cpus=2", "slot a size=4K backing=anon log=on", *LINES, ""]))


def test_a_finding_that_needs_two_cpus() -> None:
    version = candidate.get(VERSION)
    with_two = [each.signature for each in ModelRun(version, PROGRAM, one_cpu=False).finish().violations]
    assert with_two
    assert [each.signature for each in ModelRun(version, PROGRAM).finish().violations] == []
    stamp = stamp_of_cpus(version, PROGRAM, with_two[0])
    assert stamp is not None
    assert stamp.word == HIDDEN
    assert stamp_of_cpus(version, PROGRAM, "tlb: nothing: of this name") is None
