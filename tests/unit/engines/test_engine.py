# SPDX-License-Identifier: GPL-2.0-only
"""The random engine: it is repeatable, reports each finding once with its smallest program, and loses nothing."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import candidate
from candidate.tree.runtime.errors import TreeNotStartedError
from fuzz.engines.summary import Keeper, Summary
from fuzz.engines.unit import Message, Result, Unit, UnitState, from_line, to_line
from fuzz.engines.unit_run import UnitRun
from fuzz.findings.finding_files import ALTERNATIVES, UNREPLAYED
from fuzz.findings.found import file_name, folder_name, known_text, reproduce
from fuzz.findings.record import FindingRecord
from fuzz.findings.severity import weight
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import CLASSES, Differential, Finding, Verdict
from fuzz.judging.known import known_bugs
from fuzz.language.program import Program
from fuzz.language.text import load, parse, print_program
from fuzz.reports.report import no_verdict, refused_lines
from fuzz.sides.side import Side

from ..console import process
from ..replaying import Here, Scripted
from ..run_here import run_here

ROOT = Path(__file__).parents[3]
ORIGINAL = candidate.get("original")
RFC_V1 = candidate.get("rfc-v1")
PROGRAMS = 15
EMPTY = parse("s2fuzz 1\nvm\nslot a size=4K backing=anon\n")


def session(seed: int = 1, out: Path | None = None, programs: int = PROGRAMS) -> Summary:
    """Run a session of the random engine in this process."""
    unit = Unit("random", "original", "rfc-v1", seed, programs)
    summary = Summary("original", "rfc-v1", seed)
    result, keeper = Result(unit), Keeper(summary, out, Here())

    def tell(message: Message) -> None:
        result.record(message)
        keeper.watch(result)

    run_here(unit, tell)
    keeper.finish(result)
    return summary


def comparable(summary: Summary) -> list[tuple[str, str, str, int, int, str]]:
    return [(f.kind, f.signature, f.reason, f.number, f.count, print_program(f.program)) for f in summary.findings]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Run a session that writes files."""
    return session(out=tmp_path_factory.mktemp("findings"))


def test_same_seed_same_findings(kept: Summary) -> None:
    assert comparable(session()) == comparable(kept)


def files(folder: Path) -> dict[str, str]:
    """Return the files below a folder, without the folder's name in paths and contents."""
    return {
        str(path.relative_to(folder)): path.read_text().replace(str(folder), "")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_kept_programs_do_not_depend_on_when_messages_are_read(tmp_path: Path) -> None:
    """Read one or many messages at a time, as a loaded machine does."""
    made: list[dict[str, str]] = []
    unit = Unit("random", "original", "rfc-v1", 1, 40)
    lines: list[bytes] = []
    run_here(unit, lambda message: lines.append(to_line(message)))
    for every in (1, 7, 1_000_000):
        folder = tmp_path / str(every)
        folder.mkdir()
        result, keeper = Result(unit), Keeper(Summary("original", "rfc-v1", 1), folder, Here())
        # Decode the messages anew each time, because a result changes the messages that it receives.
        for number, message in enumerate(map(from_line, lines), 1):
            result.record(message)
            if number % every == 0:
                keeper.watch(result)
        keeper.finish(result)
        made.append(files(folder))
    assert made[0] == made[1] == made[2]
    assert len([name for name in made[0] if name.startswith(f"{ALTERNATIVES}/")]) > 3


def test_postponed_replays_change_only_the_number_of_replays(tmp_path: Path) -> None:
    """Check that a store which replays each record immediately keeps the same programs in the same files."""
    unit = Unit("random", "original", "rfc-v1", 1, 200)
    lines: list[bytes] = []
    run_here(unit, lambda message: lines.append(to_line(message)))
    results = [Result(unit), Result(unit)]
    for result in results:
        for message in map(from_line, lines):
            result.record(message)
    made: list[dict[str, str]] = []
    replays: list[int] = []
    for name, result in zip(("at-once", "at-the-end"), results, strict=True):
        (folder := tmp_path / name).mkdir()
        replayer = Here()
        keeper = Keeper(Summary("original", "rfc-v1", 1), folder, replayer)
        if name == "at-once":
            for record in result.messages:
                keeper.store.offer(replace(record, count=1))
        else:
            keeper.finish(result)
        made.append(files(folder))
        replays.append(len(replayer.asked))
    assert made[0] == made[1]
    assert replays[1] < replays[0]


def test_ctrl_c_ends_pending_replays(tmp_path: Path) -> None:
    """Start with a larger program of the finding in place."""
    long, short = (parse(f"{print_program(EMPTY)}cpu0 read a+0\n{more}") for more in ("cpu0 write a+0\n", ""))
    finding = Finding("regression", "a: b: c", "why", 0)
    result = Result(Unit("random", "original", "rfc-v1", 1))

    class Interrupted(Scripted):
        def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
            if program == print_program(short):
                raise KeyboardInterrupt
            return super().shows(program, reference, candidate)

    keeper = Keeper(Summary("original", "rfc-v1", 1), tmp_path, Interrupted({print_program(long): [finding]}))
    for program in (long, short):
        result.record(FindingRecord(finding, print_program(program), 1))
    keeper.watch(result)
    assert [found.program for found in keeper.summary.findings] == [long]
    keeper.finish(result)
    assert keeper.summary.interrupted
    assert [found.program for found in keeper.summary.findings] == [long]
    assert [load(path) for path in tmp_path.iterdir()] == [long]


def test_a_replay_interrupted_by_ctrl_c_is_repeated(tmp_path: Path) -> None:
    unit = Unit("random", "original", "rfc-v1", 1)
    result = Result(unit)
    texts = [print_program(EMPTY), f"{print_program(EMPTY)}cpu0 read a+0\n"]
    for signature, text in zip(("a: b: c", "d: e: f"), texts, strict=True):
        result.record(FindingRecord(Finding("regression", signature, "why", 0), text, 1))
    shown = [Finding("regression", signature, "why", 0) for signature in ("a: b: c", "d: e: f")]

    class Interrupted(Scripted):
        times = 0

        def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
            self.times += 1
            if self.times == 2:
                raise KeyboardInterrupt
            return super().shows(program, reference, candidate)

    keeper = Keeper(Summary("original", "rfc-v1", 1), tmp_path, Interrupted(dict.fromkeys(texts, shown)))
    with pytest.raises(KeyboardInterrupt):
        keeper.watch(result)
    result.interrupted = True
    keeper.watch(result)
    assert [found.signature for found in keeper.summary.findings] == ["a: b: c", "d: e: f"]
    assert [found.count for found in keeper.summary.findings] == [1, 1]


def test_a_second_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    """Check that records not replayed by then are kept separately and reported."""
    result = Result(Unit("random", "original", "rfc-v1", 1), interrupted=True)
    shown = Finding("regression", "a: b: c", "why", 0)
    for signature in ("a: b: c", "d: e: f", "g: h: i"):
        result.record(FindingRecord(replace(shown, signature=signature), f"{print_program(EMPTY)}# {signature}\n", 1))

    class Interrupted(Scripted):
        def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
            if self.asked:
                raise KeyboardInterrupt
            return super().shows(program, reference, candidate)

    keeper = Keeper(Summary("original", "rfc-v1", 1), tmp_path, Interrupted({print_program(EMPTY): [shown]}))
    assert keeper.is_behind(result)
    keeper.finish(result)
    assert [found.signature for found in keeper.summary.findings] == ["a: b: c"]
    assert [found.signature for found in keeper.summary.unreplayed] == ["d: e: f", "g: h: i"]
    assert all(found.path is not None and found.path.exists() for found in keeper.summary.unreplayed)
    assert not keeper.is_behind(result)


def test_two_runs_leave_the_same_files(tmp_path: Path) -> None:
    """Run the command, whose engine and replays are separate processes."""
    command = ["fuzz", "--candidate", "rfc-v1", "--programs", "25", "--seed", "2", "--out", "findings"]
    made: list[dict[str, str]] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        done = process(*command, cwd=folder, stdout=subprocess.PIPE)
        assert done.returncode == 1, done.stderr
        made.append(files(folder))
    assert made[0] == made[1]
    assert any(f"/{ALTERNATIVES}/" in name for name in made[0])


def test_another_seed_other_programs(kept: Summary) -> None:
    assert comparable(session(seed=2)) != comparable(kept)


def test_findings_are_distinct_and_in_order_of_weight(kept: Summary) -> None:
    keys = [(CLASSES.index(found.kind), weight(found.signature), found.signature) for found in kept.findings]
    assert keys == sorted(set(keys))
    assert kept.failed


def test_counts_and_smallest_programs_are_those_of_the_programs(kept: Summary) -> None:
    generator = Generator(1, offers=Offers(par=True))
    differential = Differential(ORIGINAL, RFC_V1)
    shown: dict[tuple[str, str], set[tuple[bool, Program]]] = {}
    operations = 0
    for _ in range(PROGRAMS):
        program = generator.next()
        operations += len(program.operations)
        for finding in differential.run(program).findings:
            shown.setdefault(finding.key, set()).add((bool(finding.known), program))
    assert {(found.kind, found.signature): found.count for found in kept.findings} == {
        key: len({program for _, program in programs}) for key, programs in shown.items()
    }
    for found in kept.findings:
        programs = shown[found.finding.key]
        sizes = [(explained, len(p.operations), len(print_program(p))) for explained, p in programs]
        assert found.size() == min(sizes)
    assert (kept.programs, kept.operations) == (PROGRAMS, operations)


def test_a_program_that_no_known_bug_explains_comes_first() -> None:
    """Check that a shorter program that a known bug explains does not hide it."""
    told: list[Message] = []
    unit_run = UnitRun(Unit("random", "original", "rfc-v1", 1, 1), told.append)
    text = print_program(EMPTY)
    unknown, explained = Finding("common", "a: b: c", "why", 0), Finding("common", "a: b: c", "why", 0, "B05")
    for count, findings in ((1, [explained]), (9, [explained, unknown]), (2, [explained])):
        verdict = Verdict()
        verdict.findings += findings
        unit_run.record_verdict(verdict, parse(text + "cpu0 read a+0\n" * count))
    records = [each for each in told if isinstance(each, FindingRecord)]
    assert [(each.finding, each.operations) for each in records] == [(explained, 1), (unknown, 9)]
    assert min(records, key=FindingRecord.size).finding == unknown
    assert unit_run.state.counts == {"common a: b: c": 3}


def test_files_replay(kept: Summary) -> None:
    assert kept.findings
    for found in kept.findings:
        assert found.path is not None
        program = load(found.path)
        assert program == found.program
        assert f"{found.kind} {found.signature}" in Differential(ORIGINAL, RFC_V1).run(program).titles()


def test_files_describe_their_findings(kept: Summary) -> None:
    found = kept.findings[0]
    assert found.path is not None
    text = found.path.read_text()
    command = ".venv/bin/s2fuzz run --reference original --candidate rfc-v1 --trace"
    for line in (
        f"# kind: {found.kind}",
        f"# signature: {found.signature}",
        f"# reason: {found.reason}",
        f"# at: {found.where()}",
        "# reference: original",
        "# candidate: rfc-v1",
        f"# seed: 1, program {found.number}",
        f"# reproduce: {command} {found.path} # in the checkout of s2fuzz, after `make venv`",
    ):
        assert line in text.splitlines()


def test_the_command_of_a_file_works_in_the_checkout(kept: Summary) -> None:
    for found in kept.findings[:2]:
        assert found.path is not None
        (line,) = [line for line in found.path.read_text().splitlines() if line.startswith("# reproduce: ")]
        command = line.removeprefix("# reproduce: ").replace(".venv/bin/s2fuzz", f"{sys.executable} -m fuzz", 1)
        result = subprocess.run(["sh", "-c", command], cwd=ROOT, text=True, capture_output=True, check=False)
        assert result.stderr == "s2fuzz: rfc-v1 (on rfc-v1-3) overrides user_mem_abort; adds nothing\n"
        assert f"{found.kind:<10}  {found.signature}" in result.stdout


def test_a_file_in_the_checkout_is_named_relative_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command = reproduce("original", "rfc-v1", ROOT / "findings" / "rfc-v1" / "a b.s2")
    assert " --trace 'findings/rfc-v1/a b.s2'  # in the checkout" in command


def rewritten(found: FindingRecord, operations: int) -> Program:
    """Extend the program in the file of a finding by this many operations at its end; return it."""
    assert found.path is not None
    last = found.program.operations[-1:]
    program = replace(found.program, operations=found.program.operations + last * operations)
    found.path.write_text("# by hand\n" + print_program(program))
    return program


def test_a_smaller_program_of_an_earlier_session_stays(tmp_path: Path) -> None:
    first = session(out=tmp_path, programs=40)
    texts = {path: path.read_text() for path in tmp_path.glob("**/*.s2")}
    again = session(seed=1, out=tmp_path, programs=5)
    assert again.findings
    assert {path: path.read_text() for path in tmp_path.glob("**/*.s2")} == texts
    smallest = {(found.kind, found.signature): found.program for found in first.findings}
    for found in again.findings:
        assert found.program == smallest[found.kind, found.signature]
        assert found.path is not None
        assert load(found.path) == found.program
    counts = {(found.kind, found.signature): found.count for found in session(programs=5).findings}
    assert {(found.kind, found.signature): found.count for found in again.findings} == counts


def test_a_larger_program_of_an_earlier_session_is_replaced(tmp_path: Path) -> None:
    for found in session(out=tmp_path).findings:
        rewritten(found, 1)
    shutil.rmtree(tmp_path / ALTERNATIVES)
    for found in session(out=tmp_path).findings:
        assert found.path is not None
        assert load(found.path) == found.program
        assert found.number


def test_an_equally_long_program_replaces_nothing(tmp_path: Path) -> None:
    for found in session(out=tmp_path).findings:
        rewritten(found, 0)
    for found in session(out=tmp_path).findings:
        assert found.path is not None
        assert found.path.read_text().startswith("# by hand\n")
        assert found.number == 0


def test_a_program_that_no_longer_shows_its_finding_is_replaced(tmp_path: Path) -> None:
    """Check this for a program that no longer shows the finding, and for text that is no program."""
    findings = session(out=tmp_path).findings
    for found, text in zip(findings, (print_program(EMPTY), "nonsense\n"), strict=False):
        assert found.path is not None
        found.path.write_text(text)
    shutil.rmtree(tmp_path / ALTERNATIVES)
    for found in session(out=tmp_path).findings[:2]:
        assert found.path is not None
        assert load(found.path) == found.program
        assert found.number


def test_no_other_files_are_left(kept: Summary) -> None:
    assert kept.findings[0].path is not None
    files = {path.name for path in kept.findings[0].path.parent.iterdir()}
    assert files == {found.path.name for found in kept.findings if found.path} | {ALTERNATIVES}


def test_without_a_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    summary = session(programs=3)
    assert summary.findings
    assert all(found.path is None for found in summary.findings)
    assert list(tmp_path.iterdir()) == []


def test_time_ends_a_session() -> None:
    told: list[Message] = []
    run_here(Unit("random", "original", "rfc-v1", 1, seconds=1e-9), told.append)
    assert isinstance(told[-1], UnitState)
    assert told[-1].programs == 0
    assert told[-1].ended


def test_an_internal_crash_keeps_the_program_and_the_session_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Differential.run

    def sometimes(self: Differential, program: Program) -> Verdict:
        if len(program.operations) % 2:
            raise IndexError("on purpose")
        return good(self, program)

    monkeypatch.setattr(Differential, "run", sometimes)
    monkeypatch.delenv("S2FUZZ_DEBUG", raising=False)
    summary = session(out=tmp_path)
    assert summary.programs == PROGRAMS
    assert summary.findings
    (crash,) = summary.crashes
    assert "IndexError: on purpose" in crash.reason
    assert crash.path is not None
    assert len(load(crash.path).operations) % 2 == 1


def test_a_crash_of_the_generator_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Generator) -> Program:
        raise RuntimeError("no program")

    monkeypatch.setattr(Generator, "next", fail)
    summary = session(out=tmp_path, programs=2)
    # Replaying the program does not show it again.
    (crash,) = summary.unreplayed
    assert (crash.kind, crash.count, crash.number) == ("crash", 2, 1)
    assert crash.path is not None
    assert crash.path.parent.name == UNREPLAYED
    assert "# seed: 1, program 1" in crash.path.read_text()


def test_a_lost_directory_is_reported_and_loses_no_finding(tmp_path: Path) -> None:
    out = tmp_path / "gone"
    summary = session(out=out, programs=3)
    assert summary.findings
    assert str(out) in summary.trouble
    assert all(found.path is None for found in summary.findings)


def test_file_names_distinguish_similar_signatures() -> None:
    names = {
        file_name(Finding("common", signature, ""))
        for signature in ("a->b L2", "a: b L2", "a b L2", "x" * 200, "x" * 201)
    }
    assert len(names) == 5
    assert all(len(name) < 120 and "/" not in name and " " not in name for name in names)


def test_a_folder_for_each_candidate() -> None:
    assert folder_name("rfc-v1", "original") == "rfc-v1"
    assert folder_name("rfc-v1", "v5.12.9") == "rfc-v1-against-v5.12.9"
    assert folder_name("../a b", "original") == "a-b"
    assert folder_name("./my_patch.py", "./my_base.py") == "my_patch.py-against-.-my_base.py"


def test_reason_of_several_lines_stays_a_comment(tmp_path: Path) -> None:
    finding = Finding("regression", "a: b: c", "two\nlines", 0)
    keeper = Keeper(Summary("original", "rfc-v1", 1), tmp_path, Scripted({print_program(EMPTY): [finding]}))
    keeper.take(FindingRecord(finding, print_program(EMPTY), 1))
    (path,) = tmp_path.iterdir()
    assert load(path) == EMPTY


def test_known_bug_is_explained_only_where_the_reference_has_it() -> None:
    bug = known_bugs()[0]
    signature = bug.pattern.replace("*", "")
    assert known_text(Finding("common", signature, ""), "original").startswith(
        f"known bug {bug.id} of the original: {bug.reason}"
    )
    assert known_text(Finding("regression", signature, ""), "original") == (
        f"different from known bug {bug.id}, which has the same signature: the original does not show this"
    )
    assert known_text(Finding("regression", signature, ""), "v5.12.9") == ""
    memory = "memcache: stage2_map_walker: allocation without a top-up after a permission fault L3"
    assert "different from known bugs M1, M2 and M3, which have the same signature: the original" in known_text(
        Finding("regression", memory, ""), "original"
    )
    assert known_text(Finding("cured", signature, ""), "v5.12.9") == ""
    hints = "lifetime: stage2_unmap_walker: freed before the flush"
    said = known_text(Finding("regression", hints, ""), "v5.12.9")
    assert "known bug B21, which has the same signature: v5.12.9 does not show this" in said
    assert known_text(Finding("common", "dcache: nowhere: nothing", ""), "original") == ""


@pytest.mark.parametrize("reference", ["tree:/nowhere", "tree:/nowhere@v6.12", "nothing", "./nowhere.py"])
def test_findings_of_a_missing_version_can_be_read(reference: str) -> None:
    signature = "page-reference: kvm_handle_guest_abort: marked accessed, not held after an access flag fault"
    assert known_text(Finding("regression", signature, ""), reference) == ""
    said = known_text(Finding("common", signature, ""), reference)
    assert said.startswith(f"cannot tell whether it is a known bug of {reference}: ")
    assert "allowed" not in said


def test_the_reason_names_the_known_bug_that_explains_a_finding() -> None:
    signature = known_bugs()[0].pattern.replace("*", "")
    assert (
        known_text(Finding("common", signature, "a reason; the condition of known bug B05 did not hold"), "original")
        == ""
    )
    follows = f"a reason; it follows from {signature}"
    assert known_text(Finding("common", "isolation: f: x", follows), "original").startswith(
        "known bug B05 of the original: "
    )


def test_a_tree_whose_process_cannot_be_started_gives_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a limit of the system is neither a finding nor a mistake of s2fuzz."""

    def limited(_: Side) -> int:
        raise TreeNotStartedError("Too many open files")

    monkeypatch.setattr(Side, "create", limited)
    summary = session()
    assert summary.crashes == []
    assert summary.programs == PROGRAMS
    assert summary.refused == {"a process of the kernel tree cannot be started: Too many open files": PROGRAMS}
    assert summary.unknown
    assert no_verdict(summary.programs, summary.refused) == (
        "no verdict: 15 of 15 programs could not be judged; no process of a kernel tree could be started"
    )
    lines = "15 programs without a verdict; a process of the kernel tree cannot be started: Too many open files"
    assert list(refused_lines(summary.refused)) == [lines]
