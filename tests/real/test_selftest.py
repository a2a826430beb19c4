# SPDX-License-Identifier: GPL-2.0-only
"""Exported programs on real kernels: known bugs fail, a clean program passes, one that lacks memory is skipped."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.language.text import load, parse
from fuzz.real.kernels import RealKernel
from fuzz.real.machine import RealMachine
from fuzz.real.model import PORT
from fuzz.real.selftest import selftest

from ..unit.console import ROOT
from .exported import archive_of, executed, wait_until_ready
from .test_run import M1, P1, has_m1

CLEAN: Final = "tests/data/real/log.s2"
# More 1G pages than the machine has.
LARGE: Final = "s2fuzz 1\nvm\nslot a size=2G backing=hugetlb1g\nslot b size=1G backing=hugetlb1g\ncpu0 read a+0\n"


@pytest.fixture
def archive(kernel: RealKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an initial file system with exported programs."""
    monkeypatch.setattr("fuzz.real.lines.MAX_BACKED", {"thp": 1 << 40, "hugetlb1g": 1 << 40})
    programs = {"p1": load(str(ROOT / P1)), "m1": load(str(ROOT / M1)), "clean": load(str(ROOT / CLEAN))}
    programs["large"] = parse(LARGE)
    version = candidate.get(PORT)
    return archive_of({name: selftest(program, version, name) for name, program in programs.items()}, tmp_path)


def test_on_a_real_kernel(kernel: RealKernel, archive: Path) -> None:
    """In this order, no kernel warning occurs before the first program that expects one."""
    results: dict[str, int] = {}
    said: dict[str, list[str]] = {}
    with RealMachine(kernel.image, archive) as machine:
        wait_until_ready(machine)
        for name in ("clean", "p1", "large", "m1", "clean", "m1"):
            last, said[name] = executed(machine, name)
            results.setdefault(name, last)
    assert results == {"clean": 0, "p1": 1, "large": 4, "m1": int(has_m1(kernel))}
    # After an earlier warning, the program cannot judge, and is skipped.
    assert last == (4 if has_m1(kernel) else 0)
    assert any(line.startswith("not ok 2 cpu0 fetch a+0 # the vCPU has left the guest") for line in said["p1"])
    assert said["clean"][:2] == ["TAP version 13", "1..6"]
    assert [line.startswith("ok ") for line in said["clean"][2:]] == [True] * 6
