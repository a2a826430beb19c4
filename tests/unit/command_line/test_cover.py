# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz cover``: the lines that programs reach, and the programs that reach a line."""

import errno
import importlib.util
import json
import os
import re
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, cast

import pytest

from fuzz.command_line.commands import cover
from fuzz.coverage import measuring, named_lines
from fuzz.coverage.measuring import Measured, Reached, statement_at
from fuzz.coverage.named_lines import LineError
from fuzz.language.text import load

from ..console import ROOT, Result, in_process, refused

Call = Callable[..., Result]
SEEDS = ROOT / "corpus" / "seeds"
PLAIN, HYP, BLOCK = (f"corpus/seeds/{name}.s2" for name in ("anon-pages", "hyp", "coalesce-translation"))


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs ``s2fuzz cover`` in this process, in the checkout."""
    monkeypatch.chdir(ROOT)

    return in_process(capfd, "cover")


@pytest.fixture(scope="module")
def few() -> Iterator[Measured]:
    """Measure three programs."""
    programs = [(name, load(ROOT / name)) for name in (PLAIN, HYP, BLOCK)]
    with measuring.measured(programs, ["original"], 2) as found:
        yield found


def line_of(file: str, text: str) -> int:
    """Return the number of the first line that contains this text."""
    lines = (ROOT / file).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def first_statement(file: str, function: str) -> int:
    """Return the number of the first line in the body of a function."""
    lines = (ROOT / file).read_text().splitlines()
    at = line_of(file, f"def {function}(")
    while not lines[at - 1].rstrip().endswith(":"):
        at += 1
    return at + 1


def lines_of(code: CodeType) -> set[int]:
    """Return all lines that have code, including those of nested functions."""
    inside = [lines_of(each) for each in code.co_consts if isinstance(each, CodeType)]
    return {line for _, _, line in code.co_lines() if line is not None}.union(*inside)


def test_lines_are_attributed_correctly_when_actors_take_turns() -> None:
    """Check that reached lines are lines with code, although actors interrupt each other's functions."""
    paths = [path for path in sorted(ROOT.glob("corpus/*/*.s2")) if "\npar\n" in path.read_text()]
    with measuring.measured([(path.name, load(path)) for path in paths], ["original"], 1) as found:
        lines = {file: set(found.data.lines(file) or ()) for file in found.data.measured_files()}
    wrong = {file: reached - lines_of(compile(Path(file).read_text(), file, "exec")) for file, reached in lines.items()}
    assert len(lines) > 3
    assert {file: none for file, none in wrong.items() if none} == {}


def test_a_table_of_files_with_lines_and_branches(call: Call) -> None:
    code, out, err = call(PLAIN, HYP, "--workers", "2")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "2 programs on original:"
    assert lines[1].split() == ["Name", "Stmts", "Miss", "Branch", "BrPart", "Cover", "Missing"]
    rows = {line.split()[0]: line.split() for line in lines[3:] if line and not line.startswith("-")}
    assert {"reference/pgtable.py", "reference/mmu.py", "reference/machine/walk.py", "TOTAL"} <= set(rows)
    assert not any(name.startswith(("candidate", "fuzz")) for name in rows)
    statements, missing = map(int, rows["reference/pgtable.py"][1:3])
    assert 20 < missing < statements - 100


def numbers(answer: dict[str, Any], file: str) -> set[int]:
    return set(answer["files"][file]["missing_lines"])


def test_more_programs_reach_more_with_any_number_of_processes(call: Call) -> None:
    alone = json.loads(call(PLAIN, "--json")[1])
    both = json.loads(call(PLAIN, HYP, "--json", "--workers", "1")[1])
    again = json.loads(call(HYP, PLAIN, "--json", "--workers", "2")[1])
    file = "reference/pgtable.py"
    line = first_statement(file, "kvm_pgtable_hyp_map")
    assert line in numbers(alone, file)
    assert line not in numbers(both, file)
    assert numbers(both, file) < numbers(alone, file)
    assert both["totals"]["covered_branches"] > alone["totals"]["covered_branches"]
    assert (both["files"], both["totals"]) == (again["files"], again["totals"])


def test_a_line_leads_to_the_programs_that_reach_it(few: Measured, call: Call) -> None:
    line = first_statement("reference/pgtable.py", "kvm_pgtable_hyp_map")
    place = f"reference/pgtable.py:{line}"
    code, out, err = call(PLAIN, HYP, "--line", place)
    assert (code, err) == (0, "")
    assert out == f"{place}: 1 program reaches it:\ns2fuzz run {HYP}\n"
    assert few.reaching(place).programs == [HYP]
    abort = few.reaching(f"reference/mmu.py:{first_statement('reference/mmu.py', 'user_mem_abort')}")
    sizes = [len(load(ROOT / name).operations) for name in abort.programs]
    assert (sorted(abort.programs), sizes, abort.at_import) == (sorted([PLAIN, BLOCK]), sorted(sizes), False)
    head = few.reaching(f"reference/pgtable.py:{line_of('reference/pgtable.py', 'def kvm_pgtable_hyp_map(')}")
    assert (head.programs, head.at_import) == ([], True)


@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_the_smallest_of_many_programs_are_shown(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    class Some:
        def reaching(self, place: str) -> Reached:
            return Reached("a.py", 3, [f"p {number}.s2" for number in range(count)], at_import=False)

    arguments = Namespace(line="a.py:3", json=False, reference="v5.14", candidate="rfc-v1")
    cover.tell_line(cast(Measured, Some()), arguments)
    head, *commands = capsys.readouterr().out.splitlines()
    reach = {0: "no program reaches it", 1: "1 program reaches it:", 5: "5 programs reach it:"}
    assert head == "a.py:3: " + reach.get(count, "6 programs reach it; the 5 smallest:")
    shown = [f"s2fuzz run --reference v5.14 --candidate rfc-v1 'p {number}.s2'" for number in range(min(count, 5))]
    assert commands == shown


def test_a_candidate_is_replayed_beside_the_original(call: Call) -> None:
    found = json.loads(call(BLOCK, "--candidate", "rfc-v1", "--json")[1])
    assert found["versions"] == ["original", "rfc-v1"]
    assert {"candidate/rfc_v1.py", "reference/pgtable.py"} <= set(found["files"])
    assert "candidate/v5_14.py" not in found["files"]
    assert found["files"]["candidate/rfc_v1.py"]["summary"]["covered_branches"] > 0


def test_pages_name_the_programs_of_each_line(call: Call, tmp_path: Path) -> None:
    code, out, err = call(PLAIN, HYP, "--html", str(tmp_path / "pages"))
    assert (code, err) == (0, "")
    assert out.endswith(f"pages: {tmp_path}/pages/index.html\n")
    index = (tmp_path / "pages" / "index.html").read_text()
    page = re.search(r'href="([^"]*pgtable_py\.html)"', index)
    assert page is not None
    text = (tmp_path / "pages" / page[1]).read_text()
    line = first_statement("reference/pgtable.py", "kvm_pgtable_hyp_map")
    assert re.search(rf'id="t{line}".*<label for="ctxs{line}" class="ctx">', text)
    assert HYP in text
    assert PLAIN in text


def test_a_line_names_a_bounded_number_of_programs_and_no_line_is_lost(tmp_path: Path) -> None:
    programs = [(path.name, load(path)) for path in sorted(SEEDS.glob("ipa-*.s2"))]
    assert len(programs) > named_lines.NAMED
    with measuring.measured(programs, ["original"], 2) as found:
        few = found.with_few_contexts(tmp_path / "few")
        file = str(ROOT / "reference" / "pgtable.py")
        assert few.lines(file) == found.data.lines(file)
        assert set(few.arcs(file) or ()) == set(found.data.arcs(file) or ())
        by_arc = dict.fromkeys(few.arcs(file) or (), 0)
        for context in few.measured_contexts():
            few.set_query_context(context)
            for arc in few.arcs(file) or ():
                by_arc[arc] += 1
        assert max(by_arc.values()) == named_lines.NAMED


SOURCE = "a = 1\n\nif a:\n    b = (\n        2\n    )\n# end\n"


@pytest.mark.parametrize(
    ("line", "expected"), [(1, (1, 1)), (2, (0, 0)), (3, (3, 3)), (4, (4, 4)), (5, (4, 6)), (6, (4, 6)), (7, (0, 0))]
)
def test_a_line_within_a_statement_selects_the_statement(line: int, expected: tuple[int, int]) -> None:
    assert statement_at(SOURCE, line, [1, 3, 4]) == expected


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("reference/pgtable.py", "'reference/pgtable.py'; give a file and a line"),
        ("reference/pgtable.py:x", "'reference/pgtable.py:x'; give a file and a line"),
        ("reference/pgtable.py:1", "reference/pgtable.py:1: no statement; the nearest line with one is "),
        (
            "candidate/rfc_v1.py:9",
            "candidate/rfc_v1.py: no file of the report; allowed: reference/arm.py, reference/assembly.py, ",
        ),
    ],
)
def test_an_invalid_line_is_refused(place: str, words: str, few: Measured) -> None:
    with pytest.raises(LineError, match=f"^{re.escape(words)}"):
        few.reaching(place)


def test_an_invalid_line_is_reported_in_one_line(call: Call) -> None:
    refused(call(PLAIN, "--line", "x.py:1"), "--line x.py: no file of the report; allowed: ")


def test_invalid_arguments_are_refused(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(call(str(tmp_path)), "there is no program to replay; name corpora")
    refused(call(PLAIN, "--candidate", "nobody"), "no version 'nobody'")
    (tmp_path / "file").write_text("")
    refused(call(PLAIN, "--html", str(tmp_path / "file" / "in")), "--html", "name a directory that can be created")
    monkeypatch.setattr(cover, "find_spec", lambda name: None if name == "coverage" else importlib.util.find_spec(name))
    refused(call(PLAIN), "coverage.py is not installed; run `pip install -e '.[cover]'` in the checkout")


def test_a_full_disk_is_reported(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(measuring.Measured, "html", fail)
    refused(call(PLAIN, "--html", str(tmp_path / "p")), "No space left on device; name a directory")


def test_a_bad_program_among_others_is_reported(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.s2").write_text("s2fuzz 8\n")
    code, out, err = call(str(tmp_path), PLAIN)
    assert code == 0
    assert out.startswith("1 program on original:\n")
    assert err == f"s2fuzz: {tmp_path}/bad.s2:1: unknown version '8'; allowed: 1\n"
