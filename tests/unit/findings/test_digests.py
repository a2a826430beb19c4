# SPDX-License-Identifier: GPL-2.0-only
"""Digests of versions: they change with the code, and the file of a finding names the code that showed it."""

from pathlib import Path

import pytest

import candidate
from fuzz.findings.digests import changed, code_text, version_digest
from fuzz.findings.found import comments_of
from fuzz.findings.record import file_text, record_of
from fuzz.judging.finding import Finding
from fuzz.language.text import parse

PATCH = """\
from candidate import Candidate
from reference.mmu import Mmu
from reference.pgtable import Pgtable


class PgtableMine(Pgtable):
    def kvm_pgtable_stage2_wrprotect(self, pgt, addr, size):
        return super().kvm_pgtable_stage2_wrprotect(pgt, addr, size)


class MmuMine(Mmu):
    pass


CANDIDATE = Candidate("mine", PgtableMine, MmuMine, "for a test")
"""


def test_versions_have_different_digests() -> None:
    digests = [version_digest(name) for name in candidate.names()]
    assert len(set(digests)) == len(digests)
    assert code_text("original", "rfc-v1") == f"{version_digest('rfc-v1')} against {version_digest('original')}"


def test_a_version_that_changed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(PATCH)
    before = code_text("original", "./mine.py")
    assert changed(before, "original", "./mine.py") == []
    path.write_text(PATCH + "# changed\n")
    assert changed(before, "original", "./mine.py") == ["./mine.py"]
    # The reference is unchanged.
    assert changed(f"{before}0", "original", "./mine.py") == ["./mine.py", "original"]


@pytest.mark.parametrize("text", ["", "0123456789abcdef"])
def test_without_digests_no_change_is_reported(text: str) -> None:
    assert changed(text, "original", "rfc-v1") == []


def test_the_file_of_a_finding_has_them(tmp_path: Path) -> None:
    program = parse("s2fuzz 1\nvm\nslot a size=8K backing=anon\ncpu0 read a+0\n")
    record = record_of(Finding("regression", "dcache: f: a L2", "why", 0), program, 1)
    told = file_text(record, "original", "rfc-v1", tmp_path / "x.s2", "one against two")
    assert comments_of(told)["code"] == "one against two"
    assert "code" not in comments_of(file_text(record, "original", "rfc-v1", tmp_path / "x.s2"))
