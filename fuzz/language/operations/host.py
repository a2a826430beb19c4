# SPDX-License-Identifier: GPL-2.0-only
"""Host memory management: operations on the memory behind slots."""

from dataclasses import dataclass
from typing import TypeAlias

from .declaration import MAPPED, MEMORY, PAGE, PAGED, RAM, declare


@dataclass(frozen=True, slots=True)
class SlotPlace:
    """Base of operations on one place of a slot."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class SlotRange(SlotPlace):
    """Base of operations on a range of a slot."""

    size: int


@dataclass(frozen=True, slots=True)
class HostWrite(SlotRange):
    """User space writes the range through its own mapping."""


# Not `by_events`: in a `par` block checkers look at the operation itself.
declare(HostWrite, 8, "host write SLOT+OFF SIZE", align=PAGE, backings=MEMORY, checkers=("dcache", "icache"))


@dataclass(frozen=True, slots=True)
class HostWriteback(SlotRange):
    """Data caches spontaneously write the dirty lines of the range back to memory."""


declare(
    HostWriteback, 9, "host writeback SLOT+OFF SIZE", align=PAGE, backings=MEMORY, checkers=("dcache",), by_events=True
)


@dataclass(frozen=True, slots=True)
class HostCollapse(SlotPlace):
    """khugepaged collapses the host block around the place into one huge page."""


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
    """The OOM reaper takes the blocks that the range touches. Its notifiers must not block."""


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
    """User space calls ``munmap()`` on the range. With hugetlb, it unmaps the pages that lie within the range."""


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
    """User space calls ``mprotect()`` on the range: with *on*, the range becomes read-only, otherwise writable."""

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
    """``memory_failure()``: the frame of the page is broken. The page is unmapped, and the frame may not be used."""


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
    """KSM replaces the page by a read-only page with the same contents (``replace_page()``)."""


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
