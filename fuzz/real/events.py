# SPDX-License-Identifier: GPL-2.0-only
"""Events of model and kernel in a common form: stores to tables, TLBIs, cleaning and invalidation, in order.

A store is identified by its entry, as level and guest address. The tables before and after an operation give these.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

from reference.events import Observer
from reference.machine.descriptor import TABLE, kind
from reference.machine.granule import Granule

from ..language.program import show_bytes
from .plugin import UNKNOWN, EventKind, RawEvent
from .tables import Words, shown

STORED: Final = "store"
FLUSHED: Final = "TLBI"
CLEANED: Final = "DC"
INVALIDATED: Final = "IC"
# Size of a cache line of the emulated CPUs.
CACHE_LINE: Final = 64
# The first address of the linear map, and its physical address.
LINEAR_MAP: Final = 0xFFFF_0000_0000_0000
LINEAR_BASE: Final = 0x4000_0000
_ADDRESS: Final = (1 << 48) - 1
_VALID: Final = 1
_LOWER_ATTRIBUTES: Final = 0xFFC
_MASK: Final = (1 << 64) - 1
# TLBI of stage 2, by CRm and op2: for one address, for a range, for a whole VM.
_BY_IPA: Final = {(0, 1): "ipa", (0, 5): "ipa", (4, 1): "local ipa", (4, 5): "local ipa"}
_BY_RANGE: Final = {(0, 2): "range", (0, 6): "range", (4, 2): "local range", (4, 6): "local range"}
_BY_VM: Final = {(3, 6): "vmid", (7, 6): "local vmid"}


class StreamTable(NamedTuple):
    """The place of a table.

    :param base: guest address of its first entry
    :param link: physical address of the entry that points to it; -1: it is a root
    """

    level: int
    base: int
    link: int = -1


# Tables by physical address.
StreamTables: TypeAlias = dict[int, StreamTable]


@dataclass(frozen=True)
class StreamEvent:
    """One event.

    :param kind: `STORED`, `FLUSHED`, `CLEANED` or `INVALIDATED`
    :param what: for a store, the entry without its address; for a flush, its kind; else "" or ``all``
    :param ipa: guest address; -1: none or unknown
    :param level: level of the entry, or the hint; -1: unknown
    :param size: bytes; 0: none
    """

    kind: str
    what: str
    ipa: int = -1
    level: int = -1
    size: int = 0

    def text(self) -> str:
        """Return the event as text."""
        level = f" L{self.level}" if self.level >= 0 else ""
        place = f" {self.ipa:#x}" if self.ipa >= 0 else ""
        size = f" {show_bytes(self.size)}" if self.size else ""
        return f"{self.kind}{level}{place}{' ' + self.what if self.what else ''}{size}"


def tables(words: Words, root: int, start_level: int, ia_bits: int, granule: Granule) -> StreamTables:
    """Return all tables below a root, including the pages of the root.

    :param root: physical address
    """
    entries = 1 << max(ia_bits - granule.level_shift(start_level), 0)
    span = granule.entries << granule.level_shift(start_level)
    pages = range(max(entries // granule.entries, 1))
    left = [(root + page * granule.page_size, StreamTable(start_level, page * span)) for page in pages]
    found: StreamTables = {}
    while left:
        at, place = left.pop()
        found[at & -granule.page_size] = place
        level, base, _ = place
        for index, entry in enumerate(
            words(at, min(entries, granule.entries) if level == start_level else granule.entries)
        ):
            if entry and kind(entry, level, granule) == TABLE:
                below = StreamTable(level + 1, base + (index << granule.level_shift(level)), at + (index << 3))
                left.append((table_of(entry, granule), below))
    return found


def table_of(entry: int, granule: Granule) -> int:
    """Return the physical address of the table that an entry points to."""
    return entry & _ADDRESS & -granule.page_size


def entry_text(entry: int) -> str:
    """Return an entry as text without its address: ``empty``, ``table``, or permissions and attributes of a leaf."""
    if not entry:
        return "empty"
    if not entry & _VALID:
        return f"invalid {entry:#x}"
    if not entry & _LOWER_ATTRIBUTES:
        return "table"
    return f"{shown((0, entry))[3:]} memattr={entry >> 2 & 0xF:x}"


class StreamStores:
    """Turns stores into events, in order.

    Clearing an entry of a detached table produces no event: RCU frees such a table at an arbitrary time.

    :param places: places of all tables, before the first store or after the last one
    """

    def __init__(self, places: StreamTables, granule: Granule) -> None:
        self.places = places
        self.granule = granule
        # Entries by physical address.
        self.written: dict[int, int] = {}

    def event(self, address: int, entry: int) -> StreamEvent | None:
        """Return the event of a store to a physical address; None if no known table is there, as on a stack."""
        page = self.granule.page_size
        table = address & -page
        place = self.places.get(table)
        if place is None or (not entry and self.is_cut_off(table, place)):
            return None
        self.written[address] = entry
        ipa = place.base + (address % page >> 3 << self.granule.level_shift(place.level))
        return StreamEvent(STORED, entry_text(entry & _MASK), ipa, place.level)

    def is_cut_off(self, table: int, place: StreamTable | None) -> bool:
        """Return whether an entry on the path to a table has been changed to point elsewhere."""
        while place is not None and place.link >= 0:
            written = self.written.get(place.link)
            if written is not None and not (
                kind(written, place.level - 1, self.granule) == TABLE and table_of(written, self.granule) == table
            ):
                return True
            table = place.link & -self.granule.page_size
            place = self.places.get(table)
        return False


class ModelEvents(Observer):
    """Records the events of the model; stores are kept by physical address until their tables are known.

    :param base: physical address of the first entry of the arena
    :param hints: the CPU uses level hints of TLBIs
    """

    def __init__(self, base: int, hints: bool) -> None:
        self.base = base
        self.hints = hints
        self.found: list[StreamEvent | tuple[int, int]] = []

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        self.found.append((self.base + (ptep << 3), new))

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.found.append(StreamEvent(FLUSHED, "ipa", ipa, level if self.hints else 0))

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        self.found.append(StreamEvent(FLUSHED, "local ipa", ipa, level if self.hints else 0))

    def tlbi_vmid(self, vmid: int) -> None:
        self.found.append(StreamEvent(FLUSHED, "vmid"))

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.found.append(StreamEvent(FLUSHED, "range", ipa, 0, size))

    def dcache(self, pa: int, size: int) -> None:
        self.found.append(StreamEvent(CLEANED, "", size=size))

    def icache(self, pa: int, size: int) -> None:
        self.found.append(StreamEvent(INVALIDATED, "", size=size))

    def icache_all(self) -> None:
        self.found.append(StreamEvent(INVALIDATED, "all"))

    def take(self, places: StreamTables, granule: Granule) -> list[StreamEvent]:
        """Return the events since the last call."""
        found, self.found = self.found, []
        stores = StreamStores(places, granule)
        events = (each if isinstance(each, StreamEvent) else stores.event(*each) for each in found)
        return merged(events, granule.page_size)


def real_events(raw: Iterable[RawEvent], places: StreamTables, granule: Granule) -> list[StreamEvent]:
    """Return the events of a kernel from the plugin's records."""
    found: list[StreamEvent | None] = []
    stores = StreamStores(places, granule)
    for each in raw:
        if each.kind == EventKind.STORE:
            found.append(stores.event(each.what - LINEAR_MAP + LINEAR_BASE, each.value))
        elif each.kind == EventKind.TLBI:
            found.append(flush_event(each.what, each.value, granule))
        elif each.kind == EventKind.DCACHE:
            found.append(StreamEvent(CLEANED, "", size=each.times * CACHE_LINE))
        elif each.kind == EventKind.ICACHE and each.what >> 16 & 7 == 3:
            found.append(StreamEvent(INVALIDATED, "", size=each.times * CACHE_LINE))
        elif each.kind == EventKind.ICACHE:
            found.append(StreamEvent(INVALIDATED, "all"))
    return merged(found, granule.page_size)


def flush_event(code: int, operand: int, granule: Granule) -> StreamEvent | None:
    """Return the event of a TLBI instruction; None if it does not affect stage 2.

    :param operand: value of its register, or `UNKNOWN`
    """
    operation = code >> 8 & 0xF, code >> 5 & 7
    if operation in _BY_VM:
        return StreamEvent(FLUSHED, _BY_VM[operation])
    if operation in _BY_IPA:
        if operand == UNKNOWN:
            return StreamEvent(FLUSHED, _BY_IPA[operation])
        hint = operand >> 44 & 0xF
        return StreamEvent(FLUSHED, _BY_IPA[operation], (operand & (1 << 36) - 1) << 12, hint & 3 if hint >> 2 else 0)
    if operation in _BY_RANGE:
        if operand == UNKNOWN:
            return StreamEvent(FLUSHED, _BY_RANGE[operation])
        pages = (operand >> 39 & 0x1F) + 1 << 5 * (operand >> 44 & 3) + 1
        base = (operand & (1 << 37) - 1) * granule.page_size
        return StreamEvent(FLUSHED, _BY_RANGE[operation], base, 0, pages * granule.page_size)
    return None


def merged(events: Iterable[StreamEvent | None], page: int) -> list[StreamEvent]:
    """Join consecutive cache operations, and consecutive flushes of adjacent ranges, into one event each.

    :param page: page size in bytes; of a range with an odd number of pages, one is flushed by its address
    """
    found: list[StreamEvent] = []
    for event in filter(None, events):
        if event.kind == FLUSHED and event.what == "range" and event.size == page:
            event = StreamEvent(FLUSHED, "ipa", event.ipa, 0)
        last = found[-1] if found else None
        if last is not None and last.kind == event.kind:
            if event.kind in (CLEANED, INVALIDATED) and last.what == event.what:
                found[-1] = replace(last, size=last.size + event.size)
                continue
            if event.kind == FLUSHED and joins(last, event, page):
                found[-1] = StreamEvent(FLUSHED, "range", last.ipa, 0, (last.size or page) + (event.size or page))
                continue
        found.append(event)
    return found


def joins(one: StreamEvent, other: StreamEvent, page: int) -> bool:
    """Return whether two flushes are parts of one range."""
    by_page = [each for each in (one, other) if each.what == "ipa" and each.level == 0]
    by_range = [each for each in (one, other) if each.what == "range"]
    return bool(by_range) and len(by_page) + len(by_range) == 2 and one.ipa + (one.size or page) == other.ipa
