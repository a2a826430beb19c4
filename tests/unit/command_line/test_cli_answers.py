# SPDX-License-Identifier: GPL-2.0-only
"""The answers of run, fuzz and bench: exit codes, the keys of --json, the text."""

import re
import time
from pathlib import Path

import pytest

import candidate
from fuzz.distribution import form
from fuzz.judging.differential import CLASSES

from ..console import HEAD, MISSING_CLEAN
from .calls import CHANGES, SAME, Call, answer, told_first, write

SIGNATURE = "dcache: stage2_map_walker: table->block "
KNOWN_X1 = HEAD + "host write a+0 2M\ncpu0 read a+4K\nlog a off\ncpu0 write a+4K\n"


def test_run_regression(call: Call) -> None:
    code, out, err = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1")
    assert (code, err) == (1, CHANGES)
    assert out.startswith("p.s2: rfc-v1 against original: regression\n")
    assert f"regression  {SIGNATURE}" in out
    assert "at operation 4: cpu1 read a+20K mmu=off\n" in out


def test_run_known_bug_of_the_original(call: Call) -> None:
    code, out, _ = call("run", write(KNOWN_X1), "--candidate", "rfc-v1-3")
    assert code == 0
    assert f"common      {SIGNATURE}" in out
    assert "known bug X1 of the original: " in out


def test_run_clean(call: Call) -> None:
    code, out, _ = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1-fixed")
    assert code == 0
    assert out.startswith("p.s2: rfc-v1-fixed against original: clean")


def test_run_all_excludes_the_reference(call: Call) -> None:
    found = answer(call("run", write(MISSING_CLEAN), "--reference", "v5.12.9", "--json"))
    assert [result["candidate"] for result in found["results"]] == [n for n in candidate.names() if n != "v5.12.9"]


@pytest.mark.parametrize(("reference", "name"), [("original", "the original"), ("rfc-v1-3", "rfc-v1-3")])
def test_the_legend_names_the_reference(call: Call, reference: str, name: str) -> None:
    """Both versions have bug X1; a regression of one is cured by the other."""
    patched = "rfc-v1-3" if reference == "original" else "original"
    versions = ("--reference", reference, "--candidate", patched)
    _, out, _ = call("run", write(MISSING_CLEAN, "one.s2"), write(KNOWN_X1, "two.s2"), *versions)
    assert f"common: {name} is wrong too" in out
    assert (f"cured: only {name} is wrong" in out) == (patched == "original")
    assert ("the original is wrong" in out) == (reference == "original")
    assert f"common: {name} is wrong too" in call("fuzz", *versions, "--programs", "30")[1]


def test_run_json(call: Call) -> None:
    result = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1", "--json", "--trace")
    assert result[0] == 1
    found = answer(result)
    assert found.keys() == {"s2fuzz", "form", "exit_code", "changes", "results", "known_findings"}
    assert found["exit_code"] == 1
    (changes,) = found["changes"]
    assert changes.pop("overrides") == ["user_mem_abort"]
    assert changes == {"candidate": "rfc-v1", "on": ["rfc-v1-3"], "adds": [], "sets": [], "same": False}
    (run,) = found["results"]
    assert run.keys() == {
        "program", "reference", "candidate", "verdict", "findings", "consequences", "notes", "costs", "error", "trace",
        "exercise",
    }  # fmt: skip
    assert (run["program"], run["reference"], run["candidate"]) == ("p.s2", "original", "rfc-v1")
    assert run["verdict"] == "regression"
    assert run["error"] is None
    assert run["costs"]["complete"]
    assert run["costs"]["reference"]["bytes_cleaned"] == (2 << 20) + 4096
    assert run["costs"]["candidate"]["bytes_cleaned"] == 4096
    assert "the first difference" in run["trace"]
    finding = next(each for each in run["findings"] if each["signature"].startswith(SIGNATURE))
    assert finding.keys() == {
        "class",
        "signature",
        "reason",
        "at",
        "operation",
        "severity",
        "known",
        "real",
        "accepted",
    }
    assert (finding["severity"], finding["accepted"]) == ("corruption", None)
    assert (finding["class"], finding["at"]) == ("regression", 3)
    assert finding["operation"] == "operation 4: cpu1 read a+20K mmu=off"


def test_run_json_explains_known_bugs(call: Call) -> None:
    found = answer(call("run", write(KNOWN_X1), "--candidate", "rfc-v1-3", "--json"))
    known = [finding["known"] for finding in found["results"][0]["findings"]]
    assert any(each and each.keys() == {"id", "reason", "link"} and each["id"] == "X1" for each in known)


def test_run_cost(call: Call) -> None:
    name = write(MISSING_CLEAN)
    assert "cost " not in call("run", name, "--candidate", "rfc-v1")[1]
    code, out, _ = call("run", name, "--candidate", "rfc-v1", "--cost")
    assert code == 1
    assert "\ncost                     original  rfc-v1  difference\n" in out
    assert "\nD-cache cleaned             2052K      4K         -2M\n" in out


def test_run_trace(call: Call) -> None:
    code, out, _ = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1", "--trace")
    assert code == 1
    assert f"!! {SIGNATURE}" in out
    assert "block(2M)@" in out


def test_fuzz_json(call: Call) -> None:
    result = call("fuzz", "--candidate", "rfc-v1", "--programs", "8", "--seed", "3", "--json")
    assert result[0] == 1
    found = answer(result)
    assert found.keys() == {
        "s2fuzz", "form", "reference", "candidate", "seed", "programs", "operations", "seconds", "elapsed",
        "programs_per_second", "operations_per_second", "interrupted", "costs", "findings", "crashes", "trouble",
        "unreplayed", "known_findings", "exit_code", "changes", "refused", "exercise", "blocks", "repeated", "same",
    }  # fmt: skip
    assert (found["programs"], found["seed"], found["interrupted"], found["trouble"]) == (8, 3, False, None)
    assert found["crashes"] == found["unreplayed"] == found["known_findings"] == []
    assert found["costs"].keys() == {"programs", "reference", "candidate"}
    assert found["costs"]["programs"] == 1
    assert found["costs"]["reference"]["events"] > 0
    for finding in found["findings"]:
        assert finding.keys() == {
            "class", "signature", "reason", "count", "severity", "known", "real", "accepted", "program", "operations",
            "operation", "file", "text",
        }  # fmt: skip
        assert Path(finding["file"]).read_text().endswith(finding["text"])
    classes = [CLASSES.index(finding["class"]) for finding in found["findings"]]
    assert classes == sorted(classes)


def test_fuzz_text_names_each_finding_once(call: Call) -> None:
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--programs", "8", "--out", "kept")
    assert (code, told_first(err)) == (1, f"{CHANGES}s2fuzz: {form()}\n")
    # Each finding is printed when it is found, and again in the summary.
    told = re.findall(r"^s2fuzz: program \d+: (\w+) (.*)$", err, re.MULTILINE)
    assert sorted(told) == sorted(re.findall(r"^(regression|divergence|common|cured) +(.*)$", out, re.MULTILINE))
    assert told
    assert "8 programs and " in out
    assert " operations/s\n" in out
    assert "\ncost of 1 of 8 programs " in out
    assert [path.name for path in Path("kept").iterdir()] == ["rfc-v1"]
    files = sorted(str(path) for path in Path("kept").glob("*/*.s2"))
    assert files
    assert all(out.count(name) == 1 for name in files)


def test_fuzz_reports_judging_time_and_total_time(call: Call) -> None:
    start = time.monotonic()
    found = answer(call("fuzz", "--candidate", "rfc-v1", "--programs", "8", "--out", "kept", "--json"))
    elapsed = time.monotonic() - start
    assert 0 < found["seconds"] < found["elapsed"] < elapsed
    # The rest of the time is spent on arguments and output.
    assert found["elapsed"] > elapsed / 2
    _, out, _ = call("fuzz", "--candidate", "rfc-v1", "--programs", "8", "--out", "kept")
    told = re.search(r" judged in ([\d.]+) s, all done in ([\d.]+) s\n", out)
    assert told
    assert 0 < float(told[1]) <= float(told[2])


def test_fuzz_original_against_itself_is_fine(call: Call) -> None:
    code, _, err = call("fuzz", "--candidate", "original", "--programs", "4", "--seed", "8")
    assert (code, err) == (0, f"{SAME}s2fuzz: {form()}\n")


def test_bench_json(call: Call) -> None:
    result = call("bench", "--programs", "2", "--json")
    assert result[0] == 0
    found = answer(result)
    assert found.keys() == {
        "s2fuzz", "form", "mix", "programs", "operations", "events", "capped", "forms", "cores", "python",
    }  # fmt: skip
    assert found["forms"].keys() >= {"interpreted"}
    for measured in found["forms"].values():
        assert measured.keys() == {
            "seconds", "cpu_seconds", "operations_per_second", "events_per_second",
            "switch_microseconds", "memory_at_10_percent", "memory_at_end", "areas", "groups", "model",
            "capped_operations_per_second",
        }  # fmt: skip
        assert sum(measured["groups"].values()) == pytest.approx(sum(measured["areas"].values()), abs=0.5)
        assert measured["operations_per_second"] * found["events"] == pytest.approx(
            measured["events_per_second"] * found["operations"], rel=0.01
        )
    areas = found["forms"]["interpreted"]["areas"]
    assert {"pgtable port", "mmu port", "kernel layer", "machine", "checker tlb"} <= areas.keys()
    assert sum(areas.values()) == pytest.approx(100, abs=3)


def test_bench_text(call: Call) -> None:
    code, out, _ = call("bench", "--programs", "1")
    assert code == 0
    assert "operations/s (CPU time)" in out
    assert " cores, Python " in out


def test_bench_of_two_pairs_json(call: Call) -> None:
    result = call("bench", "--trees", "original", "rfc-v1", "--programs", "2", "--json")
    assert result[0] == 0
    found = answer(result)
    assert found.keys() == {
        "s2fuzz", "form", "mix", "programs", "operations", "cores", "python", "ratio", "pairs", "switch",
    }  # fmt: skip
    ports, trees = found["pairs"]["ports"], found["pairs"]["trees"]
    assert (trees["reference"], trees["candidate"]) == ("original", "rfc-v1")
    # Both pairs run the same programs on the same versions.
    assert ports["events"] == trees["events"] > 0
    assert ports["seconds"] * ports["operations_per_second"] == pytest.approx(found["operations"], rel=0.1)
