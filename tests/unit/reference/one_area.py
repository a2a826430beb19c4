# SPDX-License-Identifier: GPL-2.0-only
"""A host with one area of 4M, and receivers of its notifications."""

from reference.machine.address_space import (
    WRITABLE,
    NotifierReceiver,
    Vma,
)
from reference.machine.granule import Granule
from reference.machine.host import Host
from reference.machine.memory import Memory

HVA = 0x7F0000000000
PAGE = 4096
BLOCK = 2 << 20


class Log(NotifierReceiver):
    """Records notifications as short texts, in pages relative to HVA."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        self.calls.append(f"start {(start - HVA) // PAGE}..{(end - HVA) // PAGE}")

    def invalidate_range_end(self) -> None:
        self.calls.append("end")

    def change_pte(self, hva: int, pfn: int) -> None:
        self.calls.append(f"change {(hva - HVA) // PAGE}")

    def cow(self, hva: int, pages: int, pfn: int) -> None:
        self.calls.append(f"cow {(hva - HVA) // PAGE}+{pages}")


class Watch(Log):
    """Records the frames that changed outside of any notification."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.depth = 0
        self.frames = self.look()
        self.untold: list[int] = []

    def look(self) -> list[int]:
        return [self.host.frame_of(HVA + page * PAGE) for page in range(1024)]

    def compare(self) -> None:
        now = self.look()
        self.untold += [page for page in range(1024) if now[page] != self.frames[page] != -1]
        self.frames = now

    def invalidate_range_start(self, start: int, end: int, blockable: bool) -> None:
        super().invalidate_range_start(start, end, blockable)
        if not self.depth:
            self.compare()
        self.depth += 1

    def invalidate_range_end(self) -> None:
        super().invalidate_range_end()
        self.depth -= 1
        if not self.depth:
            self.frames = self.look()


class Fixture:
    """A host with one area of 4M."""

    def __init__(self, flags: int, huge_shift: int = 0) -> None:
        self.host = Host(12, 21, Memory(Granule(12)))
        self.log = Log()
        self.host.receiver = self.log
        pfn = self.host.new_frames(1024, 512)
        self.host.add_run(HVA, 1024, pfn, WRITABLE | flags)
        self.host.vmas.append(Vma(HVA, HVA + 2 * BLOCK, False, huge_shift, 0))

    def frame(self, page: int) -> int:
        return self.host.frame_of(HVA + page * PAGE)

    def flags(self, page: int) -> int:
        run = self.host.run_at(HVA + page * PAGE)
        assert run is not None
        return run.flags


def small_entries(f: Fixture) -> None:
    """Map the first huge page by small entries, except its page 1."""
    f.host.discard(HVA + PAGE, HVA + 2 * PAGE)
    f.log.calls.clear()
