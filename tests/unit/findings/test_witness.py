# SPDX-License-Identifier: GPL-2.0-only
"""The stamp of a real kernel in the file of a finding: it is kept, and shown wherever the finding is."""

import json
import os
from pathlib import Path
from typing import Final

import pytest

from fuzz.engines.summary import Summary
from fuzz.findings.found import file_name
from fuzz.findings.record import FindingRecord, record_of
from fuzz.findings.store import Store
from fuzz.findings.witness import stamp_of, with_stamp
from fuzz.judging.finding import Finding
from fuzz.language.program import Program
from fuzz.language.text import parse, print_program
from fuzz.reports.answers import fuzz_answer
from fuzz.reports.report import fuzz_text

from ..console import MISSING_CLEAN, in_process
from ..replaying import Scripted

SIGNATURE: Final = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
STAMP: Final = "confirmed on Linux 6.12: as the model"
FILE: Final = f"# signature: {SIGNATURE}\n# at: operation 2\n{MISSING_CLEAN}"


def test_a_stamp_is_one_more_comment() -> None:
    once = with_stamp(FILE, "confirmed on Linux 6.12: a\nwarning")
    assert once == FILE.replace("s2fuzz 1", "# real: confirmed on Linux 6.12: a warning\ns2fuzz 1")
    assert with_stamp(once, "not confirmed") == FILE.replace("s2fuzz 1", "# real: not confirmed\ns2fuzz 1")
    assert parse(once) == parse(FILE)


def test_a_stamp_applies_only_to_its_finding(tmp_path: Path) -> None:
    file = tmp_path / "x.s2"
    assert stamp_of(file, SIGNATURE) == ""
    file.write_text(FILE)
    assert stamp_of(file, SIGNATURE) == ""
    file.write_text(with_stamp(FILE, STAMP))
    assert (stamp_of(file, SIGNATURE), stamp_of(file, "leak: f: a")) == (STAMP, "")
    file.write_bytes(b"\xff\xfe")
    assert stamp_of(file, SIGNATURE) == ""


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    """Check that no stamp is read from a pipe, which would wait forever."""
    os.mkfifo(tmp_path / "pipe")
    assert stamp_of(tmp_path / "pipe", SIGNATURE) == stamp_of("-", SIGNATURE) == ""


def test_run_shows_the_stamp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.s2"
    file.write_text(with_stamp(FILE, STAMP))
    run = in_process(capsys, "run", "--candidate", "rfc-v1")
    _, out, _ = run(str(file))
    assert out.count(f"            real kernel: {STAMP}\n") == 1
    shown = {
        each["signature"]: each["real"] for each in json.loads(run(str(file), "--json")[1])["results"][0]["findings"]
    }
    assert shown.pop(SIGNATURE) == STAMP
    assert set(shown.values()) <= {None}


def offered(store: Store, program: Program) -> FindingRecord:
    """Offer a program that shows the finding; return its record."""
    kept = store.offer(record_of(Finding("regression", SIGNATURE, "why", 0), program, 1))
    assert kept is not None
    return kept


def test_a_smaller_program_keeps_the_stamp(tmp_path: Path) -> None:
    """Check it for a program of the same structure and of another one; `fuzz` shows the stamp."""
    head = "s2fuzz 1\nvm\nslot a size=8K backing=anon\n"
    large, small, other = (parse(head + text) for text in ("cpu0 read a+0\n" * 3, "cpu0 read a+0\n" * 2, "log a on\n"))
    answer = [Finding("regression", SIGNATURE, "why", 0)]
    script = Scripted({print_program(each): answer for each in (large, small, other)})
    with Store(tmp_path, "original", "rfc-v1", script) as store:
        path = offered(store, large).path
        assert path == tmp_path / file_name(answer[0])
        path.write_text(with_stamp(path.read_text(), STAMP))
        for program in (small, other):
            kept = offered(store, program)
            assert kept.program == program
            assert stamp_of(path, SIGNATURE) == STAMP
    summary = Summary("original", "rfc-v1", 1, programs=3, findings=[kept])
    assert f"            real kernel: {STAMP}\n" in fuzz_text(summary)
    assert [each["real"] for each in fuzz_answer(summary)["findings"]] == [STAMP]
    path.unlink()
    assert "real kernel" not in fuzz_text(summary)
