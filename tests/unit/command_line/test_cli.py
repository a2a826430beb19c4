# SPDX-License-Identifier: GPL-2.0-only
"""The command line: exit codes, one line for every kind of bad input, the keys of --json."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import candidate
from fuzz.checkers.registry import rules
from fuzz.distribution import form
from fuzz.engines import unit as units
from fuzz.engines.drivers import run_here
from fuzz.engines.supervisor import Watch
from fuzz.engines.unit import Message, Unit
from fuzz.judging.differential import CLASSES, Differential
from fuzz.judging.forked import Forked
from fuzz.language.program import Program
from fuzz.language.text import load

from ..console import HEAD, MISSING_CLEAN, Result, in_process, refused
from ..replaying import Here

SIGNATURE = "dcache: stage2_map_walker: table->block "
# The line before rfc-v1 runs, and the one before the original runs against itself.
CHANGES = "s2fuzz: rfc-v1 (on rfc-v1-3) overrides user_mem_abort; adds nothing\n"
SAME = "s2fuzz: original changes nothing: both sides run the code of original\n"
KNOWN_X1 = HEAD + "host write a+0 2M\ncpu0 read a+4K\nlog a off\ncpu0 write a+4K\n"

# Runs a command with these arguments.
Call = Callable[..., Result]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a command in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2FUZZ_DEBUG", raising=False)

    return in_process(capsys)


def write(text: str | bytes, name: str = "p.s2") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


BAD_PROGRAMS = {
    "empty": ("", "p.s2:1: the text ends here", "s2fuzz 1"),
    "comments_only": ("# nothing\n\n", "p.s2:1:"),
    "binary": (b"\x7fELF\x02\x01\x01\x00\xff\xfe", "p.s2: byte 0xff", "UTF-8"),
    "binary_zeros": (bytes(64), "p.s2:1:", "printable ASCII"),
    "other_version": ("s2fuzz 9\nvm\n", "p.s2:1: unknown version", "1"),
    "unknown_operation": (HEAD + "cpu0 fly a+0\n", "p.s2:4: unknown operation", "read|write|fetch"),
    "unknown_statement": (HEAD + "reboot\n", "p.s2:4: unknown statement", "host"),
    "unknown_slot": (HEAD + "cpu0 read b+0\n", "p.s2:4: unknown slot", "allowed: a"),
    "address_outside_slot": (HEAD + "cpu0 read a+4M\n", "p.s2:4: no such place in slot a: a+4M", "0 to 0x3fffff"),
    "range_outside_slot": (HEAD + "host write a+2M 4M\n", "p.s2:4: size 4M", "4K to 2M"),
    "number_too_large": (HEAD + f"cpu0 read a+{10**40}\n", "p.s2:4:", "too large"),
    "size_too_large": ("s2fuzz 1\nvm\nslot a size=3G backing=anon\n", "p.s2:3: size=3G", "2G"),
    "no_such_cpu": (HEAD + "cpu7 read a+0\n", "p.s2:4: cpu7", "cpu0 to cpu1"),
    "slot_beyond_ipa": ("s2fuzz 1\nvm ipa=32\nslot a ipa=4G size=4K backing=anon\n", "p.s2:3: ipa=4G"),
    "granule_not_there": ("s2fuzz 1\nvm granule=5K\n", "p.s2:2: granule=5K", "allowed: 4K"),
    "ipa_too_large": ("s2fuzz 1\nvm ipa=64\n", "p.s2:2: ipa=64", "32 to 48"),
    "device_logged": ("s2fuzz 1\nvm\nslot a size=4K backing=device log=on\n", "p.s2:3: log=on with backing=device"),
    "slots_overlap": (HEAD + "slot b ipa=1G size=4K backing=anon\n", "p.s2:4: slot b overlaps slot a"),
    "log_not_on": ("s2fuzz 1\nvm\nslot a size=4K backing=anon\nlog a get\n", "p.s2:4: log a is off here"),
}


@pytest.mark.parametrize("name", BAD_PROGRAMS)
def test_bad_program(call: Call, name: str) -> None:
    text, *words = BAD_PROGRAMS[name]
    refused(call("run", write(text)), *[str(word) for word in words])


def test_no_such_file(call: Call) -> None:
    refused(call("run", "nowhere.s2"), "nowhere.s2: No such file or directory")


def test_directory(call: Call) -> None:
    refused(call("run", "."), ".: Is a directory")


def test_every_bad_program_has_its_line_and_none_runs(call: Call) -> None:
    code, out, err = call("run", write("", "one.s2"), write(MISSING_CLEAN, "good.s2"), "two.s2")
    assert (code, out) == (2, "")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["one.s2", "two.s2"]


@pytest.mark.parametrize("option", ["--candidate", "--reference"])
def test_unknown_candidate(call: Call, option: str) -> None:
    refused(call("run", option, "rfc-v9", write(MISSING_CLEAN)), "no candidate 'rfc-v9'", "rfc-v1-fixed")


def test_unknown_candidate_to_fuzz(call: Call) -> None:
    refused(call("fuzz", "--candidate", "rfc-v9"), "no candidate 'rfc-v9'", "rfc-v1-fixed")


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_unwritable_out(call: Call, out: str) -> None:
    write("", "file")
    refused(call("fuzz", "--candidate", "rfc-v1", "--programs", "1", "--out", out), f"--out {out}:", "name a directory")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e300", "soon", ""])
def test_silly_seconds(call: Call, value: str) -> None:
    refused(call("fuzz", "--candidate", "rfc-v1", f"--seconds={value}"), "--seconds", "more than 0")


@pytest.mark.parametrize("value", ["-1", "1.5", "0x10", str(1 << 64), "9" * 5000, "\u0663"])
def test_silly_seed(call: Call, value: str) -> None:
    refused(call("fuzz", "--candidate", "rfc-v1", f"--seed={value}"), "--seed", "whole number from 0")


@pytest.mark.parametrize("command", ["fuzz --candidate rfc-v1", "bench"])
@pytest.mark.parametrize("value", ["0", "-5", "many"])
def test_silly_programs(call: Call, command: str, value: str) -> None:
    refused(call(*command.split(), f"--programs={value}"), "--programs", "whole number from 1")


@pytest.mark.parametrize("usage", ["", "fly", "run", "fuzz", "run --fly p.s2", "list more"])
def test_bad_usage(call: Call, usage: str) -> None:
    refused(call(*usage.split()), "--help shows what is allowed")


@pytest.mark.parametrize("option", ["--candidate", "--reference"])
def test_a_second_version_is_not_dropped(call: Call, option: str) -> None:
    both = [option, "rfc-v1", option, "rfc-v2"]
    refused(call("run", write(MISSING_CLEAN), *both), option, "given twice; give it once")


def test_version_names_the_form(call: Call) -> None:
    code, out, _ = call("--version")
    assert code == 0
    assert form() in out


@pytest.mark.parametrize(
    "command", ["", "list", "demo", "run", "convert", "fuzz", "minimize", "promote", "bench", "build"]
)
def test_help(call: Call, command: str) -> None:
    code, out, _ = call(*command.split(), "--help")
    assert code == 0
    assert "exit codes:" in out


def test_list(call: Call) -> None:
    code, out, _ = call("list")
    assert code == 0
    for name in candidate.names():
        assert f"  {name} " in out
        assert candidate.get(name).origin in out


def answer(result: Result) -> Any:
    """The object that a command gave, and its exit code."""
    return json.loads(result[1])


def test_list_json(call: Call) -> None:
    found = answer(call("list", "--json"))
    assert found.keys() == {"s2fuzz", "form", "default_reference", "versions"}
    assert [version["name"] for version in found["versions"]] == candidate.names()


def test_list_checkers(call: Call) -> None:
    code, out, _ = call("list", "--checkers")
    assert code == 0
    for rule in rules():
        assert f"\n{rule.name}: {rule.severity.name.lower()}" in out
    found = answer(call("list", "--checkers", "--json"))
    assert found.keys() == {"s2fuzz", "form", "checkers"}
    assert [(each["name"], each["rule"], each["why"]) for each in found["checkers"]] == [
        (rule.name, rule.holds, rule.why) for rule in rules()
    ]


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


def test_run_all_leaves_the_reference_out(call: Call) -> None:
    found = answer(call("run", write(MISSING_CLEAN), "--reference", "v5.12.9", "--json"))
    assert [result["candidate"] for result in found["results"]] == [n for n in candidate.names() if n != "v5.12.9"]


@pytest.mark.parametrize(("reference", "name"), [("original", "the original"), ("rfc-v1-3", "rfc-v1-3")])
def test_the_legend_names_the_reference(call: Call, reference: str, name: str) -> None:
    """The bug X1 both have; what is a regression of the one is cured by the other."""
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
    assert found["changes"] == [
        {"candidate": "rfc-v1", "on": ["rfc-v1-3"], "overrides": ["user_mem_abort"], "adds": [], "same": False}
    ]
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
    assert "differ first" in run["trace"]
    finding = next(each for each in run["findings"] if each["signature"].startswith(SIGNATURE))
    assert finding.keys() == {"class", "signature", "reason", "at", "operation", "severity", "known", "accepted"}
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
        "s2fuzz", "form", "reference", "candidate", "seed", "programs", "operations", "seconds",
        "programs_per_second", "operations_per_second", "interrupted", "costs", "findings", "crashes", "trouble",
        "unreplayed", "known_findings", "exit_code", "changes", "refused", "exercise",
    }  # fmt: skip
    assert (found["programs"], found["seed"], found["interrupted"], found["trouble"]) == (8, 3, False, None)
    assert found["crashes"] == found["unreplayed"] == found["known_findings"] == []
    assert found["costs"].keys() == {"programs", "reference", "candidate"}
    assert found["costs"]["programs"] == 2
    assert found["costs"]["reference"]["events"] > 0
    for finding in found["findings"]:
        assert finding.keys() == {
            "class", "signature", "reason", "count", "severity", "known", "accepted", "program", "operations",
            "operation", "file", "text",
        }  # fmt: skip
        assert Path(finding["file"]).read_text().endswith(finding["text"])
    classes = [CLASSES.index(finding["class"]) for finding in found["findings"]]
    assert classes == sorted(classes)


def told_first(err: str) -> str:
    """Return stderr without the findings, which are printed as they come."""
    return re.sub(r"^s2fuzz: program \d+: .*\n", "", err, flags=re.MULTILINE)


def test_fuzz_text_names_each_finding_once(call: Call) -> None:
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--programs", "8", "--out", "kept")
    assert (code, told_first(err)) == (1, f"{CHANGES}s2fuzz: {form()}\n")
    # Each is told when it comes, and again in the summary.
    told = re.findall(r"^s2fuzz: program \d+: (\w+) (.*)$", err, re.MULTILINE)
    assert sorted(told) == sorted(re.findall(r"^(regression|divergence|common|cured) +(.*)$", out, re.MULTILINE))
    assert told
    assert "8 programs and " in out
    assert " operations/s\n" in out
    assert "\ncost of 2 of 8 programs " in out
    assert [path.name for path in Path("kept").iterdir()] == ["rfc-v1"]
    files = sorted(str(path) for path in Path("kept").glob("*/*.s2"))
    assert files
    assert all(out.count(name) == 1 for name in files)


def test_fuzz_original_against_itself_is_fine(call: Call) -> None:
    code, _, err = call("fuzz", "--candidate", "original", "--programs", "5")
    assert (code, err) == (0, f"{SAME}s2fuzz: {form()}\n")


def test_bench_json(call: Call) -> None:
    result = call("bench", "--programs", "2", "--json")
    assert result[0] == 0
    found = answer(result)
    assert found.keys() == {"s2fuzz", "form", "mix", "programs", "operations", "events", "forms", "cores", "python"}
    assert found["forms"].keys() >= {"interpreted"}
    for measured in found["forms"].values():
        assert measured.keys() == {
            "seconds", "cpu_seconds", "operations_per_second", "events_per_second",
            "memory_at_10_percent", "memory_at_end", "areas",
        }  # fmt: skip
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
        "s2fuzz", "form", "mix", "programs", "operations", "cores", "python", "ratio", "pairs",
    }  # fmt: skip
    ports, trees = found["pairs"]["ports"], found["pairs"]["trees"]
    assert (trees["reference"], trees["candidate"]) == ("original", "rfc-v1")
    # The same programs on the same versions.
    assert ports["events"] == trees["events"] > 0
    assert ports["seconds"] * ports["operations_per_second"] == pytest.approx(found["operations"], rel=0.1)


def broken(_: Differential, program: Program) -> None:
    raise KeyError("broken on purpose")


def in_this_process(unit: Unit, watch: Watch) -> units.Result:
    """As `fuzz.engines.supervisor.run_unit`, where a test can reach into it."""
    result = units.Result(unit)

    def tell(message: Message) -> None:
        result.take(message)
        watch(result)

    try:
        run_here(unit, tell)
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def test_our_mistake_while_fuzzing_keeps_the_program(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Differential, "run", broken)
    monkeypatch.setattr("fuzz.engines.supervisor.run_unit", in_this_process)
    monkeypatch.setattr("fuzz.findings.store.Replayer", Here)
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--programs", "3", "--out", "kept")
    assert code == 3
    assert "Mistakes of s2fuzz" in out
    assert "Traceback" not in err
    (path,) = Path("kept", "rfc-v1").glob("*.s2")
    assert path.name.startswith("crash-KeyError")
    assert str(path) in err
    assert load(path).operations


def test_our_mistake_while_running(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Differential, "run", broken)
    code, out, err = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1")
    assert code == 3
    assert "rfc-v1 against original: error" in out
    assert err.startswith(CHANGES)
    assert err.count("\n") == 2
    assert "KeyError: 'broken on purpose'" in err


def test_debugging_shows_the_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Differential, "run", broken)
    monkeypatch.setenv("S2FUZZ_DEBUG", "1")
    assert "Traceback" in call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1")[2]


def test_a_full_disk_keeps_the_findings_in_the_answer(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--programs", "3", "--out", "kept")
    assert code == 2
    assert "regression  locking:" in out
    assert "No space left on device" in err
    assert list(Path("kept", "rfc-v1").glob("**/*.s2")) == []


def test_interrupted_before_the_first_program(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(unit: Unit, watch: Watch) -> units.Result:
        return units.Result(unit, interrupted=True)

    monkeypatch.setattr("fuzz.engines.supervisor.run_unit", interrupted)
    code, out, err = call("fuzz", "--candidate", "rfc-v1", "--seconds", "60")
    assert (code, err) == (130, f"{CHANGES}s2fuzz: {form()}\n")
    assert "0 programs and 0 operations judged" in out
    assert "nothing was judged: interrupted before the first verdict" in out
    assert "nothing found" not in out


@pytest.mark.parametrize(("name", "said"), [("rfc-v1", "finding"), ("original", "nothing found")])
def test_interrupted_later(call: Call, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    """The summary comes first; the exit code is the same, whatever was found."""

    def interrupted(unit: Unit, watch: Watch) -> units.Result:
        result = in_this_process(replace(unit, programs=3, seconds=None), watch)
        result.interrupted = True
        return result

    monkeypatch.setattr("fuzz.engines.supervisor.run_unit", interrupted)
    code, out, err = call("fuzz", "--candidate", name, "--seconds", "60", "--seed", "2")
    assert (code, told_first(err)) == (130, f"{SAME if name == 'original' else CHANGES}s2fuzz: {form()}\n")
    assert "3 programs and " in out
    assert ", interrupted\n" in out
    assert said in out
    assert ("in 3 programs before the interruption" in out) == (name == "original")


def test_run_interrupted(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Forked, request: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Forked, "ask", interrupt)
    code, out, err = call("run", write(MISSING_CLEAN), "--candidate", "rfc-v1")
    assert (code, out, err) == (130, "", f"{CHANGES}s2fuzz: interrupted\n")
