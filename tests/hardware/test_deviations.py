# SPDX-License-Identifier: GPL-2.0-only
"""The deviations of QEMU 7.2 from the architecture still exist, and no other differences are ignored."""

from dataclasses import replace

import pytest

from fuzz.hardware import deviations
from fuzz.hardware.deviations import BLOCK_LEVEL, FORCED_DEVICE, FORCED_SHAREABILITY, RESERVED_TYPE, Deviation, explain
from fuzz.hardware.expectation import Expectation, in_words
from fuzz.hardware.qemu import version
from fuzz.hardware.session import QemuSession
from fuzz.hardware.setting import Setting
from fuzz.hardware.tables import Ask, Tables, question
from reference.machine.descriptor import AF_BIT, READ_BIT, WRITE_BIT

BLOCK = 1
READ_WRITE = READ_BIT | WRITE_BIT | AF_BIT | 3 << 8


@pytest.fixture
def odd(session: QemuSession) -> QemuSession:
    """Return a session with QEMU 7.2, which has these deviations; skip the test for other versions."""
    said = version(session.qemu.program)
    if " 7.2" not in said:
        pytest.skip(f"deviations of QEMU 7.2; this is {said}")
    session.deviations.clear()
    return session


def ask(session: QemuSession, setting: Setting, entry: int, what: int = Ask.READ) -> tuple[str, str]:
    """Ask QEMU and our walk about address 0, with this first entry of the root; check that no difference is left."""
    tables = Tables(setting, session.memory.take(setting.root_pages, setting.page_shift), setting.vtcr(), {}, [])
    tables.root = 0
    tables.entries[0] = entry
    tables.questions.append(question(what, 0))
    session.memory.load(tables.entries)
    walk = session.memory.walks(tables)[0]
    assert session.ask([tables]) == []
    session.memory.clear([tables])
    return in_words(tables.questions[0], session.qemu.last_answers()[0]), in_words(
        tables.questions[0], Expectation(setting).answer(walk, tables.questions[0])
    )


@pytest.mark.parametrize(
    ("setting", "level", "address"),
    [
        (Setting(12, 48, 0, 48, False, True), 0, 1 << 40),
        (Setting(14, 48, 1, 48, False, True), 1, 1 << 40),
        (Setting(16, 48, 1, 48, False, True), 1, 1 << 44),
    ],
    ids=["4K", "16K", "64K"],
)
def test_a_block_at_any_level(odd: QemuSession, setting: Setting, level: int, address: int) -> None:
    entry = address | 0xF << 2 | READ_WRITE | BLOCK
    theirs, ours = ask(odd, setting, entry)
    assert theirs == f"{address:#x}, ATTR 0xff, SH 3"
    assert ours == f"translation fault, level {level}"
    assert odd.deviations == {BLOCK_LEVEL: 1}
    # Faults of the block are the same as those of any other block.
    assert ask(odd, setting, entry & ~WRITE_BIT, Ask.WRITE)[0] == f"permission fault, level {level}"
    assert ask(odd, setting, entry, Ask.FETCH)[0] == "fetched"
    assert odd.deviations == {BLOCK_LEVEL: 3}


def test_a_block_of_64k_pages_at_level_1_is_one_with_52_bits(odd: QemuSession) -> None:
    entry = 1 << 44 | 0xF << 2 | READ_WRITE | BLOCK
    assert ask(odd, Setting(16, 48, 1, 52, False, True), entry)[0].startswith(f"{1 << 44:#x}, ")
    assert not odd.deviations


@pytest.mark.parametrize("attr", [1, 2, 3])
def test_device_twice_with_fwb(odd: QemuSession, attr: int) -> None:
    setting = Setting(12, 40, 1, 48, True, False)
    theirs, ours = ask(odd, setting, 1 << 40 | attr << 2 | READ_WRITE | BLOCK)
    assert (theirs, ours) == (f"{1 << 40:#x}, ATTR {attr << 2:#04x}, SH 2", f"{1 << 40:#x}, ATTR 0x00, SH 2")
    assert odd.deviations == {FORCED_DEVICE: 1}
    # Without FWB, QEMU takes the stricter of the two types.
    theirs, ours = ask(odd, replace(setting, fwb=False), 1 << 40 | attr << 2 | READ_WRITE | BLOCK)
    assert theirs == ours
    assert odd.deviations == {FORCED_DEVICE: 1}


@pytest.mark.parametrize("shareability", [0, 3])
def test_shareability_of_forced_write_back(odd: QemuSession, shareability: int) -> None:
    setting = Setting(12, 40, 1, 48, True, False)
    entry = 1 << 40 | 6 << 2 | READ_BIT | AF_BIT | shareability << 8 | BLOCK
    theirs, ours = ask(odd, setting, entry)
    assert (theirs, ours) == (f"{1 << 40:#x}, ATTR 0xff, SH {shareability}", f"{1 << 40:#x}, ATTR 0xff, SH 2")
    assert odd.deviations == {FORCED_SHAREABILITY: 1}
    theirs, ours = ask(odd, replace(setting, cached=True), entry)
    assert theirs == ours
    assert odd.deviations == {FORCED_SHAREABILITY: 1}


@pytest.mark.parametrize(("fwb", "attr"), [(False, 4), (False, 8), (False, 12), (True, 4), (True, 15)])
def test_a_reserved_memory_type(odd: QemuSession, fwb: bool, attr: int) -> None:
    ask(odd, Setting(12, 40, 1, 48, fwb, True), 1 << 40 | attr << 2 | READ_WRITE | BLOCK)
    assert odd.deviations == {RESERVED_TYPE: 1}


ALONE = {
    BLOCK_LEVEL: (Setting(12, 48, 0, 48, False, True), 1 << 40 | 0xF << 2 | READ_WRITE | BLOCK),
    FORCED_DEVICE: (Setting(12, 40, 1, 48, True, False), 1 << 40 | 1 << 2 | READ_WRITE | BLOCK),
    FORCED_SHAREABILITY: (Setting(12, 40, 1, 48, True, False), 1 << 40 | 6 << 2 | READ_WRITE | BLOCK),
    RESERVED_TYPE: (Setting(12, 40, 1, 48, False, True), 1 << 40 | 4 << 2 | READ_WRITE | BLOCK),
}


@pytest.mark.parametrize("deviation", deviations.ALL, ids=[each.name for each in deviations.ALL])
def test_nothing_else_is_ignored(odd: QemuSession, deviation: Deviation) -> None:
    """Another address, or a fault of another kind or level, is a difference even if the deviation applies."""
    setting, entry = ALONE[deviation]
    tables = Tables(setting, 0, setting.vtcr(), {0: entry}, [question(Ask.READ, 0)])
    odd.memory.load(tables.entries)
    walk = odd.memory.walks(tables)[0]
    assert odd.ask([tables]) == []
    odd.memory.clear([tables])
    answer = odd.qemu.last_answers()[0]
    asked = tables.questions[0]
    assert explain(tables, walk, asked, answer) == (deviation,)
    for other in (answer ^ 1 << 30, 0x80F, 0xA0B, 0xA0F, 0, (1 << 64) - 1):
        assert explain(tables, walk, asked, other) == ()
