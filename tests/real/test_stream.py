# SPDX-License-Identifier: GPL-2.0-only
"""The stream of stores, flushes and cache operations of a real kernel, compared with a tree of the same version."""

import json
import os
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.language.text import load, parse
from fuzz.real import session as sessions
from fuzz.real.events import CLEANED, FLUSHED, INVALIDATED, STORED
from fuzz.real.kernels import RealKernel, series
from fuzz.real.left_out import CPU, OLD_CPU, EmulatedCpu
from fuzz.real.memory import RealMemory
from fuzz.real.model import ModelRun
from fuzz.real.plugin import make
from fuzz.real.session import RealSession
from fuzz.real.stamp import CONFIRMED, NOT_CONFIRMED
from fuzz.real.stream import watch

from ..tree.trees import planted, version
from ..unit.console import ROOT, in_process

PROGRAMS: Final = ("split-by-write", "thp-blocks", "copy-on-write", "split-by-exec", "hugetlb-1g-blocks", "outside")
# Kernels that notify twice when a large folio is split: for its block, and for the rest of it. The model notifies
# once. The flushed ranges show the difference.
TWICE: Final = ("6.1", "6.12")
# A large folio whose first page user space has unmapped.
FOLIO: Final = (
    "s2fuzz 1\nvm cpus=1\nslot a size=4M backing=thp\n"
    "cpu0 write a+2M\nhost unmap a+2M 4K\ncpu0 write a+2052K\nhost split a+2052K\n"
)
# A block that must be cleaned.
EXPOSED: Final = "s2fuzz 1\nvm cpus=1 fwb=off\nslot a size=2M backing=thp\nhost write a+0 2M\ncpu0 read a+0\n"
CLEANER: Final = "clean_dcache_guest_page"
RETURN: Final = bytes.fromhex("c0035fd6")
# Address of the image of 6.12, with pages of 4K and nokaslr.
KERNEL: Final = 0xFFFF_8000_8000_0000


@pytest.mark.parametrize("cpu", [CPU, OLD_CPU], ids=["fwb", "no-fwb"])
def test_the_stream_equals_that_of_the_tree(kernel: RealKernel, cpu: EmulatedCpu) -> None:
    """Compare all stores and flushes, with their hints and ranges."""
    model = candidate.get(version(series(kernel.name)))
    kinds: set[str] = set()
    with RealSession(kernel, progress=lambda _: None, cpu=cpu, plugin=make()) as session:
        programs = [load(ROOT / "corpus" / "seeds" / f"{name}.s2") for name in PROGRAMS]
        if cpu is OLD_CPU or series(kernel.name) not in TWICE:
            programs.append(parse(FOLIO))
        for program in programs:
            found = watch(session, model, program)
            assert found.real == found.model
            assert len(found.real) == len(found.part.places)
            kinds |= {each.kind for events in found.real for each in events}
    assert kinds == {STORED, FLUSHED, INVALIDATED} | ({CLEANED} if cpu is OLD_CPU else set())


def planted_in_memory(monkeypatch: pytest.MonkeyPatch, kernel: RealKernel) -> None:
    """Make the cleaning function of this kernel do nothing in each machine that is restored from now on.

    The CPU without forced write-back has neither BTI nor pointer authentication.
    """
    load_memory = RealMemory.load

    def load(self: RealMemory, folder: Path) -> None:
        load_memory(self, folder)
        symbols = [line.split() for line in (folder / sessions.SYMBOLS).read_text().splitlines()]
        (start,) = [int(first, 16) for first, _, name in symbols if name == CLEANER]
        # The image starts at a multiple of 2M, and has a magic number in its header.
        image = next(at for at in range(0, 64 << 20, 2 << 20) if os.pread(self.files[0], 4, at + 56) == b"ARM\x64")
        os.pwrite(self.files[0], RETURN, image + start - KERNEL)

    monkeypatch.setattr(RealMemory, "load", load)


def test_a_cache_bug_is_confirmed_or_not(
    kernel: RealKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compare a tree that does not clean with a kernel that cleans, and with one that does not."""
    if series(kernel.name) != "6.12":
        pytest.skip("the kernel is not one of 6.12")
    body = "\t__clean_dcache_guest_page(va, size);\n"
    model = planted("6.12", tmp_path / "tree", MMU, body, "")
    signature = next(
        each.signature
        for each in ModelRun(candidate.get(model), parse(EXPOSED)).finish().violations
        if each.checker == "dcache"
    )
    file = tmp_path / "x.s2"
    file.write_text(f"# signature: {signature}\n{EXPOSED}")
    real = in_process(capsys, "real", "run", str(file), "--kernel", kernel.name, "--json")

    code, out, _ = real("--model", model)
    (found,) = [each for each in json.loads(out)["programs"][0]["findings"] if each["signature"] == signature]
    assert found["stamp"] == NOT_CONFIRMED
    assert found["why"] == f"4 stores, DC 2M, where {model} has 4 stores, no DC"
    assert f"# real: not confirmed on Linux {kernel.name}: 4 stores, DC 2M" in file.read_text()
    # The unchanged tree does not have the bug, and behaves like the kernel.
    assert real("--model", version("6.12"))[0] == 0
    assert "# real: not confirmed on Linux 6.12" in file.read_text()

    planted_in_memory(monkeypatch, kernel)
    code, out, _ = real("--model", model)
    (found,) = [each for each in json.loads(out)["programs"][0]["findings"] if each["signature"] == signature]
    assert (code, found["stamp"]) == (1, CONFIRMED)
    assert found["why"] == f"the same as {model}, in the same order: 4 stores, no DC"
    assert f"# real: confirmed on Linux {kernel.name}: the same as" in file.read_text()
