# SPDX-License-Identifier: GPL-2.0-only
"""Streams of stores, flushes and cache operations: read, normalised, compared, and stamped."""

import struct
from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.checkers import Violation
from fuzz.hardware.qemu import VARIABLE
from fuzz.language.text import parse
from fuzz.real import plugin, stream
from fuzz.real.errors import RealError
from fuzz.real.events import (
    CLEANED,
    FLUSHED,
    INVALIDATED,
    LINEAR_BASE,
    LINEAR_MAP,
    STORED,
    ModelEvents,
    StreamEvent,
    StreamStores,
    StreamTable,
    entry_text,
    flush_event,
    merged,
    real_events,
    tables,
)
from fuzz.real.kernels import RealKernel
from fuzz.real.left_out import CPU, OLD_CPU
from fuzz.real.model import ModelRun
from fuzz.real.plugin import MAX_EVENTS, UNKNOWN, EventKind, EventMemory, NoStreamError, RawEvent
from fuzz.real.stamp import CONFIRMED, HIDDEN, NOT_CONFIRMED, Stamp
from fuzz.real.stream import RULES, StreamRun, Streams, StreamWitness, cpu_for
from fuzz.real.translate import played
from reference.machine.granule import Granule

from ..console import MISSING_CLEAN

MISSED: Final = parse(MISSING_CLEAN)
GRANULE: Final = Granule(12)
HEAD: Final = "s2fuzz 1\nvm cpus=1\nslot a size=2M backing=thp\n"
PROGRAM: Final = parse(f"{HEAD}host write a+0 2M\ncpu0 read a+0\ncpu0 cache off\n")
# TLBI IPAS2E1IS, RIPAS2E1IS, VMALLS12E1IS, ALLE1IS, without their registers.
BY_IPA: Final = 0xD50C8020
BY_RANGE: Final = 0xD50C8040
BY_VM: Final = 0xD50C83C0
ALL: Final = 0xD50C8380
CIVAC: Final = 0xD50B7E20
IVAU: Final = 0xD50B7520
IALLUIS: Final = 0xD5087100
BLOCK: Final = StreamEvent(STORED, "rw-A memattr=f", 1 << 30, 2)
CLEAN: Final = StreamEvent(CLEANED, "", size=2 << 20)


def test_flushes_by_their_instructions() -> None:
    hint = 0b0111 << 44
    assert flush_event(BY_IPA, hint | 0x40001, GRANULE) == StreamEvent(FLUSHED, "ipa", 0x40001000, 3)
    assert flush_event(BY_IPA, 0x40001, GRANULE) == StreamEvent(FLUSHED, "ipa", 0x40001000, 0)
    assert flush_event(BY_IPA, UNKNOWN, GRANULE) == StreamEvent(FLUSHED, "ipa")
    # (NUM + 1) << (5 * SCALE + 1) pages.
    assert flush_event(BY_RANGE, 1 << 46 | 1 << 44 | 7 << 39 | 0x40000, GRANULE) == StreamEvent(
        FLUSHED, "range", 0x40000000, 0, 8 * 64 * 4096
    )
    assert flush_event(BY_VM, 0, GRANULE) == StreamEvent(FLUSHED, "vmid")
    assert flush_event(ALL, 0, GRANULE) is None


def test_a_range_is_one_flush_in_all_its_encodings() -> None:
    part = StreamEvent(FLUSHED, "range", 0, 0, 0x2000)
    whole = StreamEvent(FLUSHED, "range", 0, 0, 0x5000)
    page = StreamEvent(FLUSHED, "ipa", 0x4000, 0)
    assert merged([part, StreamEvent(FLUSHED, "range", 0x2000, 0, 0x2000), page], 4096) == [whole]
    assert merged([whole], 4096) == [whole]
    assert merged([StreamEvent(FLUSHED, "range", 0x4000, 0, 0x1000)], 4096) == [page]
    # Not merged: parts with a gap, with a hint, or two pages flushed by address.
    for events in ([part, page], [page, page], [whole, StreamEvent(FLUSHED, "ipa", 0x5000, 3)]):
        assert merged(events, 4096) == events


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (0, "empty"),
        (0x400, "invalid 0x400"),
        (0x40001003, "table"),
        (0x40000000 | 0x7FD, "rw-A memattr=f".replace("rw-", "rwx")),
        (1 << 54 | 0x40000000 | 0x77F, "r--A memattr=f"),
    ],
)
def test_entries(entry: int, text: str) -> None:
    assert entry_text(entry) == text


def test_events_of_a_kernel() -> None:
    places = {0x41000000: StreamTable(2, 1 << 30), 0x41001000: StreamTable(3, 1 << 30)}
    store = RawEvent(EventKind.STORE, 1, LINEAR_MAP + 0x41000008 - LINEAR_BASE, 0x41001003, 1)
    raw = [
        RawEvent(EventKind.DCACHE, 2, CIVAC, UNKNOWN, 60),
        RawEvent(EventKind.DCACHE, 3, CIVAC, UNKNOWN, 4),
        RawEvent(EventKind.ICACHE, 3, IVAU, UNKNOWN, 64),
        RawEvent(EventKind.ICACHE, 3, IALLUIS, UNKNOWN, 1),
        store,
        RawEvent(EventKind.TLBI, 4, ALL, 0, 1),
        RawEvent(EventKind.TLBI, 4, BY_VM, 0, 1),
        store._replace(what=LINEAR_MAP + 0x5000 - 0, value=0),
    ]
    assert real_events(raw, places, GRANULE) == [
        StreamEvent(CLEANED, "", size=4096),
        StreamEvent(INVALIDATED, "", size=4096),
        StreamEvent(INVALIDATED, "all"),
        StreamEvent(STORED, "table", (1 << 30) + (2 << 20), 2),
        # Stores to a stack, or to a page not known as a table, are dropped.
        StreamEvent(FLUSHED, "vmid"),
    ]


def test_entries_of_a_detached_table() -> None:
    """Clear entries as RCU callbacks do at any time, after a block or another table has replaced the table."""
    top, table, other = 0x41000000, 0x41001000, 0x41002000
    places = {top: StreamTable(1, 0), table: StreamTable(2, 0, top), 0x41003000: StreamTable(3, 0, table)}
    empty = StreamEvent(STORED, "empty", 2 << 20, 2)
    for entry in (0, 0x7FD, other | 3):
        stores = StreamStores(places, GRANULE)
        assert stores.event(table + 8, 0) == empty
        assert stores.event(top, entry) is not None
        assert stores.event(table + 8, 0) is None
        assert stores.event(0x41003000, 0) is None
        # A new entry is always shown.
        assert stores.event(table + 8, 0x7FD) is not None
    stores = StreamStores(places, GRANULE)
    assert stores.event(top, table | 3) is not None
    assert stores.event(table + 8, 0) == empty


def test_events_of_the_model() -> None:
    part = played(PROGRAM, 4096, True, OLD_CPU)
    model = ModelRun(candidate.get("v5.14"), part.program)
    side = model.executor.side
    events = ModelEvents(side.kernel.arena.base, hints=False)
    side.kernel.observe(events)
    model.step()
    assert events.take({}, GRANULE) == []
    model.step()
    arena, regime = side.kernel.arena, side.guests[0].regime

    def words(address: int, count: int) -> list[int]:
        first = (address - arena.base) >> 3
        return arena.words.part(first, count)

    places = tables(words, arena.base + (regime.root << 3), regime.start_level, regime.ia_bits, GRANULE)
    found = events.take(places, GRANULE)
    ipa = part.program.slots[0].ipa
    assert [(each.kind, each.level, each.ipa, each.size) for each in found] == [
        (STORED, 1, ipa, 0),
        (CLEANED, -1, -1, 2 << 20),
        (STORED, 2, ipa, 0),
    ]
    assert (found[0].what, found[2].what) == ("table", "rw-A memattr=f")
    model.finish()


def run(model: list[StreamEvent], real: list[StreamEvent], at: int = 1) -> StreamRun:
    """Return streams of the program above, with these events at one operation."""
    empty = StreamRun(played(PROGRAM, 4096, True, OLD_CPU), [], [[], [], []], [[], [], []])
    empty.model[at], empty.real[at] = list(model), list(real)
    return empty


def violation(checker: str, at: int = 1) -> Violation:
    """Make a violation at an operation."""
    found = Violation(checker, "stage2_map_walker", "something", 2, "")
    found.at = at
    return found


@pytest.mark.parametrize(
    ("model", "real", "word", "why"),
    [
        ([BLOCK], [BLOCK], CONFIRMED, "the same as m, in the same order: 1 store, no DC"),
        ([BLOCK], [CLEAN, BLOCK], NOT_CONFIRMED, "1 store, DC 2M, where m has 1 store, no DC"),
        ([BLOCK, CLEAN], [CLEAN, BLOCK], NOT_CONFIRMED, "1 store, DC 2M, where m has 1 store, DC 2M"),
        # Flushes do not count here.
        ([BLOCK, StreamEvent(FLUSHED, "vmid")], [BLOCK], CONFIRMED, "the same as m, in the same order: 1 store, no DC"),
        (
            [BLOCK],
            [],
            HIDDEN,
            "its stores differ from those of m: nothing instead of store L2 0x40000000 rw-A memattr=f",
        ),
    ],
)
def test_stamps(model: list[StreamEvent], real: list[StreamEvent], word: str, why: str) -> None:
    assert run(model, real).stamp(violation("dcache"), "m") == Stamp(word, why)


def test_events_that_are_not_watched() -> None:
    unknown = [BLOCK, StreamEvent(FLUSHED, "ipa")]
    assert run(unknown, unknown).stamp(violation("tlb"), "m").word == HIDDEN
    assert run(unknown, unknown).stamp(violation("dcache"), "m").word == CONFIRMED
    assert run([], [], 2).stamp(violation("dcache", 2), "m").word == HIDDEN
    assert run([], []).stamp(violation("dcache", 3), "m") == Stamp(HIDDEN, "only operations are watched")
    ended = StreamRun(played(PROGRAM, 4096, True, OLD_CPU), [], [[]], [[]])
    assert ended.stamp(violation("dcache", 2), "m") == Stamp(HIDDEN, "the operation was not reached")
    # Flushes by our own code involve no cleaning.
    assert run([BLOCK], [BLOCK], 2).stamp(violation("tlb", 2), "m").word == CONFIRMED


def test_a_finding_that_the_model_does_not_have() -> None:
    assert run([BLOCK, CLEAN], [BLOCK, CLEAN]).stamp_of_absent("dcache", "m").word == NOT_CONFIRMED
    found = run([BLOCK, CLEAN], [BLOCK]).stamp_of_absent("dcache", "m")
    assert found == Stamp(HIDDEN, "m behaves differently at operation 2: nothing instead of DC 2M")
    assert run([BLOCK, CLEAN], [BLOCK]).stamp_of_absent("tlb", "m").word == NOT_CONFIRMED
    ended = StreamRun(played(PROGRAM, 4096, True, OLD_CPU), [], [[]], [[]])
    assert ended.stamp_of_absent("tlb", "m") == Stamp(HIDDEN, "only 1 of 3 operations were reached")


def test_our_own_code_in_the_guest_does_not_count() -> None:
    """Drop its stores, the cleaning before them, and the flushes after them."""
    streams = Streams.__new__(Streams)
    streams.granule, streams.windows = GRANULE, (128 << 20, 160 << 20)
    own = StreamEvent(STORED, "empty", 128 << 20, 3)
    upper = StreamEvent(STORED, "empty", 0, 0)
    flush = StreamEvent(FLUSHED, "ipa", 1 << 30, 0)
    assert streams.without_own_code([CLEAN, own, flush, CLEAN, BLOCK, flush]) == [CLEAN, BLOCK, flush]
    assert streams.without_own_code([upper, flush, flush]) == [flush]
    assert streams.without_own_code([StreamEvent(FLUSHED, "ipa", 160 << 20, 3), CLEAN]) == [CLEAN]


def test_each_rule_concerns_one_kind_of_event() -> None:
    assert set(RULES.values()) == {CLEANED, INVALIDATED, FLUSHED}
    assert cpu_for(PROGRAM) is OLD_CPU
    assert cpu_for(parse("s2fuzz 1\nvm fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\n")) is CPU


def test_memory_of_events() -> None:
    with EventMemory() as events:
        assert events.take() == []
        struct.pack_into("<4Q5Q5Q", events.map, 0, 2, 0, 0, 0, *(1, 2, 3, 4, 5), *(6, 7, 8, 9, 10))
        assert events.take() == [RawEvent(1, 2, 3, 4, 5), RawEvent(6, 7, 8, 9, 10)]
        # Events that were read are not appended to.
        assert struct.unpack_from("<4Q", events.map, 0) == (2, 0, 2, 0)
        assert events.take() == []
        struct.pack_into("<2Q", events.map, 0, MAX_EVENTS, 1)
        with pytest.raises(NoStreamError, match=f"more than {MAX_EVENTS} events"):
            events.take()
        struct.pack_into("<4Q", events.map, 0, 2, 0, 2, 1)
        with pytest.raises(NoStreamError, match="than the plugin can watch"):
            events.take()
        given = events.arguments(Path("/x/stream.so"), 7, [(0x10, 0x20), (0x30, 0x40)])
        assert given == f"/x/stream.so,events={events.file},memory=7,code=10-20,code=30-40"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty cache and a scratch folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_machine_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Check that the rest of the answer is kept, for a kernel that may not boot on the other CPU."""

    def fails(*_: object) -> None:
        raise RealError("real: x ended while y booted; use another")

    monkeypatch.setattr(stream, "require_plugins", lambda: None)
    monkeypatch.setattr(stream, "make", lambda: tmp_path)
    monkeypatch.setattr(stream, "RealSession", fails)
    witness = StreamWitness(RealKernel(tmp_path, "y"))
    (stamp,) = {stamp for _, stamp in witness.stamps(candidate.get("rfc-v1"), MISSED, 4096)}
    why = "the watched machine does not start: x ended while y booted; use another"
    assert stamp == Stamp(HIDDEN, why)
    assert witness.stamp_of_absent(candidate.get("v5.14"), MISSED, "dcache") == stamp
    # Without a violation of this kind no machine is needed.
    assert witness.stamps(candidate.get("v5.14"), MISSED, 4096) == []


def test_no_plugin(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "COMPILER", str(empty / "none"))
    with pytest.raises(NoStreamError, match=r"no .*none to compile the plugin with"):
        plugin.make()
    for name, text, words in (
        ("cc", "echo 'x.c:1: error: no' >&2; exit 1", "cannot compile the plugin: x.c:1: error: no"),
        ("qemu", "echo -machine", "was built without plugins"),
    ):
        (empty / name).write_text(f"#!/bin/sh\n{text}\n")
        (empty / name).chmod(0o755)
        monkeypatch.setattr(plugin, "COMPILER", str(empty / "cc"))
        monkeypatch.setenv(VARIABLE, str(empty / "qemu"))
        with pytest.raises(NoStreamError, match=words):
            plugin.make() if name == "cc" else plugin.require_plugins()
    assert [*(empty / "cache").rglob("stream.so")] == []
