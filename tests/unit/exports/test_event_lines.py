# SPDX-License-Identifier: GPL-2.0-only
"""Events as JSON: each has the names of its parameters; operations, outcomes and violations stand between them."""

import json

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


def test_a_run_is_told_from_creation_to_destruction() -> None:
    program = load(FILE)
    lines = [json.loads(line) for line in event_lines(candidate.get("rfc-v1"), program)]
    assert [line["operation"] for line in lines if "operation" in line] == list(range(-1, len(program.operations) + 1))
    assert sum("outcome" in line for line in lines) == len(program.operations)
    # A helper call comes after its instructions.
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
