# SPDX-License-Identifier: GPL-2.0-only
"""The user's file of accepted findings: its matches, its effect on counts, and one line for each mistake in it."""

import json
from pathlib import Path

import pytest

from fuzz.command_line import cli
from fuzz.findings.accepted import DEFAULT_FILE, Accepted, AcceptedError, load_accepted
from fuzz.findings.patterns import matches

from ..console import MISSING_CLEAN

ENTRY = '[[finding]]\npattern = "regression locking: *"\nreason = "known since May"\n'
BLOCK = '[[finding]]\npattern = "dcache: *->block*, not cleaned L?"\nreason = "the review"\nlink = "https://x/y"\n'
STALE = '[[finding]]\npattern = "leak: *"\nreason = "fixed long ago"\n'


def loaded(text: str, folder: Path) -> Accepted:
    path = folder / "k.toml"
    path.write_text(text)
    return load_accepted(str(path))


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("dcache: f: a->b [c] L2", True),
        ("common dcache: f: a->b [c] L2", True),
        ("common*", True),
        ("*[c]*", True),
        ("*[a-z]*", False),
        ("dcache: f: a->b ?c? L?", True),
        ("dcache", False),
        ("regression *", False),
        ("DCACHE*", False),
    ],
)
def test_patterns(pattern: str, fits: bool) -> None:
    assert matches(pattern, "common", "dcache: f: a->b [c] L2") == fits


def test_each_finding_is_counted_once_for_the_first_entry(tmp_path: Path) -> None:
    accepted = loaded(ENTRY + '[[finding]]\npattern = "*"\nreason = "all"\n' + STALE, tmp_path)
    for _ in range(2):
        for signature in ("locking: f: a", "locking: f: b", "leak: f: a"):
            assert accepted.match("regression", signature)
    assert [entry.count for entry in accepted.entries] == [2, 1, 0]
    assert [entry.number for entry in accepted.stale()] == [3]


def test_an_internal_crash_is_never_accepted(tmp_path: Path) -> None:
    accepted = loaded('[[finding]]\npattern = "*"\nreason = "all"\n', tmp_path)
    assert accepted.match("crash", "KeyError in f") is None


WRONG = {
    "no_toml": ("[[finding]\n", "k.toml:1: not TOML: ", "allowed: [[finding]]"),
    "other_table": ("[[findings]]\n", "k.toml: unknown 'findings'"),
    "no_table": ("finding = 3\n", "k.toml: finding is not a list of tables"),
    "list_of_numbers": ("finding = [3]\n", "k.toml: finding is not a list of tables"),
    "unknown_key": (ENTRY + 'id = "x"\n', "k.toml: entry 1: unknown key 'id'; allowed: pattern, reason, who, link"),
    "no_reason": (ENTRY + '[[finding]]\npattern = "x"\n', "k.toml: entry 2: reason is missing"),
    "no_pattern": ('[[finding]]\nreason = "x"\n', "k.toml: entry 1: pattern is missing"),
    "number": ('[[finding]]\npattern = 3\nreason = "x"\n', "k.toml: entry 1: pattern is not text"),
    "empty": ('[[finding]]\npattern = " "\nreason = "x"\n', "k.toml: entry 1: pattern is not text"),
    "lines": ('[[finding]]\npattern = "a\\nb"\nreason = "x"\n', "k.toml: entry 1: pattern is not text", "one line"),
    "twice": (ENTRY + ENTRY, "k.toml: entry 2: same pattern as entry 1; give every pattern once"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text, *words = WRONG[name]
    with pytest.raises(AcceptedError) as caught:
        loaded(text, tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert "; allowed: " in line or "; give " in line
    for word in words:
        assert word in line


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for name, word in ((str(tmp_path / "no"), "No such file"), (str(tmp_path), "directory"), ("a\0b", "null byte")):
        with pytest.raises(AcceptedError, match=word):
            load_accepted(name)
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(AcceptedError, match="not UTF-8"):
        load_accepted(str(tmp_path / "bytes"))
    (tmp_path / "long").write_bytes(b" " * (1 << 21))
    with pytest.raises(AcceptedError, match="too large; allowed: at most 1M"):
        load_accepted(str(tmp_path / "long"))


def test_the_file_of_the_current_directory_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_accepted(None).entries == ()
    Path(DEFAULT_FILE).write_text(ENTRY)
    assert load_accepted(None).file == DEFAULT_FILE
    assert load_accepted("/dev/null").entries == ()


def test_run_reports_accepted_findings_without_counting_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.s2").write_text(MISSING_CLEAN)
    Path("k.toml").write_text(ENTRY)
    command = ["run", "--candidate", "rfc-v1", "--known", "k.toml", "p.s2"]
    assert cli.main(command) == 1
    assert "            accepted by k.toml, entry 1: known since May\n" in capsys.readouterr().out
    Path("k.toml").write_text(STALE + ENTRY + BLOCK)
    assert cli.main(command) == 0
    assert "            accepted by k.toml, entry 3: the review (https://x/y)\n" in capsys.readouterr().out
    assert cli.main([*command, "p.s2"]) == 0
    out = capsys.readouterr().out
    assert "k.toml: 2 findings accepted by 2 of 3 entries\n  entry 1 matched nothing: leak: *\n" in out
    assert cli.main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [entry["matches"] for entry in answer["known_findings"]] == [0, 1, 1]
    accepted = [finding["accepted"] for finding in answer["results"][0]["findings"]]
    assert {entry["reason"] for entry in accepted} == {"known since May", "the review"}


def test_fuzz_reports_accepted_findings_without_counting_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["fuzz", "--candidate", "rfc-v1", "--programs", "3"]
    assert cli.main(command) == 1
    Path(DEFAULT_FILE).write_text('[[finding]]\npattern = "regression *"\nreason = "all of it"\n' + STALE)
    capsys.readouterr()
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert f"            accepted by {DEFAULT_FILE}, entry 1: all of it\n" in out
    assert f"\n{DEFAULT_FILE}: " in out
    assert "  entry 2 matched nothing: leak: *\n" in out


@pytest.mark.parametrize("command", ["run p.s2", "fuzz --candidate rfc-v1"])
def test_a_wrong_file_ends_the_command_at_once(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.s2").write_text(MISSING_CLEAN)
    assert cli.main([*command.split(), "--known", "k.toml"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "s2fuzz: k.toml: No such file or directory; name a file that can be read\n"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (
            "contract: kvm_handle_guest_abort: abort at another address",
            "contract: kvm_handle_guest_abort: abort at another address, the physical one",
        ),
        ("result: HostTestAge", "result: host testage"),
        ("result: Par", "result: par"),
        (
            "bbm: stage2_map_walker: table->block made before the flush L2",
            "tlb: stage2_map_walker: two sizes for one address, the other L3 L2",
        ),
        (
            "lifetime: stage2_map_walker: freed before the flush",
            "tlb: stage2_map_walker: two sizes for one address, the other L3 L2",
        ),
        (
            "dcache: stage2_unmap_walker: unmapped, not cleaned L3",
            "dcache: stage2_unmap_walker: unmapped, cleaned before the flush L3",
        ),
        (
            "contract: kvm_handle_guest_abort: I/O exit behind the guest's address space",
            "contract: kvm_handle_guest_abort: I/O exit beyond the guest's address space",
        ),
        (
            "contract: kvm_set_memory_region: success for a slot that ends behind the guest's address space",
            "contract: kvm_set_memory_region: success for a slot that ends beyond the guest's address space",
        ),
        (
            "ageing: kvm_mmu_notifier_clear_young: young page reported old, behind the first leaf of a huge page L3",
            "ageing: kvm_mmu_notifier_clear_young: young page reported old, beyond the first leaf of a huge page L3",
        ),
        ("progress: stage2_unmap_walker: endless walk", "progress: stage2_unmap_walker: too many steps"),
        ("progress: stage2_unmap_walker: endless loop", "progress: stage2_unmap_walker: too many steps"),
        (
            "contract: kvm_walker: mmu_lock held 4 times as long, without rescheduling",
            "contract: kvm_walker: mmu_lock held more than 4 times as long, without rescheduling",
        ),
        ("progress: stage2_unmap_walker: does not come back", "progress: stage2_unmap_walker: does not return"),
        ("contract: f: oops does not come back in g", "contract: f: oops does not return in g"),
        ("contract: f: oops free of what is no object in g", "contract: f: oops invalid free of an object in g"),
        ("contract: f: oops sleep without an end in g", "contract: f: oops endless sleep in g"),
        (
            "lifetime: stage2_map_walker: walk of what is no table L2",
            "lifetime: stage2_map_walker: walk of a non-table page L2",
        ),
        (
            "lifetime: stage2_map_walker: references counted of what is no table",
            "lifetime: stage2_map_walker: references counted on a non-table page",
        ),
        (
            "lifetime: stage2_map_walker: what is no table entered L1",
            "lifetime: stage2_map_walker: non-table page entered L1",
        ),
    ],
)
def test_an_entry_matches_a_signature_renamed_since(before: str, now: str, tmp_path: Path) -> None:
    text = f'[[finding]]\npattern = "regression {before}"\nreason = "old"\n'
    assert loaded(text, tmp_path).match("regression", now) is not None
    assert loaded(text, tmp_path).match("common", now) is None
    other = now.replace("walker", "other") if "walker" in now else f"another {now}"
    assert loaded(text, tmp_path).match("regression", other) is None
    assert loaded(f'[[finding]]\npattern = "{now}"\nreason = "new"\n', tmp_path).match("regression", before) is None
