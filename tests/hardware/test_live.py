# SPDX-License-Identifier: GPL-2.0-only
"""Tables of running programs, about which QEMU is asked directly."""

from pathlib import Path

import pytest

import candidate
from fuzz.command_line import cli
from fuzz.execution.executor import Executor
from fuzz.hardware import live
from fuzz.hardware import tables as table_memory
from fuzz.hardware.differences import Differences
from fuzz.hardware.live import Copy, Follower, follow
from fuzz.hardware.programs import ask_programs, corpus, original
from fuzz.hardware.session import QemuSession
from fuzz.hardware.tables import Ask, question
from fuzz.hardware.text import parse, print_tables
from fuzz.language.text import parse as parse_program
from reference.machine import walk as walks
from reference.machine.arena import BASE, Arena
from reference.machine.descriptor import AF_BIT, READ_BIT, WRITE_BIT
from reference.machine.walk import Regime, Walk

from ..unit.console import MISSING_CLEAN

real_walk = walks.walk

RW = 0xF << 2 | READ_BIT | WRITE_BIT | 3 << 8 | AF_BIT


def test_the_corpus_translates_alike(session: QemuSession) -> None:
    before = session.asked
    differences = Differences()
    programs = corpus()
    assert len(programs) > 80
    ask_programs(session, programs, [original()], differences)
    assert [kind.text() for kind in differences.kinds.values()] == []
    assert session.asked - before > 30_000


def executor(text: str = MISSING_CLEAN) -> Executor:
    """Return a side on which a program has run to its end."""
    program = parse_program(text)
    made = Executor(original(), program)
    made.create()
    for at in range(len(program.operations)):
        made.step(at)
    return made


def test_a_copy_reads_as_the_original(session: QemuSession) -> None:
    guest = executor().side.guests[0]
    copy = Copy(guest, session.memory)
    session.memory.load(copy.tables.entries)
    arena = session.memory.arenas[12]
    for asked in copy.tables.questions:
        ask, ipa = table_memory.split(asked)
        access = table_memory.ACCESSES[ask]
        there = real_walk(guest.side.computer.arena, guest.regime, ipa, access)
        here = real_walk(arena, copy.tables.regime, ipa, access)
        assert (there.fault, there.level, there.pa) == (here.fault, here.level, here.pa)
    assert {walks.NONE, walks.TRANSLATION} <= {
        real_walk(arena, copy.tables.regime, ipa, walks.READ).fault for ipa in (0, 1 << 30, 1 << 40)
    }
    session.memory.clear([copy.tables])


def test_only_what_changed_is_asked_again(session: QemuSession) -> None:
    follower = Follower(session, executor())
    assert follower.look() == []
    before = session.asked
    assert follower.look() == []
    assert session.asked == before
    guest = follower.executor.side.guests[0]
    follower.executor.side.computer.arena.words[guest.regime.root + 1] = 0
    assert follower.look() == []
    assert session.asked > before


@pytest.mark.parametrize(
    ("address", "fault"),
    [(1 << 44, "lost"), (0x4020_0000, "lost"), (0x4800_0000, "lost")],
    ids=["nowhere", "QEMU's memory", "above it"],
)
def test_a_pointer_to_no_table(session: QemuSession, address: int, fault: str) -> None:
    """Our side has no table there, wherever the pointer leads in QEMU."""
    side = executor()
    guest = side.side.guests[0]
    side.side.computer.arena.words[guest.regime.root + 5] = address | 3
    result = real_walk(side.side.computer.arena, guest.regime, 5 << 30, walks.READ)
    assert walks.FAULT_NAMES[result.fault] == fault
    assert Follower(session, side).look() == []


def test_a_table_that_points_to_itself(session: QemuSession) -> None:
    """The table is entered at every level; at the last one, its pointers are pages."""
    side = executor()
    guest = side.side.guests[0]
    root = guest.regime.root
    arena = side.side.computer.arena
    arena.words[root + 5] = BASE + (root << 3) | RW | 3
    ipa = 5 << 30 | 5 << 21 | 5 << 12
    result = real_walk(arena, guest.regime, ipa, walks.READ)
    assert (result.fault, result.level, result.pa) == (walks.NONE, 3, BASE + (root << 3))
    follower = Follower(session, side)
    assert question(Ask.READ, ipa) in Copy(guest, session.memory).tables.questions
    session.memory.next = 0
    assert follower.look() == []


def test_a_difference_is_reported_with_its_operation(session: QemuSession, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
        result = real_walk(arena, regime, ipa, access)
        if result.fault == walks.NONE and result.level == 2:
            result.pa ^= 1 << 21
        return result

    monkeypatch.setattr(table_memory, "walk", blind)
    found = follow(session, original(), parse_program(MISSING_CLEAN))
    # The block appears with the last operation.
    assert {at for at, _ in found} == {3}
    difference = found[0][1]
    assert difference.tables.source is not None
    again = parse(print_tables(difference.tables, [difference.asked], []), "x")
    session.memory.load(again.entries)
    assert len(session.ask([again])) == 1
    session.memory.clear([again])
    differences = Differences()
    ask_programs(session, [("x.s2", parse_program(MISSING_CLEAN))], [original()], differences)
    places = {kind.where for kind in differences.kinds.values()}
    assert places == {"x.s2 on original, operation 4: cpu1 read a+20K mmu=off"}


def test_run_asks_about_both_sides(
    installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.s2"
    file.write_text(MISSING_CLEAN)
    command = ["run", "--qemu", "--candidate", "rfc-v1-3", str(file)]
    assert cli.main(command) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "no difference"
    assert "translations of 6 sets of tables in" in out[-2]
    # The version has no finding: it is clean unless our walk is wrong.
    command[3] = "rfc-v1-fixed"
    assert cli.main(command) == 0
    capsys.readouterr()
    monkeypatch.setattr(table_memory, "walk", lambda *_: Walk(walks.TRANSLATION, 3, -1, 0, 0))
    assert cli.main(command) == 1
    out = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"difference in {file} on original, creation of the VM: read of") for line in out)
    assert out[-1].endswith(" kinds")


def test_many_questions_are_asked_in_parts(session: QemuSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BATCH", 7)
    guests, asked = session.guests, session.asked
    follower = Follower(session, executor())
    assert follower.look() == []
    assert session.guests == guests + 1
    questions = Copy(follower.executor.side.guests[0], session.memory).tables.questions
    session.memory.next = 0
    assert session.asked - asked == len(questions) > 7


def test_the_end_of_the_address_space_is_asked_about(session: QemuSession) -> None:
    """The first address outside is asked about too."""
    copy = Copy(executor().side.guests[0], session.memory)
    session.memory.clear([copy.tables])
    assert question(Ask.READ, 1 << 40) in copy.tables.questions


def test_versions_differ_in_nothing_that_qemu_sees(session: QemuSession) -> None:
    for name in candidate.names():
        assert follow(session, candidate.get(name), parse_program(MISSING_CLEAN)) == []
