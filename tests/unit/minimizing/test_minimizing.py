# SPDX-License-Identifier: GPL-2.0-only
"""The minimiser and its commands: the programs they keep, refuse and write."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import candidate
from fuzz.command_line import cli
from fuzz.findings.found import comments_of
from fuzz.findings.replay import Replayer
from fuzz.judging.finding import Finding
from fuzz.language.operations import GuestAccess
from fuzz.language.program import Program
from fuzz.language.text import load, parse, print_program
from fuzz.language.validate import validate
from fuzz.minimizing import expecting, promotion
from fuzz.minimizing.ddmin import ddmin
from fuzz.minimizing.expecting import PromotionError
from fuzz.minimizing.legal import legal
from fuzz.minimizing.measure import measure
from fuzz.minimizing.minimize import NotShownError, minimize, minimized
from fuzz.minimizing.minimizer import MinimizingProgress

from ...corpus.files import expectations
from ..console import HEAD, MISSING_CLEAN, Result, refused
from ..strategies import programs

KEY = ("regression", "x: f: a")
SMALL = "s2fuzz 1\nvm cpus=1\nslot a ipa=1G size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu0 read a+4K\n"
SIGNATURE = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"

Call = Callable[..., Result]


@given(st.lists(st.integers(0, 30), max_size=40), st.sets(st.integers(0, 30), max_size=4))
def test_ddmin_keeps_needed_elements_in_order(items: list[int], needed: set[int]) -> None:
    needed &= set(items)

    def fails(shorter: list[int]) -> list[int] | None:
        return shorter if needed <= set(shorter) else None

    left = ddmin(items, fails)
    assert sorted(left) == sorted(needed)
    positions = iter(items)
    assert all(item in positions for item in left)


def test_ddmin_continues_with_an_even_shorter_result() -> None:
    assert ddmin(list(range(20)), lambda shorter: [3] if 3 in shorter else None) == [3]


def test_operations_that_become_illegal_are_removed() -> None:
    text = HEAD + "slot a delete\nslot a create log=on\nlog a get\nlog a off\ncpu0 read a+0\n"
    program = parse(text)
    for gone, left in ((0, 4), (1, 2), (2, 4)):
        operations = [*program.operations[:gone], *program.operations[gone + 1 :]]
        rest = legal(replace(program, operations=tuple(operations)))
        assert rest is not None
        validate(rest)
        assert len(rest.operations) == left - (gone == 0)
    assert legal(replace(program, slots=())) is None


@settings(max_examples=25)
@given(programs())
def test_measure_distinguishes_programs(program: Program) -> None:
    """Check that programs with equal measure are equal, so that the order of trials does not matter."""
    assert measure(program) == measure(parse(print_program(program)))
    if program.operations:
        assert measure(replace(program, operations=program.operations[1:])) < measure(program)


def accesses(least: int) -> Callable[[Program], list[Finding]]:
    """Return a judge for which this many guest accesses show the finding."""

    def judge(program: Program) -> list[Finding]:
        validate(program)
        at = [number for number, each in enumerate(program.operations) if isinstance(each, GuestAccess)]
        return [Finding(*KEY, "a reason", at[least - 1])] if len(at) >= least else []

    return judge


@settings(max_examples=25)
@given(programs())
def test_any_program_shrinks_to_its_needed_operations(program: Program) -> None:
    if not accesses(2)(program):
        return
    result = minimized(program, KEY, accesses(2), seconds=None)
    assert result.finished
    small = result.program
    assert [type(each) for each in small.operations] == [GuestAccess] * 2
    assert (small.vm.cpus, small.vm.vms, small.vm.granule, small.vm.ipa) == (1, 1, 4096, 40)
    (slot,) = small.slots
    assert (slot.name, slot.size, slot.backing, slot.offset, slot.log, slot.ro) == ("a", 4096, "anon", 0, False, False)
    assert all(each == GuestAccess(0, "read", "a", 0) for each in small.operations)


@pytest.mark.parametrize("known", ["", "B05"])
def test_the_explanation_of_the_finding_is_kept(known: str) -> None:
    """Check this with a program of one access that shows the same signature for another reason."""

    def judge(program: Program) -> list[Finding]:
        number = len(program.operations)
        return [Finding(*KEY, "a reason", 0, known if number > 2 else "B24")] if number else []

    result = minimized(parse(HEAD + "cpu0 read a+0\n" * 5), KEY, judge, seconds=None)
    assert len(result.program.operations) == 3


def test_runs_are_bounded_and_reported() -> None:
    told: list[MinimizingProgress] = []
    program = parse(HEAD + "cpu0 read a+0\n" * 50)
    result = minimized(program, KEY, accesses(9), seconds=None, runs=5, progress=told.append)
    assert (result.runs, result.finished, result.interrupted) == (5, False, False)
    assert [progress.runs for progress in told] == list(range(5))
    assert len(told[-1].program.operations) < 50
    assert accesses(9)(result.program)


def test_time_is_bounded() -> None:
    program = parse(HEAD + "cpu0 read a+0\n" * 50)
    assert minimized(program, KEY, accesses(1), seconds=0).program == program


def test_interrupt_leaves_the_best_so_far() -> None:
    def interrupt(progress: MinimizingProgress) -> None:
        if progress.runs == 4:
            raise KeyboardInterrupt

    program = parse(HEAD + "cpu0 read a+0\n" * 50)
    result = minimized(program, KEY, accesses(9), progress=interrupt)
    assert result.interrupted
    assert 9 <= len(result.program.operations) < 50
    assert accesses(9)(result.program)


def test_a_program_that_does_not_show_the_finding_is_refused() -> None:
    with pytest.raises(NotShownError):
        minimize(parse(HEAD), candidate.get("original"), candidate.get("rfc-v1"), KEY)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Return a function that runs a command in this process, in a directory with a finding and ``regressions/``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(promotion, "regressions_folder", lambda: tmp_path / "regressions")
    Path("regressions").mkdir()
    Path("x.s2").write_text(f"# kind: regression\n# signature: {SIGNATURE}\n# candidate: rfc-v1\n{MISSING_CLEAN}")

    def run(*arguments: str) -> Result:
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, "".join(captured.err.split("CPython")[1:] or [captured.err])

    yield run
    # In no case is a half-written file left.
    assert [path for path in tmp_path.glob("**/.*") if path.is_file()] == []


def test_minimize_keeps_the_finding_that_the_comments_name(call: Call) -> None:
    code, out, _ = call("minimize", "x.s2")
    assert code == 0
    assert out.startswith(f"regression  {SIGNATURE}\n4 operations to 3, 1 slot to 1, ")
    assert out.endswith(": x.min.s2\n")
    assert load("x.min.s2") == parse(SMALL)
    comments = comments_of(Path("x.min.s2").read_text())
    assert (comments["signature"], comments["candidate"], comments["reference"]) == (SIGNATURE, "rfc-v1", "original")
    assert comments["minimized"].startswith("4 operations to 3, ")


STAMP = "confirmed on Linux 6.12: stale"


def test_the_stamp_of_a_real_kernel_is_kept(call: Call) -> None:
    """Check that only the finding with this stamp keeps it."""
    stamped = f"# kind: regression\n# signature: {SIGNATURE}\n# candidate: rfc-v1\n# real: {STAMP}\n{MISSING_CLEAN}"
    Path("x.s2").write_text(stamped)
    assert call("minimize", "x.s2")[1].endswith(f": x.min.s2\nreal kernel: {STAMP}\n")
    assert comments_of(Path("x.min.s2").read_text())["real"] == STAMP
    assert "real" not in comments_of(call("minimize", "x.s2", "--signature", "locking*", "-o", "-")[1])
    assert call("promote", "x.min.s2", "--name", "kept")[0] == 0
    text = Path("regressions/kept.s2").read_text()
    assert f"\n# real: {STAMP}\n# expect " in text
    assert parse(text) == parse(SMALL)


def test_minimize_selects_the_weightiest_finding_by_default(call: Call) -> None:
    Path("plain.s2").write_text(MISSING_CLEAN)
    code, out, _ = call("minimize", "plain.s2", "--candidate", "rfc-v1", "-o", "-")
    assert code == 0
    assert comments_of(out)["signature"] == SIGNATURE


def test_minimize_selects_the_finding_that_is_asked_for(call: Call) -> None:
    code, out, _ = call("minimize", "x.s2", "--signature", "locking*", "-o", "over.s2", "--json")
    assert code == 0
    answer = json.loads(out)
    assert (answer["class"], answer["operations"], answer["finished"]) == ("regression", [4, 1], True)
    assert answer["file"] == "over.s2"
    assert answer["text"] == Path("over.s2").read_text()


def test_minimize_can_overwrite_its_input(call: Call) -> None:
    assert call("minimize", "x.s2", "-o", "x.s2")[0] == 0
    assert load("x.s2") == parse(SMALL)


def test_minimize_interrupted_writes_the_best(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(progress: MinimizingProgress) -> None:
        if len(progress.program.operations) < 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        "fuzz.command_line.shrinking.ShrinkingDisplay.__call__", lambda _, progress: interrupt(progress)
    )
    code, out, _ = call("minimize", "x.s2")
    assert code == 130
    assert ", interrupted: x.min.s2\n" in out
    assert len(load("x.min.s2").operations) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("minimize x.s2 --candidate rfc-v1-fixed", "shows nothing; give a program with a finding"),
        ("minimize x.s2 --signature cured*", "no finding matches --signature 'cured*'; there are: regression "),
        ("minimize x.s2 --candidate rfc-v9", "no version 'rfc-v9'"),
        ("minimize plain.s2", "plain.s2: no comment names its candidate; name it with --candidate NAME"),
        ("minimize no.s2", "no.s2: No such file"),
        ("minimize bad.s2", "bad.s2:1: "),
        ("minimize x.s2 -o no/x.s2", "-o no/x.s2: No such file or directory; name a file"),
        ("promote x.s2 --name Bad", "--name 'Bad'; allowed: at most 80 of a-z, 0-9"),
        ("promote x.s2 --name ../x", "--name '../x'; allowed: "),
        ("promote x.s2 --name there", "there.s2 already exists; choose another name"),
        (
            "promote x.s2 --reference bug-last-page",
            "bug-last-page, a planted bug; allowed: findings against original, ",
        ),
        ("promote x.s2 --candidate rfc-v1-fixed", "shows nothing; give a program"),
        ("promote x.s2 --candidate v5.14", "shows nothing; give a program"),
        ("promote gone.s2", "regression leak: f: a does not replay in a fresh process; choose what it still shows"),
        ("promote x.s2", "there.s2 is the same program; promote another one"),
    ],
)
def test_refused_in_one_line(arguments: str, words: str, call: Call) -> None:
    Path("plain.s2").write_text(MISSING_CLEAN)
    Path("bad.s2").write_text("nonsense\n")
    Path("gone.s2").write_text("# kind: regression\n# signature: leak: f: a\n# candidate: rfc-v1\n" + MISSING_CLEAN)
    Path("regressions/there.s2").write_text("# about\n" + SMALL)
    code, out, err = call(*arguments.split())
    said = [line for line in err.splitlines() if line.startswith("s2fuzz: ")]
    refused((code, out, said[-1] + "\n"), words)
    assert {path.name for path in Path("regressions").iterdir()} == {"there.s2"}
    assert not Path("x.min.s2").exists()


def test_promote_writes_what_pytest_expects(call: Call) -> None:
    code, out, _ = call("promote", "x.s2", "--name", "block-not-cleaned", "--about", "What is wrong. " * 10)
    assert code == 0
    path = Path("regressions/block-not-cleaned.s2")
    assert out.endswith(path.read_text())
    assert load(path) == parse(SMALL)
    expected = expectations(path)
    assert set(expected) == set(candidate.names())
    assert f"regression {SIGNATURE}" in expected["rfc-v1"]
    assert expected["rfc-v1-fixed"] == set()
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# What is wrong. What is")
    assert max(map(len, lines[:2])) <= 78


def test_promote_derives_a_name_from_the_signature(call: Call) -> None:
    code, out, _ = call("promote", "x.s2", "--json")
    assert code == 0
    (path,) = Path("regressions").iterdir()
    assert json.loads(out)["file"] == str(path.resolve())
    assert path.name == "dcache-stage2-map-walker-table-block-after-a-translation.s2"
    assert "exposes 511 frame(s)" in " ".join(path.read_text().replace("#", "").split())


def test_promote_refuses_a_program_that_crashes_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replayer, "keys", lambda *_: {("crash", "process made no progress")})
    with pytest.raises(PromotionError, match="original has no verdict on it: process made no progress"):
        expecting.expectations(parse(SMALL), Replayer(), "original", candidate.names())


def test_promote_against_another_reference(call: Call) -> None:
    code, _, _ = call("promote", "x.s2", "--name", "on-v5-12-9", "--reference", "v5.12.9")
    assert code == 0
    path = Path("regressions/on-v5-12-9.s2")
    lines = path.read_text().splitlines()
    assert "# reference: v5.12.9" in lines
    assert expecting.reference_of(path.read_text()) == "v5.12.9"
    expected = expectations(path)
    assert set(expected) == set(candidate.names())
    assert f"regression {SIGNATURE}" in expected["rfc-v1"]
    assert expected["v5.12.9"] == set()


def test_promote_for_a_file_writes_expectations_of_registered_versions(call: Call) -> None:
    Path("mine.py").write_text(
        "from candidate import Candidate\nfrom candidate.rfc_v1_3 import MmuRfcV1_3, PgtableRfcV1_3\n"
        "CANDIDATE = Candidate('mine', PgtableRfcV1_3, MmuRfcV1_3, 'a test')\n"
    )
    code, _, err = call("promote", "x.s2", "--candidate", "mine.py", "--name", "of-a-file")
    assert code == 0
    assert err.endswith(f"{len(candidate.names())} registered versions; 1 file from outside skipped: ./mine.py\n")
    assert set(expectations(Path("regressions/of-a-file.s2"))) == set(candidate.names())
    code, _, err = call("promote", "x.s2", "--reference", "mine.py", "--candidate", "original")
    assert code == 2
    assert "found against ./mine.py, a file from outside; allowed: findings against original, " in err


def test_expect_writes_missing_and_wrong_expectations(call: Call) -> None:
    head = f"# About.\n#\n# expect original: nothing\n# expect rfc-v1-3: nothing\n# expect v5.14: nothing\n{SMALL}"
    path = Path("regressions/there.s2")
    path.write_text(head)
    code, out, _ = call("expect", "rfc-v1-3", "rfc-v1-fixed")
    assert code == 0
    assert f"there.s2: rfc-v1-3: regression {SIGNATURE}\n" in out
    assert "rfc-v1-3: 1 regression test, 1 changed\nrfc-v1-fixed: 1 regression test, 1 changed\n" in out
    after = path.read_text()
    assert after == head.replace(
        "# expect rfc-v1-3: nothing\n", f"# expect rfc-v1-3: regression {SIGNATURE}\n# expect rfc-v1-fixed: nothing\n"
    )
    code, out, _ = call("expect", "rfc-v1-3", "rfc-v1-fixed")
    assert (code, path.read_text()) == (0, after)
    assert out == "rfc-v1-3: 1 regression test, 0 changed\nrfc-v1-fixed: 1 regression test, 0 changed\n"


def test_expect_skips_files_and_counts_them(call: Call) -> None:
    Path("regressions/there.s2").write_text("# About.\n" + SMALL)
    Path("mine.py").write_text(
        "from candidate import Candidate\nfrom candidate.rfc_v1_3 import MmuRfcV1_3, PgtableRfcV1_3\n"
        "CANDIDATE = Candidate('mine', PgtableRfcV1_3, MmuRfcV1_3, 'a test')\n"
    )
    code, out, _ = call("expect", "./mine.py")
    assert (code, out) == (0, "1 file from outside skipped: ./mine.py\n")
    code, out, _ = call("expect", "./mine.py", "v5.14", "--json")
    answer = json.loads(out)
    assert (code, answer["programs"], answer["skipped"]) == (0, 1, ["./mine.py"])
    assert [Path(name).name for name in answer["changed"]["v5.14"]] == ["there.s2"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("bug-last-page", "bug-last-page is a planted bug"), ("rfc-v9", "no version 'rfc-v9'")],
)
def test_expect_refuses_an_unregistered_version(name: str, words: str, call: Call) -> None:
    Path("regressions/there.s2").write_text("# About.\n" + SMALL)
    refused(call("expect", name), words)


def test_promote_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.s2"
    path.write_text("mine")
    with pytest.raises(PromotionError, match="already exists"):
        promotion.write_regression(path, "text")
    assert path.read_text() == "mine"
    with pytest.raises(PromotionError, match="use a folder that can be written"):
        promotion.write_regression(tmp_path / "no" / "x.s2", "text")
