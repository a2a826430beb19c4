# SPDX-License-Identifier: GPL-2.0-only
"""Our walk and QEMU's agree on random tables; mistakes planted in ours are found."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.hardware import session as sessions
from fuzz.hardware import tables as table_memory
from fuzz.hardware.differences import Differences
from fuzz.hardware.generator import TablesGenerator
from fuzz.hardware.session import QemuSession
from fuzz.hardware.setting import GRANULES, MAX_IA_BITS, START_LEVELS, Setting
from fuzz.hardware.tables import ASK_NAMES, split
from fuzz.hardware.text import load, show
from reference.machine import walk as walks
from reference.machine.arena import Arena
from reference.machine.walk import Regime, Walk

TRANSLATIONS = 200_000
ENOUGH_FOR_A_MISTAKE = 30_000

real_walk = walks.walk


def ask(session: QemuSession, seed: int, translations: int, differences: Differences) -> None:
    """Ask about this many random translations."""
    end = session.asked + translations
    for found in session.rounds(TablesGenerator(seed), lambda: session.asked < end):
        for difference in found:
            differences.add(difference, "here")


def test_random_tables_translate_alike(session: QemuSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no difference, and each possible result of a walk has occurred at every level."""
    results: Counter[tuple[int, int, int]] = Counter()
    settings: Counter[Setting] = Counter()
    ours = session.memory.walks

    def counted(tables: table_memory.Tables) -> list[Walk]:
        found = ours(tables)
        settings[tables.setting] += 1
        for asked, walk in zip(tables.questions, found, strict=True):
            results[split(asked)[0], walk.fault, walk.level] += 1
        return found

    monkeypatch.setattr(session.memory, "walks", counted)
    differences = Differences()
    ask(session, 1, TRANSLATIONS, differences)
    assert [kind.text() for kind in differences.kinds.values()] == []
    for number in range(len(ASK_NAMES)):
        for level in range(4):
            assert results[number, walks.TRANSLATION, level], (number, level)
            assert results[number, walks.ADDRESS_SIZE, level], (number, level)
        for level in range(1, 4):
            for fault in (walks.NONE, walks.ACCESS_FLAG, walks.PERMISSION, walks.LOST):
                assert results[number, fault, level], (number, fault, level)
    for shift, levels in START_LEVELS.items():
        for level in levels:
            roots = {each.root_pages for each in settings if (each.page_shift, each.start_level) == (shift, level)}
            possible = min(MAX_IA_BITS[shift] - GRANULES[shift].level_shift(level), shift + 1) - (shift - 3)
            assert roots == {1 << bits for bits in range(max(possible, 0) + 1)}
    assert {each.pa_bits for each in settings} == {32, 36, 40, 42, 44, 48, 52}
    assert {each.page_shift for each in settings if each.pa_bits == 52} == {12, 14, 16}
    assert {(each.fwb, each.cached) for each in settings} == {(a, b) for a in (False, True) for b in (False, True)}


def no_access_flag(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
    result = real_walk(arena, regime, ipa, access)
    if result.fault == walks.ACCESS_FLAG:
        result.fault = walks.NONE
    return result


def wrong_level(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
    result = real_walk(arena, regime, ipa, access)
    if result.fault == walks.PERMISSION and result.level == 2:
        result.level = 3
    return result


def permission_first(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
    result = real_walk(arena, regime, ipa, access)
    if result.fault == walks.ACCESS_FLAG and not walks.permits(result.entry, access):
        result.fault = walks.PERMISSION
    return result


def one_execute_never(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
    """Walk without FEAT_XNX, as our walk did before it was compared with QEMU's."""
    return real_walk(arena, regime, ipa, walks.FETCH if access == walks.FETCH_EL0 else access)


def no_concatenation(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
    shift = regime.granule.level_shift(regime.start_level) + regime.granule.page_shift - 3
    return real_walk(arena, regime, ipa & (1 << shift) - 1 if ipa < 1 << regime.ia_bits else ipa, access)


def narrow_address(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
    result = real_walk(arena, regime, ipa, access)
    result.pa &= (1 << 47) - 1
    return result


def other_type(arena: Arena, regime: Regime, ipa: int, access: int) -> Walk:
    """Walk with Device-nGnRE in place of Device-nGRE."""
    result = real_walk(arena, regime, ipa, access)
    if result.entry >> 2 & 0xF == 2:
        result.entry ^= 3 << 2
    return result


@pytest.mark.parametrize(
    "wrong",
    [
        no_access_flag,
        wrong_level,
        permission_first,
        one_execute_never,
        no_concatenation,
        narrow_address,
        other_type,
    ],
)
def test_a_mistake_in_our_walk_is_found_and_replays(
    session: QemuSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Callable[[Arena, Regime, int, int], Walk],
) -> None:
    monkeypatch.setattr(table_memory, "walk", wrong)
    differences = Differences(tmp_path)
    ask(session, 2, ENOUGH_FOR_A_MISTAKE, differences)
    assert differences.kinds
    differences.save(session)
    kind = next(iter(differences.kinds.values()))
    replayed = load(kind.file).tables
    session.memory.load(replayed.entries)
    found = session.ask([replayed])
    session.memory.clear([replayed])
    assert len(found) == 1
    assert show(found[0])[0].split(":")[1:] == show_of(kind.file).split(":")[1:]
    # Of some tens of entries, only those on the path of the walk are left.
    assert len(replayed.entries) <= 4
    monkeypatch.undo()
    session.memory.load(replayed.entries)
    assert session.ask([replayed]) == []
    session.memory.clear([replayed])


def show_of(file: str) -> str:
    """Return the line of a saved file that describes the difference."""
    return Path(file).read_text().split("\n")[1].removeprefix("# ")


def test_same_seed_same_tables(session: QemuSession) -> None:
    def some(seed: int) -> list[table_memory.Tables]:
        generator = TablesGenerator(seed)
        made = [generator.make(session.memory) for _ in range(5)]
        session.memory.clear(made)
        return made

    assert some(7) == some(7)
    assert some(7) != some(8)


def test_no_question_is_asked_twice_of_the_same_tables(session: QemuSession) -> None:
    generator = TablesGenerator(3)
    made = [generator.make(session.memory) for _ in range(50)]
    session.memory.clear(made)
    for tables in made:
        assert len(set(tables.questions)) == len(tables.questions)
    assert sum(len(tables.questions) for tables in made) < sessions.BATCH
