# SPDX-License-Identifier: GPL-2.0-only
"""Exported programs on real kernels: those of known bugs fail, a clean one passes, one that lacks memory is skipped."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.language.text import load, parse
from fuzz.real import initrd
from fuzz.real.kernels import RealKernel
from fuzz.real.machine import RealMachine
from fuzz.real.model import PORT
from fuzz.real.selftest import selftest
from fuzz.real.session import BOOT_PATIENCE, PLAY_PATIENCE

from ..unit.console import ROOT
from .test_run import M1, P1, has_m1

CLEAN: Final = "tests/data/real/log.s2"
# More 1G pages than the machine has.
LARGE: Final = "s2fuzz 1\nvm\nslot a size=2G backing=hugetlb1g\nslot b size=1G backing=hugetlb1g\ncpu0 read a+0\n"


@pytest.fixture
def archive(kernel: RealKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An initial file system with exported programs."""
    monkeypatch.setattr("fuzz.real.lines.MOST", {"thp": 1 << 40, "hugetlb1g": 1 << 40})
    programs = {"p1": load(str(ROOT / P1)), "m1": load(str(ROOT / M1)), "clean": load(str(ROOT / CLEAN))}
    programs["large"] = parse(LARGE)
    built: dict[str, bytes] = {}
    for name, program in programs.items():
        source = tmp_path / f"{name}.c"
        source.write_text(selftest(program, candidate.get(PORT), name))
        compiler = shutil.which(initrd.compiler())
        assert compiler is not None
        subprocess.run([compiler, "-static", "-O1", "-o", str(tmp_path / name), str(source)], check=True)
        built[name] = (tmp_path / name).read_bytes()
    file = tmp_path / "initrd.cpio"
    file.write_bytes(initrd.archive((initrd.make().parent / "init").read_bytes(), built))
    return file


def test_on_a_real_kernel(kernel: RealKernel, archive: Path) -> None:
    """In an order in which no warning comes before what asks for one."""
    results: dict[str, int] = {}
    said: dict[str, list[str]] = {}
    with RealMachine(kernel.image, archive) as machine:
        while not machine.line(BOOT_PATIENCE).startswith("READY "):
            pass
        for name in ("clean", "p1", "large", "m1", "clean", "m1"):
            machine.send(f"EXEC /{name}\n")
            said[name] = []
            while not (line := machine.line(PLAY_PATIENCE)).startswith("EXIT "):
                said[name].append(line)
            results.setdefault(name, int(line.split()[1]))
        last = int(line.split()[1])
    assert results == {"clean": 0, "p1": 1, "large": 4, "m1": int(has_m1(kernel))}
    # Who has been warned already cannot tell.
    assert last == (4 if has_m1(kernel) else 0)
    assert any(line.startswith("not ok 2 cpu0 fetch a+0 # the vCPU has left the guest") for line in said["p1"])
    assert said["clean"][:2] == ["TAP version 13", "1..6"]
    assert [line.startswith("ok ") for line in said["clean"][2:]] == [True] * 6
