# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a gate: valid JUnit and SARIF, new findings against a baseline, and the reasons to fail."""

import json
from pathlib import Path

import pytest

import candidate
from fuzz.checkers.registry import rules
from fuzz.engines.summary import Summary
from fuzz.findings.accepted import Accepted, Entry
from fuzz.findings.found import CRASH
from fuzz.findings.record import record_of
from fuzz.gate.baseline import BaselineError, baseline_text, load_baseline
from fuzz.gate.junit import junit
from fuzz.gate.outcome import ACCEPTED, BEFORE, NEW, Gate, defined, gate_of
from fuzz.gate.sarif import DIFFERENCE, FINGERPRINT, sarif
from fuzz.gate.summary import markdown, verdict
from fuzz.judging.differential import Differential
from fuzz.judging.finding import REGRESSION, Finding
from fuzz.language.text import parse

from ..console import HEAD, MISSING_CLEAN
from .schemas import check_junit, check_sarif

PROGRAM = parse(MISSING_CLEAN)
DCACHE = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
LOCKING = "locking: kvm_mmu_topup_memory_cache: memory cache filled under mmu_lock"


def summary(*more: Finding, accepted: Accepted | None = None, longer: bool = False) -> Summary:
    """Make a session with the findings of rfc-v1 on one program."""
    program = parse(MISSING_CLEAN + "cpu0 read a+0\nhost age a+0 4K\n") if longer else PROGRAM
    found = Differential(candidate.get("original"), candidate.get("rfc-v1")).run(program).findings
    made = Summary("original", "rfc-v1", 1, programs=3, operations=12, accepted=accepted or Accepted())
    made.findings = [record_of(each, program, 1, 1) for each in (*found, *more)]
    return made


@pytest.fixture(scope="module")
def gate() -> Gate:
    """Make a gate with new findings, and one that is not the candidate's fault."""
    common = Finding("common", "tlb: f: a L2", "both", 0)
    return gate_of(summary(Finding("divergence", "map", "they differ", 4), common, longer=True), None)


def test_the_candidate_is_responsible_for_new_findings_only(gate: Gate) -> None:
    assert [(each.record.kind, each.record.signature, each.state) for each in gate.findings] == [
        (REGRESSION, DCACHE, NEW),
        (REGRESSION, LOCKING, NEW),
        ("divergence", "map", NEW),
    ]
    assert gate.failed
    assert gate.others == {"common": 1}
    assert verdict(gate) == "failed: 3 findings"


def test_the_place_is_the_innermost_code_of_the_candidate(gate: Gate) -> None:
    places = [each.place() for each in gate.findings]
    assert (places[0].file, places[0].function) == ("candidate/rfc_v1_3.py", "stage2_coalesce_tables_into_block")
    assert (places[1].file, places[1].function) == ("candidate/rfc_v1.py", "user_mem_abort")
    assert places[0].line > 1


def test_programs_of_new_findings_are_small(gate: Gate) -> None:
    assert [len(each.record.program.operations) for each in gate.findings[:2]] == [3, 1]


def test_the_kernel_function_is_the_place_without_code_of_the_candidate() -> None:
    made = summary()
    made.reference = "rfc-v1-1"
    gate = gate_of(made, [each.finding.key for each in made.findings])
    assert all(each.place().function for each in gate.findings)


@pytest.mark.parametrize(
    ("name", "function", "file"),
    [
        ("rfc-v1", "user_mem_abort", "candidate/rfc_v1.py"),
        ("rfc-v1", "__kvm_pgtable_visit", "reference/pgtable.py"),
        ("rfc-v1", "kvm_handle_guest_abort", "reference/mmu.py"),
        ("rfc-v1", "no_such_function", "candidate/rfc_v1.py"),
        ("rfc-v1", "", "candidate/rfc_v1.py"),
    ],
)
def test_a_finding_without_a_way_has_the_place_of_the_definition(name: str, function: str, file: str) -> None:
    place = defined(name, function)
    assert (place.file, place.function) == (file, function)
    assert place.line > 1


def test_junit_is_valid(gate: Gate) -> None:
    root = check_junit(junit(gate))
    failed = {
        case.get("name"): case.find("failure") for case in root.iter("testcase") if case.find("failure") is not None
    }
    assert set(failed) == {"dcache", "locking", "map"}
    failure = failed["dcache"]
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == (REGRESSION, f"{REGRESSION} {DCACHE}")
    assert "candidate/rfc_v1_3.py:" in (failure.text or "")
    # The test cases are the same for any findings.
    names = [case.get("name") for case in root.iter("testcase")]
    assert names[: len(rules())] == [rule.name for rule in rules()]


def test_sarif_is_valid(gate: Gate) -> None:
    run = check_sarif(sarif(gate))
    first, _, last = run["results"]
    assert (first["ruleId"], first["level"]) == ("dcache", "error")
    assert first["partialFingerprints"] == {FINGERPRINT: f"{REGRESSION} {DCACHE}"}
    place = first["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "candidate/rfc_v1_3.py"
    assert place["logicalLocations"] == [{"name": "stage2_coalesce_tables_into_block", "kind": "function"}]
    assert (last["ruleId"], last["level"]) == (DIFFERENCE, "warning")
    assert "baselineState" not in first


def test_the_summary_names_rule_place_and_program(gate: Gate) -> None:
    told = markdown(gate)
    assert told.startswith("# s2fuzz gate failed: 3 findings\n")
    assert "| 1 | regression | dcache: stage2_map_walker: table->block" in told
    assert "* Why: a guest that runs with its caches off would read stale memory" in told
    assert "cpu0 read a+0\n```" in told
    assert "Not counted: 1 common" in told


@pytest.mark.parametrize("form", [junit, sarif, markdown, baseline_text])
def test_files_contain_no_time_and_no_machine(gate: Gate, form: object) -> None:
    assert callable(form)
    before = form(gate)
    gate.summary.seconds += 100
    assert form(gate) == before
    assert before.isascii()


def test_findings_of_the_baseline_are_not_new(gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    content = json.loads(baseline_text(gate))
    content["findings"] = [each for each in content["findings"] if each["signature"] != LOCKING]
    content["findings"].append({"class": REGRESSION, "signature": "leak: f: a"})
    path.write_text(json.dumps(content))
    now = gate_of(summary(), load_baseline(str(path)))
    assert [(each.record.signature, each.state) for each in now.findings] == [(DCACHE, BEFORE), (LOCKING, NEW)]
    assert now.gone == [("divergence", "map"), (REGRESSION, "leak: f: a")]
    assert verdict(now) == "failed: 1 new finding"
    states = [each["baselineState"] for each in check_sarif(sarif(now))["results"]]
    assert states == ["unchanged", "new"]
    root = check_junit(junit(now))
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == ["locking"]
    assert "Gone since the baseline" in markdown(now)
    passed = gate_of(summary(), load_baseline(str(write(tmp_path, baseline_text(gate)))))
    assert not passed.failed
    assert verdict(passed) == "passed"


def test_a_baseline_with_a_former_signature_still_matches() -> None:
    now = Finding(REGRESSION, "progress: stage2_unmap_walker: does not return", "no event for 10 s", 0)
    former = (REGRESSION, "progress: stage2_unmap_walker: does not come back")
    made = Summary("original", "rfc-v1", 1, programs=3, operations=12, accepted=Accepted())
    made.findings = [record_of(now, PROGRAM, 1, 1)]
    gate = gate_of(made, [former])
    assert [each.state for each in gate.findings] == [BEFORE]
    assert gate.gone == []


def write(folder: Path, text: str) -> Path:
    path = folder / "b.json"
    path.write_text(text)
    return path


def test_accepted_findings_do_not_fail_and_stale_entries_may() -> None:
    entries = (Entry(1, "regression *", "mended in v2", "https://example.org/1"), Entry(2, "leak: *", "mended in v1"))
    found = [gate_of(summary(accepted=Accepted("known.toml", entries)), None, strict) for strict in (False, True)]
    assert [each.failed for each in found] == [False, True]
    assert {each.state for each in found[0].findings} == {ACCEPTED}
    assert verdict(found[1]) == "failed: 1 stale entry of accepted findings"
    told = check_sarif(sarif(found[0]))
    assert told["results"][0]["suppressions"] == [
        {"kind": "external", "justification": "mended in v2 (https://example.org/1)"}
    ]
    root = check_junit(junit(found[1]))
    (case,) = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert (case.get("classname"), case.get("name")) == ("s2fuzz.gate", "accepted findings match something")
    assert root.findtext(".//testcase[@name='dcache']/system-out") == (
        f"regression {DCACHE} (accepted: mended in v2 (https://example.org/1))"
    )
    assert "entry 2: leak: \\*" in markdown(found[0])


def test_an_internal_error_is_no_finding() -> None:
    made = Summary("original", "rfc-v1", 1, programs=3)
    made.crashes = [record_of(Finding(CRASH, "KeyError in f", "KeyError: 'ä' \x00"), PROGRAM, 1, 1)]
    gate = gate_of(made, None)
    assert not gate.failed
    root = check_junit(junit(gate))
    (case,) = [case for case in root.iter("testcase") if case.find("error") is not None]
    assert case.get("name") == "the outcome is complete"
    run = check_sarif(sarif(gate))
    assert not run["invocations"][0]["executionSuccessful"]
    assert verdict(gate) == "not complete"


BAD_BASELINES = (
    "",
    "[]",
    "{}",
    '{"baseline": 2, "findings": []}',
    '{"baseline": 1, "findings": [{"class": "common"}]}',
)


@pytest.mark.parametrize("text", BAD_BASELINES)
def test_a_file_that_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(
        BaselineError, match=r"b.json: no baseline; name a file that .s2fuzz gate --save-baseline. wrote"
    ):
        load_baseline(str(write(tmp_path, text)))


def test_a_class_that_no_gate_judges_is_refused(tmp_path: Path) -> None:
    text = '{"baseline": 1, "findings": [{"class": "cured", "signature": "a"}]}'
    with pytest.raises(BaselineError, match="class 'cured' of 'a'; allowed: regression, divergence"):
        load_baseline(str(write(tmp_path, text)))
    with pytest.raises(BaselineError, match="No such file"):
        load_baseline(str(tmp_path / "nowhere.json"))


def test_known_bugs_of_the_original_are_not_counted() -> None:
    program = parse(HEAD + "host write a+0 2M\ncpu0 read a+4K\nlog a off\ncpu0 write a+4K\n")
    found = Differential(candidate.get("original"), candidate.get("rfc-v1-3")).run(program).findings
    made = Summary("original", "rfc-v1-3", 1, programs=1)
    made.findings = [record_of(each, program, 1, 1) for each in found]
    gate = gate_of(made, None)
    assert (gate.findings, gate.failed) == ([], False)
    assert gate.others == {"common": 1}
