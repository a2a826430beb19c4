# SPDX-License-Identifier: GPL-2.0-only
"""Our events in the format of the golden streams (tests/data/golden/README.md)."""

from collections.abc import Callable
from typing import Any, Final

from reference.events import EVENT_NAMES, Observer
from reference.kernel import Kernel
from reference.machine.arena import BASE, unwrap

# Error values of page frame numbers, and their names in the streams.
PFN_ERRORS: Final = {-1: "hwpoison", -2: "fault", -3: "ro_fault", -4: "noslot"}


class Recorder(Observer):
    """Collects events as lists like those in the streams.

    Methods convert the events that the streams write differently. `_plain` records all others.

    :param kernel: kernel whose events are recorded; its arena decodes entries
    :param warn_labels: whether the stream names warnings (golden/vm does)
    """

    def __init__(self, kernel: Kernel, warn_labels: bool) -> None:
        self.kernel = kernel
        self.warn_labels = warn_labels
        self.events: list[Any] = []
        self.mask = (1 << 48) - kernel.granule.page_size

    def take(self) -> list[Any]:
        events, self.events = self.events, []
        return events

    def entry(self, pte: int) -> Any:
        """Return an entry in hex, or ["t", page, other bits] if it refers to a table page."""
        pa = pte & self.mask
        arena = self.kernel.arena
        if arena.holds(pa):
            return ["t", (pa - BASE) >> self.kernel.granule.page_shift, hex(unwrap(pte) & ~self.mask)]
        return hex(unwrap(pte))

    def walk(self, vmid: int, start: int, end: int) -> None:
        """Ignore our own event for the walk of a range, which the streams lack."""

    def walk_table(self, table: int, level: int) -> None:
        """Ignore our own event for a read table, which the streams lack."""

    def sample(self, sequence: int) -> None:
        """Ignore this event: the streams contain the barrier after it."""

    def slots_installed(self, vmid: int, slot: int, flags: int, logged: bool) -> None:
        """Ignore this event, which the streams lack."""

    def synchronize_srcu(self) -> None:
        """Ignore this event, which the streams lack."""

    def log_taken(self, vmid: int, slot: int, gfn: int, mask: int, whole: bool) -> None:
        """Ignore this event, which the streams lack."""

    def root_linked(self, vmid: int, linked: bool) -> None:
        """Ignore this event, which the streams lack."""

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        # The streams have no numbers of memory caches, here and below.
        self.events.append(["topup", minimum, had, has, ret, int(locked)])

    def mc_pop(self, cache: int, left: int) -> None:
        self.events.append(["mc_pop", left])

    def mc_free(self, cache: int, objects: int) -> None:
        self.events.append(["mc_free", objects])

    def instruction(self, op: int, operand: int) -> None:
        """Ignore this event: the streams end at the helper calls."""

    def store(self, ptep: int, old: int, new: int, release: bool) -> None:
        page, index = divmod(ptep, self.kernel.entries)
        name = "store_release" if release else "store_once"
        self.events.append([name, page, index, self.entry(old), self.entry(new)])

    def alloc(self, page: int) -> None:
        self.events.append(["alloc", page if page >= 0 else None, 1])

    def alloc_exact(self, page: int, pages: int) -> None:
        self.events.append(["alloc_exact", page if page >= 0 else None, pages])

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.events.append(["tlbi_ipa", hex(ipa), level])

    def tlbi_vmid(self, vmid: int) -> None:
        self.events.append(["tlbi_vmid"])

    def dcache(self, pa: int, size: int) -> None:
        self.events.append(["dcache", hex(pa), hex(size)])

    def icache(self, pa: int, size: int) -> None:
        self.events.append(["icache", hex(pa), hex(size)])

    def warn(self, label: str) -> None:
        self.events.append(["warn", label] if self.warn_labels else ["warn"])

    def lock(self, name: str, vmid: int) -> None:
        # Each stream has one VM.
        self.events.append(["lock", name])

    def unlock(self, name: str, vmid: int) -> None:
        self.events.append(["unlock", name])

    def vma(self, hva: int, start: int, end: int) -> None:
        self.events.append(["vma", hex(hva), None if start < 0 else [hex(start), hex(end)]])

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        frame = hex(pfn) if pfn >= 0 else PFN_ERRORS[pfn]
        self.events.append(["gfn_to_pfn", hex(gfn), frame, int(write), int(writable)])

    def thp(self, pfn: int, yes: bool) -> None:
        self.events.append(["thp", hex(pfn), int(yes)])

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        self.events.append(["mark_page_dirty", hex(gfn), slot, int(logged)])

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        self.events.append(["cow", hex(hva), pages, hex(pfn)])

    def inject(self, what: str, address: int) -> None:
        self.events.append(["inject", what, hex(address)])

    def sigbus(self, hva: int, shift: int) -> None:
        self.events.append(["sigbus", hex(hva), shift])


def _plain(name: str, numbers_in_hex: bool) -> Callable[..., None]:
    def record(self: Recorder, *args: Any) -> None:
        out: list[Any] = [name]
        for arg in args:
            if isinstance(arg, str):
                out.append(arg)
            else:
                out.append(hex(arg) if numbers_in_hex else int(arg))
        self.events.append(out)

    return record


# Events whose numbers are frames or addresses, which the streams write in hex.
IN_HEX: Final = {"pin", "get_pfn", "release", "set_accessed", "set_dirty", "io", "sea"}
for _name in EVENT_NAMES:
    if _name not in vars(Recorder):
        setattr(Recorder, _name, _plain(_name, _name in IN_HEX))
