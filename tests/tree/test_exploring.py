# SPDX-License-Identifier: GPL-2.0-only
"""All schedules of a par block: their number, and what they find in a tree with a mistake."""

import json
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.command_line.cli import main
from fuzz.exploring.exploring import ExplorationResult, Explorer
from fuzz.exploring.switch_places import SwitchPlaces
from fuzz.exploring.universe import programs
from fuzz.judging import differential
from fuzz.judging.differential import COMMON, DIVERGENCE, REGRESSION, Differential, Lockstep
from fuzz.language.operations import GuestAccess, Par
from fuzz.language.text import parse, print_program
from fuzz.sides.outcome import Outcome

from .trees import planted, version

TREE: Final = "6.12"
# vCPUs that share nothing: neither affects what the other one does.
APART: Final = (
    "s2fuzz 1\nvm vms=2\nslot a size=2M backing=anon log=on\nslot b size=2M backing=anon log=on vm=1\n"
    "cpu0 read a+0\ncpu3 read b+0\npar\ncpu0 write a+0\ncpu3 write b+0\nend\n"
)
MAP: Final = "s2fuzz 1\nvm\nslot a size=4M backing=anon\npar\ncpu0 write a+0\ncpu1 write a+4K\nend\n"
IGNORED: Final = "\treturn cmpxchg(ctx->ptep, ctx->old, new) == ctx->old;\n"


# Two faults that relax two entries of one table. In older trees, each takes the mmu lock exclusively.
RELAX: Final = (
    "s2fuzz 1\nvm\nslot a size=2M backing=anon log=on\ncpu0 read a+0\ncpu0 read a+4K\npar\ncpu0 write a+0\n"
    "cpu1 write a+4K\nend\n"
)


def explored(name: str, text: str, preemptions: int, reference: str = "", reduction: bool = True) -> ExplorationResult:
    versions = candidate.get(reference or name), candidate.get(name)
    return Explorer(*versions, parse(text), preemptions, reduction=reduction).run()


def outcome(found: ExplorationResult) -> tuple[object, ...]:
    """Return the results that must be the same with and without reduction."""
    shown = [(key, each.schedules, print_program(each.program)) for key, each in sorted(found.shown.items())]
    return found.schedules, shown


def only_accesses(block: Par) -> bool:
    return all(isinstance(each, GuestAccess) for each in block.operations)


def places_alone(name: str, text: str) -> list[tuple[str, str]]:
    """Return the places at which the first vCPU may switch, in order: "before" or "after", and the point."""
    program = parse(text)
    run = Lockstep(Differential(candidate.get(name), candidate.get(name)), program)
    places = SwitchPlaces(run.right)
    for at in range(len(program.operations)):
        run.step(at)
    run.end()
    return [(each.switch.when, each.switch.point) for each in places.found]


def test_the_number_of_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    """With n places per vCPU: two orders, n preemptions of the first vCPU, and n of the second one after each."""
    notes: list[str] = []

    def note(at: int, reference: Outcome, tested: Outcome) -> list[str]:
        notes.append(tested.detail)
        return []

    monkeypatch.setattr(differential, "notes_of", note)
    found = explored(version(TREE), APART, 2, reduction=False)
    begun, once, twice = found.schedules
    places = once // 2
    assert (begun, once, twice) == (2, 2 * places, 2 * places**2)
    assert places > 8
    assert found.shown == {}
    assert found.judged == sum(found.schedules)
    # Each switch of each schedule took place.
    assert set(notes) == {""}
    reduced = explored(version(TREE), APART, 2)
    assert outcome(reduced) == outcome(found)
    assert reduced.judged < found.judged // 5


@pytest.mark.parametrize(("name", "alone"), [("5.12.9", True), ("6.1", False)])
def test_the_number_of_schedules_with_a_lock(name: str, alone: bool) -> None:
    """Count schedules with a spinlock, and with a lock taken for reading, which does not block the other vCPU.

    If a vCPU is preempted outside of the lock, the other one runs to its end: n places for a second preemption.

    If it is preempted inside, the other one runs up to the lock, and then the first one continues: the places of the
    other one before the lock, and the remaining places of the first one.
    """
    tree = version(name)
    places = places_alone(tree, RELAX)
    count = len(places)
    taken, dropped = places.index(("after", "lock")), places.index(("before", "unlock"))
    # Nothing happens between the last place before the lock and the lock: they are one place.
    assert ("before", "lock") not in places
    inside = range(taken, dropped + 1) if alone else ()
    twice = sum(taken + count - 1 - at if at in inside else count for at in range(count))
    found = explored(tree, RELAX, 2, reduction=False)
    assert found.schedules == [2, 2 * count, 2 * twice]
    assert found.shown == {}
    reduced = explored(tree, RELAX, 2)
    assert outcome(reduced) == outcome(found)
    assert reduced.judged < found.judged // 3


@pytest.mark.parametrize("text", [MAP, RELAX])
def test_reduction_does_not_change_the_findings(tmp_path: Path, text: str) -> None:
    name = planted(TREE, tmp_path / "tree", PGTABLE, IGNORED, "\tcmpxchg(ctx->ptep, ctx->old, new);\n\treturn true;\n")
    for reference in (name, version(TREE)):
        found = explored(name, text, 1, reference, reduction=False)
        reduced = explored(name, text, 1, reference)
        assert outcome(reduced) == outcome(found)
        assert reduced.judged < found.judged * 3 // 4


def test_all_programs_of_a_small_universe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Explore all programs of one length on a version that treats every compare-exchange as won."""
    name = planted(TREE, tmp_path / "tree", PGTABLE, IGNORED, "\tcmpxchg(ctx->ptep, ctx->old, new);\n\treturn true;\n")
    arguments = [
        "explore",
        "--length",
        "1",
        "--preemptions",
        "1",
        "--reference",
        version(TREE),
        "--json",
        "--candidate",
    ]
    assert main([*arguments, version(TREE)]) == 0
    answer = json.loads(capsys.readouterr().out)
    count = len(list(programs(1)))
    assert (answer["programs"], [each for each in answer["findings"] if each["class"] != COMMON]) == (count, [])
    assert main([*arguments, name]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert {each["class"] for each in answer["findings"]} & {REGRESSION, DIVERGENCE}
    assert all(0 < each["programs"] <= count for each in answer["findings"])


def test_the_universe_has_each_legal_program_once() -> None:
    for length, count in ((1, 21), (2, 21 * 9)):
        found = list(programs(length))
        assert len({print_program(each) for each in found}) == len(found)
        blocks = [each.operations[-1] for each in found]
        faults = [each for each in blocks if isinstance(each, Par) and only_accesses(each)]
        # 21 pairs of accesses by two vCPUs. Of the ten operations before them, one needs a log.
        assert len(faults) == count


def test_exploring_is_deterministic() -> None:
    name = version(TREE)
    assert explored(name, MAP, 1).schedules == explored(name, MAP, 1).schedules


def test_a_mistake_that_one_actor_cannot_show_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = planted(TREE, tmp_path / "tree", PGTABLE, IGNORED, "\tcmpxchg(ctx->ptep, ctx->old, new);\n\treturn true;\n")
    file = tmp_path / "x.s2"
    file.write_text(MAP)
    arguments = ["explore", str(file), "--reference", version(TREE), "--candidate", name, "--json", "--preemptions"]
    assert main([*arguments, "0"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
    # With one preemption, another table replaces the first one.
    assert main([*arguments, "1"]) == 1
    answer = json.loads(capsys.readouterr().out)
    broken = next(each for each in answer["findings"] if "table->other table without break" in each["signature"])
    assert 0 < broken["schedules"] < sum(answer["schedules"])
    block = parse(broken["program"]).operations[0]
    assert isinstance(block, Par)
    assert len(block.switches) == 1


def test_ports_are_explored_too() -> None:
    reduced, found = explored("original", RELAX, 1), explored("original", RELAX, 1, reduction=False)
    assert outcome(reduced) == outcome(found)
    assert reduced.judged < found.judged == sum(found.schedules)
    assert found.shown == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("s2fuzz 1\nvm\nslot a size=4M backing=anon\n", "x.s2: no par block; allowed: exactly one"),
        (MAP + MAP.partition("anon\n")[2], "x.s2: 2 par blocks; allowed: exactly one"),
        ("s2fuzz 1\nvm\n", "x.s2:2: "),
    ],
)
def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, wrong: str) -> None:
    file = tmp_path / "x.s2"
    file.write_text(text)
    assert main(["explore", str(file), "--candidate", "original"]) == 2
    assert wrong in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--preemptions", "9"), ("--preemptions", "-1"), ("--seconds", "nan")])
def test_values_out_of_bounds_are_refused(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["explore", "x.s2", "--candidate", "original", f"{option}={value}"])
    assert raised.value.code == 2
    assert f"argument {option}: '{value}'; allowed: " in capsys.readouterr().err


def test_two_vcpus_that_clear_the_same_tags_are_found(tmp_path: Path) -> None:
    """No event separates the test of a page's flag from the lock before it, but the place before the clearing does."""
    text = "s2fuzz 1\nvm mte=on\nslot a size=4K backing=anon\npar\ncpu0 read a+0\ncpu1 read a+0\nend\n"
    copy = planted("7.3", tmp_path / "tree", MMU, "if (try_page_mte_tagging(page)) {", "if (!page_mte_tagged(page)) {")
    found = [explored(copy, text, 1, version("7.3"), reduction) for reduction in (True, False)]
    assert outcome(found[0]) == outcome(found[1])
    assert [signature for _, signature in found[0].shown] == [
        "tags: kvm_handle_guest_abort: tags cleared again after a translation fault"
    ]
