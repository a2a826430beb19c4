# SPDX-License-Identifier: GPL-2.0-only
"""The store of findings:

only replayed findings are filed, the smallest is never lost, alternatives differ in structure.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fuzz.files import write_together
from fuzz.findings import finding_files
from fuzz.findings.finding_files import ALTERNATIVES, UNREPLAYED, structure
from fuzz.findings.found import CRASH, file_name
from fuzz.findings.record import FindingRecord, record_of
from fuzz.findings.replay import OTHER_TREE
from fuzz.findings.store import KEPT, TRIES, Store
from fuzz.judging.finding import Finding
from fuzz.language import text as language_text
from fuzz.language.program import Program
from fuzz.language.text import load, parse, print_program

from ..replaying import Scripted

KIND, SIGNATURE = "regression", "dcache: f: something L2"
MAIN = file_name(Finding(KIND, SIGNATURE, ""))
READ, WRITE, AGE, EVICT = "cpu0 read a+0", "host write a+0 4K", "host age a+0 4K", "cpu0 evict a+0"


def program(*operations: str) -> Program:
    return parse("\n".join(["s2fuzz 1", "vm", "slot a size=8K backing=anon", *operations, ""]))


ALL = [program(*[operation] * count) for operation in (READ, WRITE, AGE, EVICT) for count in (1, 2, 3, 4, 5)]


def found(shown: Program, number: int = 1, seed: int = 1) -> FindingRecord:
    return record_of(Finding(KIND, SIGNATURE, "a reason", 0), shown, number, seed)


def store(folder: Path | None, *programs: Program) -> Store:
    """Make a store whose fresh processes show the finding for these programs only."""
    answer = [Finding(KIND, SIGNATURE, "seen again", 0)]
    return Store(folder, "original", "rfc-v1", Scripted({print_program(each): answer for each in programs}))


def files(folder: Path) -> dict[str, Program]:
    return {str(path.relative_to(folder)): load(path) for path in folder.glob("**/*.s2")}


def test_a_finding_that_replays_is_filed(tmp_path: Path) -> None:
    kept = store(tmp_path, *ALL)
    filed = kept.offer(found(ALL[0], seed=7))
    assert filed is not None
    assert filed.path == tmp_path / MAIN
    assert kept.findings() == [filed]
    assert files(tmp_path) == {MAIN: ALL[0]}
    assert "# seed: 7, program 1\n" in (tmp_path / MAIN).read_text()


def test_a_finding_that_does_not_replay_is_kept_separately(tmp_path: Path) -> None:
    kept = store(tmp_path)
    assert kept.offer(found(ALL[0])) is None
    assert kept.findings() == []
    (lost,) = kept.unreplayed()
    assert files(tmp_path) == {f"{UNREPLAYED}/{MAIN}": ALL[0]}
    assert lost.path == tmp_path / UNREPLAYED / MAIN
    assert "a fresh process showed: nothing" in lost.path.read_text()


def test_a_tree_edited_since_is_no_crash(tmp_path: Path) -> None:
    edited = Finding(CRASH, OTHER_TREE, "tree:linux is not what was judged before")
    kept = Store(tmp_path, "original", "rfc-v1", Scripted({print_program(ALL[0]): [edited]}))
    assert kept.offer(found(ALL[0])) is None
    (lost,) = kept.unreplayed()
    assert lost.reason.endswith("(not judged again: kernel tree changed: tree:linux is not what was judged before)")


def test_a_finding_that_replays_later_is_no_longer_unreplayed(tmp_path: Path) -> None:
    kept = store(tmp_path, ALL[1])
    assert kept.offer(found(ALL[0])) is None
    filed = kept.offer(found(ALL[1]))
    assert filed is not None
    assert filed.count == 2
    assert kept.unreplayed() == []
    assert files(tmp_path) == {MAIN: ALL[1]}


def test_a_program_is_parsed_once() -> None:
    one, same = found(ALL[0]), found(ALL[0])
    assert one.program == ALL[0]
    assert one.program is same.program


def test_no_similar_name_is_searched_for_a_finding_without_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[Path] = []
    monkeypatch.setattr(language_text, "near_file", lambda path: looked_for.append(path))
    assert store(tmp_path, *ALL).offer(found(ALL[0])) is not None
    assert looked_for == []


def test_a_program_of_several_findings_is_replayed_once() -> None:
    other = "tlb: g: something else L3"
    both = [Finding(KIND, SIGNATURE, "seen again", 0), Finding(KIND, other, "seen again", 0)]
    replayer = Scripted({print_program(ALL[0]): both})
    kept = Store(None, "original", "rfc-v1", replayer)
    for signature in (SIGNATURE, other):
        assert kept.offer(record_of(Finding(KIND, signature, "a reason", 0), ALL[0], 1, 1)) is not None
    assert replayer.asked == [print_program(ALL[0])]


def test_a_program_that_did_not_show_its_finding_is_replayed_again() -> None:
    kept = store(None)
    for _ in range(2):
        assert kept.offer(found(ALL[0])) is None
    assert isinstance(kept.replayer, Scripted)
    assert len(kept.replayer.asked) == 2


def test_a_finding_that_never_replays_is_tried_a_few_times_only() -> None:
    kept = store(None)
    for each in ALL:
        assert kept.offer(found(each)) is None
    assert isinstance(kept.replayer, Scripted)
    assert len(kept.replayer.asked) == TRIES
    assert [lost.count for lost in kept.unreplayed()] == [len(ALL)]


@pytest.mark.parametrize("order", [ALL, ALL[::-1], ALL[7:] + ALL[:7]], ids=["up", "down", "turned"])
def test_the_smallest_of_a_few_structures_are_kept(order: list[Program], tmp_path: Path) -> None:
    kept = store(tmp_path, *ALL)
    for number, each in enumerate(order, 1):
        kept.offer(found(each, number))
        # The smallest program so far is always in its file.
        assert len(load(tmp_path / MAIN).operations) == min(len(seen.operations) for seen in order[:number])
    (filed,) = kept.findings()
    assert filed.count == len(ALL)
    programs = kept.kept[(KIND, SIGNATURE)]
    assert [len(each.program.operations) for each in programs] == [1] * KEPT
    assert len({structure(each.program) for each in programs}) == KEPT
    assert {each.path: each.program for each in programs} == {
        tmp_path / name: program for name, program in files(tmp_path).items()
    }
    assert {each.path.parent.name for each in programs[1:] if each.path} == {ALTERNATIVES}


def test_only_programs_that_would_be_kept_are_replayed() -> None:
    kept = store(None, *ALL)
    for each in (*ALL[:3], ALL[0]):
        kept.offer(found(each))
    assert isinstance(kept.replayer, Scripted)
    # The second program is larger than the first and of another structure; the last one is known.
    assert kept.replayer.asked == [print_program(each) for each in ALL[:3]]


def test_offering_programs_together_keeps_the_same_and_writes_files_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check it with a program that does not replay, so that a larger one of its structure is kept."""
    written: list[Path] = []

    def write(files: list[tuple[Path, str]]) -> list[OSError | None]:
        written.extend(path for path, _ in files)
        return write_together(files)

    monkeypatch.setattr(finding_files, "write_together", write)
    smallest_last = sorted(ALL[1:], key=lambda each: found(each).size())
    made: list[tuple[dict[str, str], int]] = []
    for name in ("alone", "together"):
        (folder := tmp_path / name).mkdir()
        kept = store(folder, *(each for each in ALL if each != ALL[5]))
        kept.offer(found(ALL[4]))
        written.clear()
        records = [found(each, number, number) for number, each in enumerate(smallest_last)]
        if name == "alone":
            for each in records:
                kept.offer(each)
        else:
            kept.offer_all([records], beside=2)
        there = {str(path.relative_to(folder)): path.read_text() for path in folder.glob("**/*.s2")}
        made.append(({each: text.replace(str(folder), "") for each, text in there.items()}, len(written)))
        (filed,) = kept.findings()
        assert filed.count == len(ALL)
    (alone, writes), (together, fewer) = made
    assert alone == together
    assert len(alone) == KEPT == fewer < writes


def test_the_store_asks_its_replayer_for_exactly_the_expected_programs() -> None:
    class Told(Scripted):
        def expect(self, programs: Sequence[str], reference: str, candidate: str, beside: int) -> None:
            self.told = [*programs], beside

    replayer = Told({print_program(each): [Finding(KIND, SIGNATURE, "seen again", 0)] for each in ALL})
    kept = Store(None, "original", "rfc-v1", replayer)
    kept.offer(found(ALL[4]))
    replayer.asked.clear()
    kept.offer_all([sorted(map(found, ALL), key=FindingRecord.size)], beside=3)
    assert replayer.told == (replayer.asked, 3)
    assert len(replayer.asked) == KEPT


def test_ctrl_c_leaves_files_of_replayed_findings(tmp_path: Path) -> None:
    class Interrupted(Scripted):
        def shows(self, program: str, reference: str, candidate: str) -> list[Finding]:
            if program == print_program(ALL[5]):
                raise KeyboardInterrupt
            return super().shows(program, reference, candidate)

    answer = [Finding(KIND, SIGNATURE, "seen again", 0)]
    kept = Store(tmp_path, "original", "rfc-v1", Interrupted({print_program(each): answer for each in ALL}))
    kept.offer(found(ALL[1]))
    with pytest.raises(KeyboardInterrupt):
        kept.offer_all([[found(ALL[0]), found(ALL[5]), found(ALL[10])]])
    assert load(tmp_path / MAIN) == ALL[0]
    assert sorted(files(tmp_path).values(), key=str) == sorted(ALL[:2], key=str)


def test_the_same_operations_on_another_machine_are_another_structure() -> None:
    text = print_program(ALL[0])
    assert structure(parse(text.replace("vm", "vm fwb=on", 1))) != structure(ALL[0])
    assert structure(parse(text.replace("a+0", "a+4K"))) == structure(ALL[0])


def test_files_of_an_earlier_session_stay(tmp_path: Path) -> None:
    first = store(tmp_path, *ALL)
    for each in (ALL[0], ALL[6], ALL[12]):
        first.offer(found(each))
    before = {path: path.read_text() for path in tmp_path.glob("**/*.s2")}
    assert len(before) == KEPT
    again = store(tmp_path, *ALL)
    filed = again.offer(found(ALL[4]))
    assert filed is not None
    assert (filed.program, filed.number, filed.count) == (ALL[0], 0, 1)
    assert {path: path.read_text() for path in tmp_path.glob("**/*.s2")} == before


def test_an_alternative_replaces_a_file_without_finding(tmp_path: Path) -> None:
    first = store(tmp_path, *ALL)
    for each in (ALL[0], ALL[6]):
        first.offer(found(each))
    again = store(tmp_path, *ALL[1:])
    filed = again.offer(found(ALL[6]))
    assert filed is not None
    assert (filed.program, filed.path) == (ALL[6], tmp_path / MAIN)
    assert files(tmp_path) == {MAIN: ALL[6]}
    assert f" {tmp_path / MAIN} # in" in (tmp_path / MAIN).read_text()


def test_a_crash_is_filed_after_all_findings() -> None:
    crash = record_of(Finding(CRASH, "KeyError in x", "a reason"), ALL[1], 2, 1)
    shown = {
        print_program(ALL[0]): [Finding(KIND, SIGNATURE, "", 0)],
        print_program(ALL[1]): [Finding(CRASH, "KeyError in x", "", -1)],
    }
    kept = Store(None, "original", "rfc-v1", Scripted(shown))
    kept.offer(crash)
    kept.offer(found(ALL[0]))
    assert [each.kind for each in kept.findings()] == [KIND, CRASH]


def test_an_unwritable_folder_is_reported_and_loses_nothing(tmp_path: Path) -> None:
    kept = store(tmp_path / "gone", *ALL)
    for each in (ALL[1], ALL[0]):
        kept.offer(found(each))
    assert [each.program for each in kept.findings()] == [ALL[0]]
    assert str(tmp_path / "gone") in kept.files.trouble
    assert list(tmp_path.iterdir()) == []
