# SPDX-License-Identifier: GPL-2.0-only
"""Stamps on files of findings, from recorded answers of a real run, without QEMU."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import pytest

from fuzz.findings.found import comments_of
from fuzz.language.text import load
from fuzz.real.kernels import RealKernel
from fuzz.real.model import PORT
from fuzz.real.plugin import NoStreamError
from fuzz.real.stream import StreamWitness
from fuzz.real.translate import played

from ..console import ROOT, Result, in_process

DATA: Final = ROOT / "tests" / "data" / "real"
NAMES: Final = ("livelock-two-levels", "m1-cache-empty")
RELEASE: Final = "6.12.117+deb12-cloud-arm64"
HANG: Final = "progress: kvm_handle_guest_abort: access does not complete"
PAGE: Final = 4096

Real = Callable[..., Result]


class Recorded:
    """A session with the answers of a real one."""

    release = RELEASE
    page_size = PAGE
    fresh = True
    machine = None

    def __init__(self, *_: object, **__: object) -> None:
        self.answers: dict[tuple[str, ...], list[str]] = {}
        for name in NAMES:
            lines = (DATA / f"{name}.txt").read_text().splitlines()
            assert RELEASE in lines[0]
            self.answers[played(load(program(name)), PAGE).lines] = lines[1:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no resources are held."""

    def start(self) -> None:
        """Do nothing: there is no machine to start."""

    def close(self) -> None:
        """Do nothing: there is no machine to stop."""

    def begin(self, lines: list[str]) -> None:
        """Look up the recorded answer."""
        self.last = self.answers[tuple(lines)]

    def finish(self, look: object = None) -> list[str]:
        """Return the recorded answer."""
        return self.last


def program(name: str) -> Path:
    """Return the path of a program of the corpus."""
    return ROOT / "corpus" / "regressions" / f"{name}.s2"


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Real:
    """Return a function that runs ``s2fuzz real run`` beside the port, on recorded answers."""

    def none(*_: object) -> None:
        raise NoStreamError("no cc to compile the plugin with")

    monkeypatch.setattr("fuzz.real.session.RealSession", Recorded)
    monkeypatch.setattr("fuzz.real.kernels.find", lambda _: RealKernel(Path("none"), RELEASE))
    monkeypatch.setattr(StreamWitness, "watched", none)
    return in_process(capsys, "real", "run", "--model", PORT)


def stamped(real: Real, folder: Path, name: str, signature: str) -> tuple[int, str, Path]:
    """Return exit code, stamp, and file of a finding shown by this program."""
    file = folder / f"{name}.s2"
    text = program(name).read_text()
    file.write_text(f"# signature: {signature}\n{text}")
    code, _, _ = real(str(file))
    # Only the comment is new.
    assert load(file) == load(program(name))
    return code, comments_of(file.read_text()).get("real", ""), file


def test_a_hang_is_confirmed_by_its_exits(real: Real, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, stamp, file = stamped(real, tmp_path, "livelock-two-levels", HANG)
    assert (code, stamp) == (1, f"confirmed on Linux {RELEASE}: stuck (4880 exits, and no progress)")
    # Judging the program shows the stamp.
    _, out, _ = in_process(capsys, "run", "--candidate", PORT)(str(file))
    assert f"            real kernel: {stamp}\n" in out


def test_a_warning_is_confirmed_with_its_own_text(real: Real, tmp_path: Path) -> None:
    (signature,) = [
        line.partition(" common ")[2]
        for line in program("m1-cache-empty").read_text().splitlines()
        if line.startswith(f"# expect {PORT}: common memcache")
    ]
    code, stamp, _ = stamped(real, tmp_path, "m1-cache-empty", signature)
    words = "WARNING at virt/kvm/kvm_main.c:471 kvm_mmu_memory_cache_alloc()"
    assert (code, stamp) == (1, f"confirmed on Linux {RELEASE}: {words}")


def test_a_finding_of_another_version_is_not_confirmed(real: Real, tmp_path: Path) -> None:
    _, stamp, _ = stamped(real, tmp_path, "m1-cache-empty", HANG)
    assert stamp == f"not confirmed on Linux {RELEASE}: nor by {PORT}, and the two agree"
    _, stamp, _ = stamped(real, tmp_path, "m1-cache-empty", "refcount: stage2_map_walker: a count is wrong")
    assert stamp == f"cannot be seen from user space on Linux {RELEASE}: {PORT} does not show it either"


@pytest.mark.parametrize("rule", ["dcache", "icache", "tlb", "bbm", "lifetime", "locking"])
def test_never_not_confirmed_without_a_stream(real: Real, tmp_path: Path, rule: str) -> None:
    _, stamp, _ = stamped(real, tmp_path, "m1-cache-empty", f"{rule}: stage2_map_walker: something is wrong")
    assert stamp.startswith(f"the emulator cannot show it on Linux {RELEASE}: ")
    assert ("no cc to compile the plugin with" in stamp) == (rule != "locking")


def test_a_program_that_was_not_played_keeps_its_stamp(
    real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stamp, file = stamped(real, tmp_path, "livelock-two-levels", HANG)
    before = file.read_text()
    assert f"# real: {stamp}\n" in before
    monkeypatch.setattr(Recorded, "finish", lambda *_: ["r -1 error -12 of the VM", "DONE 0 0.1 0 0"])
    assert real(str(file))[0] == 1
    assert file.read_text() == before


def test_a_divergence_gets_no_stamp(real: Real, tmp_path: Path) -> None:
    assert stamped(real, tmp_path, "m1-cache-empty", "map")[1] == ""
    file = tmp_path / "plain.s2"
    file.write_text(program("m1-cache-empty").read_text())
    assert real(str(file))[0] == 1
    assert file.read_text() == program("m1-cache-empty").read_text()
