# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz real run`` on real kernels: their known bugs, and a program without findings."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

import candidate
from candidate import Candidate
from fuzz.language.text import load
from fuzz.real.answers import RealOutcome, parse
from fuzz.real.kernels import RealKernel, series
from fuzz.real.model import PORT, Expected, ModelRun
from fuzz.real.run import RealRun, run
from fuzz.real.session import RealSession
from fuzz.real.tables import RealTables
from fuzz.real.translate import played
from fuzz.sides.guest import Guest

from ..unit.console import ROOT, in_process, refused

P1: Final = "corpus/regressions/livelock-two-levels.s2"
M1: Final = "corpus/regressions/m1-cache-empty.s2"
NVHE: Final = "kvm-arm.mode=nvhe"
CLEAN: Final = "corpus/seeds/thp-blocks.s2"
# Series with the fix for M1.
WITHOUT_M1: Final = ("7.3",)


def has_m1(kernel: RealKernel) -> bool:
    """Return whether a kernel has M1."""
    return series(kernel.name) not in WITHOUT_M1


def answer(kernel: RealKernel, capture: pytest.CaptureFixture[str], *files: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and results of the command with the port as model."""
    paths = [str(ROOT / file) for file in files]
    code, out, _ = in_process(capture, "real", "run")(*paths, "--kernel", kernel.name, "--model", PORT, "--json")
    results: list[dict[str, Any]] = json.loads(out)["programs"]
    return code, results


def test_known_bugs_are_confirmed(kernel: RealKernel, capsys: pytest.CaptureFixture[str]) -> None:
    """P1 is a guest that hangs, M1 a warning. Each program gets its own machine."""
    code, (hang, warning) = answer(kernel, capsys, P1, M1)
    assert code == 1
    assert hang["result"] == "finding confirmed"
    assert warning["result"] == ("finding confirmed" if has_m1(kernel) else "as the model says")
    (finding,) = hang["findings"]
    assert finding["signature"] == "progress: kvm_handle_guest_abort: access does not complete"
    assert (finding["stamp"], finding["operation"]) == ("confirmed", "operation 2: cpu0 fetch a+0")
    assert "exits, and no progress" in finding["why"]
    assert hang["outcomes"][0] == "ok 0"
    stamps = {each["signature"].partition(":")[0]: each for each in warning["findings"]}
    assert stamps["memcache"]["stamp"] == ("confirmed" if has_m1(kernel) else "not confirmed")
    assert ("kvm_mmu_memory_cache_alloc()" in stamps["memcache"]["why"]) is has_m1(kernel)
    assert warning["complaints"] == ([stamps["memcache"]["why"]] if has_m1(kernel) else [])
    assert warning["differences"] == hang["differences"] == []


def test_without_vhe(newest: RealKernel, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The kernel has the same bug, but its tables and streams are unknown."""
    file = tmp_path / "x.s2"
    file.write_text(f"# signature: tlb: stage2_unmap_walker: something\n{(ROOT / P1).read_text()}")
    run = in_process(capsys, "real", "run", str(file), "--kernel", newest.name, "--model", PORT, "--append", NVHE)
    code, out, _ = run("--json")
    (result,) = json.loads(out)["programs"]
    assert (code, result["result"], result["kernel"]) == (1, "finding confirmed", f"{newest.name} ({NVHE})")
    why = "without VHE the root of a VM's tables is unknown"
    assert f"# real: the emulator cannot show it on Linux {newest.name} ({NVHE}): {why}\n" in file.read_text()
    refused(run("--tables"), "VTTBR_EL2", "use --tables with VHE")


def test_a_clean_program_has_no_findings(kernel: RealKernel, capsys: pytest.CaptureFixture[str]) -> None:
    code, (clean,) = answer(kernel, capsys, CLEAN)
    assert (code, clean["result"], clean["complaints"]) == (0, "as the model says", [])
    assert clean["kernel"] == kernel.name


def test_without_a_livelock_the_same_guest_continues(machine: RealSession) -> None:
    """The program of P1 with tables of three levels makes the same accesses without a hang."""
    program = load(str(ROOT / P1))
    text = [line.replace("v 32 ", "v 40 ") for line in played(program, machine.page_size).lines]
    assert parse(machine.play(text)).outcomes == {0: RealOutcome("ok", "0"), 1: RealOutcome("ok", "0")}


def result(session: RealSession, file: str) -> RealRun:
    """Run a program, and compare it with the port."""
    return run(session, candidate.get(PORT), file, load(str(ROOT / file)))


def test_a_wrong_model_differs(machine: RealSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects a wrong value of a read, and a log with a missing page."""
    real = ModelRun.finish
    for at, value in ((2, 7), (4, [0])):

        def other(self: ModelRun, at: int = at, value: object = value) -> Expected:
            found = real(self)
            assert found.outcomes[at].value != value
            found.outcomes[at].value = value
            return found

        monkeypatch.setattr(ModelRun, "finish", other)
        found = result(machine, "tests/data/real/log.s2")
        assert [each.at for each in found.differences] == [at]
        assert found.word() == "differs from the model"
    monkeypatch.setattr(ModelRun, "finish", real)
    assert result(machine, "tests/data/real/log.s2").word() == "as the model says"


def test_a_log_of_any_length_is_reported(machine: RealSession) -> None:
    """The full log of 1G was once longer than /init's buffer."""
    assert result(machine, "tests/data/real/full-log.s2").word() == "as the model says"


@pytest.mark.parametrize("file", ["device-area", "one-cpu"])
def test_tables_equal_those_of_the_tree(tree: Candidate, machine: RealSession, file: str) -> None:
    """The ports behave differently.

    device-area: a boundary within a device area notifies for nothing else, unless the area contains the whole block.
    /init once mapped the whole block. one-cpu: the fetch relaxes a block and flushes only its own CPU's TLB; the other
    vCPU runs there too.
    """
    found = run(machine, tree, "x", load(str(ROOT / f"tests/data/real/{file}.s2")), tables=True)
    assert ([each.text() for each in found.tables], found.differences) == ([], [])


def test_one_machine_plays_many_programs(kernel: RealKernel, machine: RealSession) -> None:
    """Nothing of one program is left for the next one, not even VM tables."""
    for _ in range(3):
        found = result(machine, M1)
        assert len(found.complaints) == has_m1(kernel)
        assert found.answers.tables <= 0


def test_tables_are_compared(machine: RealSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's tables are equal after each operation; those of a model that lags behind are not."""
    program = load(str(ROOT / "corpus/seeds/split-by-write.s2"))
    looks: list[int] = []
    real = RealTables.compare

    def counted(self: RealTables, guest: Guest, root: int) -> list[tuple[int, str, str]]:
        looks.append(root)
        return real(self, guest, root)

    monkeypatch.setattr(RealTables, "compare", counted)
    found = run(machine, candidate.get(PORT), "x", program, tables=True)
    assert (found.word(), found.tables) == ("as the model says", [])
    assert len(looks) == len(program.operations)
    assert len(set(looks)) == 1

    step = ModelRun.step
    lag = iter([False])
    monkeypatch.setattr(ModelRun, "step", lambda self: step(self) if next(lag, True) else True)
    found = run(machine, candidate.get(PORT), "x", program, tables=True)
    assert found.word() == "differs from the model"
    assert found.tables[0].text() == "0x40000000: model nothing, kernel L2 rw-A"
    assert "tables differ at operation " in found.text()
