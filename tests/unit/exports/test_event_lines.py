# SPDX-License-Identifier: GPL-2.0-only
"""Events as JSON: named parameters for each, with operations, outcomes and violations in between."""

import json
from pathlib import Path

import pytest

import candidate
from fuzz.exports.event_lines import event_lines, parameters
from fuzz.judging.differential import Differential
from fuzz.language.text import load
from reference.events import EVENT_NAMES

from ..console import ROOT, in_process

FILE = ROOT / "corpus" / "regressions" / "dcache-thp-route.s2"


def test_every_event_has_its_parameters() -> None:
    assert sorted(parameters()) == sorted(EVENT_NAMES)
    assert parameters()["store"] == ("ptep", "old", "new", "release")


def test_a_run_is_reported_from_creation_to_destruction() -> None:
    program = load(FILE)
    lines = [json.loads(line) for line in event_lines(candidate.get("rfc-v1"), program)]
    assert [line["operation"] for line in lines if "operation" in line] == list(range(-1, len(program.operations) + 1))
    assert sum("outcome" in line for line in lines) == len(program.operations)
    # A helper call follows its instructions.
    called = next(at for at, line in enumerate(lines) if line.get("event") == "tlbi_ipa")
    below = [line["text"] for line in lines[:called] if line.get("event") == "instruction"]
    assert below[-3:] == ["msr vttbr_el2, 0x0", "msr hcr_el2, 0x408000000", "isb"]
    stores = [line for line in lines if line.get("event") == "store"]
    assert stores
    assert all(isinstance(line["release"], bool) for line in stores)
    verdict = Differential(candidate.get("original"), candidate.get("rfc-v1")).run(program)
    shown = {line["violation"] for line in lines if "violation" in line}
    assert {each.signature for each in verdict.findings if each.kind == "regression"} <= shown


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, "export")("--events", str(FILE), "--model", "rfc-v1")
    assert (code, err) == (0, "")
    assert out.splitlines() == event_lines(candidate.get("rfc-v1"), load(FILE))


def test_the_version_is_taken_from_the_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = in_process(capsys, "export")
    about = "# kind: regression\n# reference: original\n# candidate: {}\n"
    Path("x.s2").write_text(about.format("rfc-v1") + FILE.read_text())
    assert run("--events", "x.s2")[1] == run("--events", str(FILE), "--model", "rfc-v1")[1]
    # An option takes precedence over comments.
    assert run("--events", "x.s2", "--model", "v5.14")[1] == run("--events", str(FILE))[1]
    # A candidate that may be wrong does not define the expected outcomes.
    program = (ROOT / "corpus" / "regressions" / "livelock-two-levels.s2").read_text()
    Path("y.s2").write_text(program)
    right = run("--selftest", "y.s2")
    Path("y.s2").write_text(about.format("rfc-v1") + program)
    assert run("--selftest", "y.s2") == right
    Path("x.s2").write_text(about.format("./mine.py") + FILE.read_text())
    code, _, err = run("--events", "x.s2")
    assert code == 2
    assert "x.s2: its comment `# candidate: ./mine.py`: candidate ./mine.py: no such file; " in err
    assert err.endswith("; or name another version with --model\n")
