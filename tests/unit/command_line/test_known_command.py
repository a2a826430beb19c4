# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz known``: entries are written to a file that other commands read, and existing entries stay."""

from pathlib import Path

import pytest

from fuzz.findings.accepted import load_accepted

from ..console import ROOT, in_process

FOUND = "# kind: regression\n# signature: leak: kvm_free_stage2_pgd: table pages left\ns2fuzz 1\nvm\n"


def test_a_finding_becomes_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.s2").write_text(FOUND)
    run = in_process(capsys, "known")
    why = 'it is "fixed" in v2 \\ v3'
    code, out, err = run("add", "x.s2", "--who", "A. Reader", "--why", why, "--link", "https://x/y")
    assert (code, out) == (0, "")
    assert "accepts regression leak: kvm_free_stage2_pgd: table pages left" in err
    (entry,) = load_accepted(None).entries
    assert entry.pattern == "regression leak: kvm_free_stage2_pgd: table pages left"
    assert (entry.reason, entry.who, entry.link) == (why, "A. Reader", "https://x/y")
    assert run("list")[1] == f"{entry.pattern}\n    {why} (A. Reader, https://x/y)\n"


def test_existing_entries_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "k.toml"
    before = '# ours\n[[finding]]\npattern = "leak: *"   # all of them\nreason = "old"\n'
    file.write_text(before)
    run = in_process(capsys, "known")
    assert run("add", "tlb: *", "--why", "new", "--known", str(file))[0] == 0
    assert file.read_text() == before + '\n[[finding]]\npattern = "tlb: *"\nreason = "new"\n'
    code, _, err = run("add", "leak: *", "--why", "again", "--known", str(file))
    assert code == 2
    assert "entry 3: same pattern as entry 1" in err
    assert len(load_accepted(str(file)).entries) == 2


def test_run_obeys_the_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program = str(ROOT / "corpus" / "regressions" / "dcache-thp-route.s2")
    assert in_process(capsys, "known")("add", "regression *", "--why", "all", "--who", "me")[0] == 0
    code, out, _ = in_process(capsys, "run")("--candidate", "rfc-v1", program)
    assert code == 0
    assert "all (me)" in out


@pytest.mark.parametrize(("text", "why"), [("s2fuzz 1\nvm\n", "name no finding"), ("\udcff", "not UTF-8")])
def test_a_file_without_a_finding(tmp_path: Path, text: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "y.s2").write_bytes(text.encode(errors="surrogateescape"))
    code, _, err = in_process(capsys, "known")(
        "add", str(tmp_path / "y.s2"), "--why", "x", "--known", str(tmp_path / "k")
    )
    assert code == 2
    assert why in err
    assert not (tmp_path / "k").exists()
