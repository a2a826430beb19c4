# SPDX-License-Identifier: GPL-2.0-only
"""Host memory management: what happens to the memory behind slots."""

from dataclasses import dataclass
from typing import TypeAlias

from .declaration import MAPPED, MEMORY, PAGE, PAGED, RAM, declare


@dataclass(frozen=True, slots=True)
class SlotPlace:
    """Base of what happens at one place of a slot."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class SlotRange(SlotPlace):
    """Base of what happens to a range of a slot."""

    size: int


@dataclass(frozen=True, slots=True)
class HostWrite(SlotRange):
    """User space writes the range through its own mapping."""


# In a `par` block the operation itself is asked for.
declare(HostWrite, 8, "host write SLOT+OFF SIZE", align=PAGE, backings=MEMORY, checkers=("dcache", "icache"))


@dataclass(frozen=True, slots=True)
class HostWriteback(SlotRange):
    """Data caches write the dirty lines of the range back to memory, of their own accord."""


declare(
    HostWriteback, 9, "host writeback SLOT+OFF SIZE", align=PAGE, backings=MEMORY, checkers=("dcache",), by_events=True
)


@dataclass(frozen=True, slots=True)
class HostCollapse(SlotPlace):
    """khugepaged makes one huge page of the host block around the place."""


declare(
    HostCollapse,
    10,
    "host collapse SLOT+OFF",
    align=PAGE,
    backings=PAGED,
    checkers=("translation", "tlb"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostSplit(SlotPlace):
    """The huge page around the place is split."""


declare(
    HostSplit, 11, "host split SLOT+OFF", align=PAGE, backings=PAGED, checkers=("translation", "tlb"), by_events=True
)


@dataclass(frozen=True, slots=True)
class HostMigrate(SlotRange):
    """The pages of the range move to other frames."""


declare(
    HostMigrate,
    12,
    "host migrate SLOT+OFF SIZE",
    align=PAGE,
    backings=RAM,
    checkers=("translation", "isolation", "tlb"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostDiscard(SlotRange):
    """User space calls ``madvise(MADV_DONTNEED)`` on the range, or punches a hole into a guest_memfd."""


declare(
    HostDiscard,
    13,
    "host discard SLOT+OFF SIZE",
    align=PAGE,
    backings=MEMORY,
    checkers=("translation", "isolation", "tlb"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostReap(SlotRange):
    """The OOM reaper takes the blocks that the range touches: its notifiers must not block."""


declare(
    HostReap,
    39,
    "host reap SLOT+OFF SIZE",
    align=PAGE,
    backings=PAGED,
    checkers=("translation", "isolation", "tlb", "locking"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostUnmap(SlotRange):
    """User space calls ``munmap()`` on the range; of hugetlb, on the pages that lie within it."""


declare(
    HostUnmap,
    14,
    "host unmap SLOT+OFF SIZE",
    align=PAGE,
    backings=MAPPED,
    checkers=("translation", "isolation", "tlb"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostProtect(SlotRange):
    """User space calls ``mprotect()`` on the range: with *on* it may only read it, else write it too."""

    on: bool


declare(
    HostProtect,
    38,
    "host protect SLOT+OFF SIZE on|off",
    align=PAGE,
    backings=RAM,
    checkers=("translation", "isolation"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostPoison(SlotPlace):
    """``memory_failure()``: the frame of the page is broken; it is unmapped, and nobody may use it."""


declare(
    HostPoison,
    15,
    "host poison SLOT+OFF",
    align=PAGE,
    backings=MEMORY,
    checkers=("translation", "isolation", "tlb"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostShare(SlotRange):
    """The pages of the range become copy-on-write, as after fork."""


declare(
    HostShare,
    16,
    "host share SLOT+OFF SIZE",
    align=PAGE,
    backings=PAGED,
    checkers=("translation", "tlb"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostMerge(SlotPlace):
    """KSM puts a read-only page with the same contents in place of the page (``replace_page()``)."""


declare(
    HostMerge,
    17,
    "host merge SLOT+OFF",
    align=PAGE,
    backings=PAGED,
    checkers=("translation", "isolation", "tlb"),
    by_events=True,
)


@dataclass(frozen=True, slots=True)
class HostAge(SlotRange):
    """``clear_flush_young`` on the range; without *flush*, ``clear_young``."""

    flush: bool = True


declare(HostAge, 18, "host age SLOT+OFF SIZE [flush=on|off]", align=PAGE, checkers=("translation", "ageing"))


@dataclass(frozen=True, slots=True)
class HostTestAge(SlotPlace):
    """``test_young``."""


declare(HostTestAge, 19, "host testage SLOT+OFF", align=PAGE, checkers=("translation", "ageing"))

HostOperation: TypeAlias = (
    HostWrite
    | HostWriteback
    | HostCollapse
    | HostSplit
    | HostMigrate
    | HostDiscard
    | HostReap
    | HostUnmap
    | HostProtect
    | HostPoison
    | HostShare
    | HostMerge
    | HostAge
    | HostTestAge
)
